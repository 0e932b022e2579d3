// The viewer: add a spike, or move one, by a click on the trace or by keys. The server puts it where it fits best.
(() => {
  "use strict";

  const { spikesorter } = window;
  const { contents, server, states, asFound, nameOf } = spikesorter;
  const { element, button } = spikesorter.make;
  const CLICK_PIXELS = 5; // a pointer that moves farther drags the trace
  const STEPS = { ArrowLeft: -1, ArrowRight: 1 };
  const FAR = 10; // pixels by which Shift and an arrow move the cursor

  let mode = null; // {controls, what, trace, second, cursor, bar}

  const boxOf = (trace) => trace.host.querySelector(".nsewdrag")?.getBoundingClientRect();

  const showCursor = () => {
    const box = boxOf(mode.trace);
    if (!box) return;
    const [low, high] = mode.trace.shown();
    mode.second = Math.min(Math.max(mode.second, low), high);
    const share = (mode.second - low) / (high - low);
    mode.cursor.style.left = `${box.left - mode.trace.host.getBoundingClientRect().left + share * box.width}px`;
  };

  const end = () => {
    if (mode === null) return;
    mode.cursor.remove();
    mode.bar.remove();
    mode.trace.host.classList.remove("placing");
    mode = null;
  };

  const sayOdds = (odds) => {
    if (odds === null) return "where you clicked, as its unit has no template";
    if (odds > 0) return `it fits best there; the pursuit, too, finds it more probable than not (log odds ${odds})`;
    return `it fits best there; the pursuit alone would not report it (log odds ${odds})`;
  };

  const put = () => {
    const { controls, what, second, units } = mode;
    const { r } = controls;
    const one = contents.recordings[r];
    const sample = Math.min(Math.max(Math.round(second * one.fs_hz), 0), one.n_samples - 1);
    const moved = what === "move" ? asFound(controls.spike) : null;
    const unit = units.value === "" ? null : Number(units.value);
    return controls.during(async () => {
      const answer = await server.post("place", { r, sample, unit, moved });
      const { placed } = answer;
      const at = controls.time(placed);
      const done = what === "move" ? "the spike is moved to" : `a spike of unit ${nameOf(r, placed.unit)} is added at`;
      controls.status.textContent = `Saved: ${done} ${at}; ${sayOdds(placed.log_odds)}.`;
      states.remember(r, answer);
      if (what === "move") end();
      const [foundAt, foundOf] = placed.was;
      await spikesorter.page.redraw(r);
      await controls.pick({ sample: placed.sample, unit: placed.unit, was: [foundAt, foundOf] });
    });
  };

  const begin = (controls, what) => {
    const again = mode?.what === what && mode.controls === controls;
    end();
    const trace = spikesorter.page.trace?.(controls.r);
    if (again || trace === undefined || trace.span === null) return;
    if (what === "move" && controls.spike === null) return;
    const [low, high] = trace.shown();
    const units = element("select", { ariaLabel: "Unit of the spike" }, [
      element("option", { value: "", textContent: "the unit that fits best" }),
      ...controls.units.filter(({ unit }) => unit > 0).map(({ unit, name }) => element("option", { value: String(unit), textContent: `unit ${name}` })),
    ]);
    const words = what === "add" ? "Click where a spike is missing" : "Click where the spike belongs";
    const bar = element("div", { className: "placing-bar" }, [
      element("span", { textContent: `${words}, or move the line with ← and → and press Enter.` }),
      ...(what === "add" ? [units] : []),
      button(what === "add" ? "Add here" : "Move here", "Enter", put),
      button("Leave", "Esc", end),
    ]);
    const cursor = element("div", { className: "placing-cursor" });
    mode = { controls, what, trace, cursor, bar, units, second: what === "move" ? controls.spike.sample / contents.recordings[controls.r].fs_hz : (low + high) / 2 };
    trace.host.classList.add("placing");
    trace.host.append(cursor);
    trace.host.before(bar);
    showCursor();
  };

  let down = null;
  document.addEventListener("pointerdown", (event) => {
    down = mode?.trace.host.contains(event.target) ? { x: event.clientX, y: event.clientY } : null;
  }, true);
  document.addEventListener("pointerup", (event) => {
    if (mode === null || down === null) return;
    const apart = Math.hypot(event.clientX - down.x, event.clientY - down.y);
    down = null;
    const box = boxOf(mode.trace);
    if (apart > CLICK_PIXELS || !box || event.clientX < box.left || event.clientX > box.right) return;
    const [low, high] = mode.trace.shown();
    mode.second = low + ((event.clientX - box.left) / box.width) * (high - low);
    showCursor();
    put();
  }, true);

  document.addEventListener("keydown", (event) => {
    if (mode === null || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea, button, summary") && event.key !== "Escape") return;
    const box = boxOf(mode.trace);
    if (event.key === "Escape") end();
    else if (event.key === "Enter") put();
    else if (event.key in STEPS && box) {
      const pixels = STEPS[event.key] * (event.shiftKey ? FAR : 1);
      const [low, high] = mode.trace.shown();
      mode.second += (pixels * (high - low)) / box.width;
      showCursor();
    } else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, true);

  spikesorter.placing = { begin, end, drawn: (r) => mode?.controls.r === r && showCursor() };
})();
