// The viewer's part of the page: fetch traces from the server span by span, and let the user correct spikes.
// Text from outside is set as text, never as HTML.
(() => {
  "use strict";

  const SPANS_KEPT = 24;
  const DONE = { accept: "accepted", reject: "rejected", rename: "renamed" };
  const { spikesorter } = window;
  const { contents, spikeAt, unpack, unpackSpikes } = spikesorter;

  // ---- the server

  const ask = async (name, options) => {
    let response, answer;
    try {
      response = await fetch(name, { credentials: "omit", cache: "no-store", redirect: "error", ...options });
      answer = await response.json();
    } catch {
      throw new Error("the viewer does not answer; is `spikesorter view` still running?");
    }
    if (!response.ok) throw new Error(answer.error);
    return answer;
  };
  const get = (name, fields) => ask(`${name}?${new URLSearchParams(fields)}`);
  const post = (name, fields) =>
    ask(name, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(fields),
    });

  const unpackColumns = async (packed) => {
    const [rows, columns] = packed.shape;
    const values = await unpack(packed);
    return Array.from({ length: columns }, (_, column) =>
      Float32Array.from({ length: rows }, (_, row) => values[row * columns + column]),
    );
  };

  const unpackEach = async (packed) => {
    const spikes = await unpackSpikes(packed);
    return spikes && Array.from(spikes.sample, (_, k) => spikeAt(spikes, k));
  };

  const fetchSpan = async (r, start, stop) => {
    const span = await get("span", { r, start, stop });
    const [trace, evidence, found, truth] = await Promise.all([
      unpackColumns(span.trace),
      unpackColumns(span.evidence),
      unpackEach(span.found),
      unpackEach(span.truth),
    ]);
    return { start: span.start, stop: span.stop, trace, evidence, found, truth, bad: span.bad };
  };

  // ---- corrections

  const states = new Map(); // r -> {decided: Map of spike to correction, doubtful, reviewed, next}
  const keyOf = (sample, unit) => `${sample} ${unit}`;

  const remember = (r, answer) => {
    const decided = new Map(answer.corrections.map((one) => [keyOf(one.sample, one.unit), one]));
    states.set(r, { ...answer, decided });
    return states.get(r);
  };
  const stateOf = async (r) => states.get(r) ?? remember(r, await get("corrections", { r }));

  const asCorrected = (spike, decided) => {
    const correction = decided.get(keyOf(spike.sample, spike.unit));
    if (correction === undefined) return spike;
    const unit = correction.action === "rename" ? correction.to : spike.unit;
    const rejected = correction.action === "reject";
    return { ...spike, unit, was: spike.unit, decision: DONE[correction.action], rejected };
  };

  // The spike as found, before it was renamed.
  const asFound = (spike, decided) => {
    const unit = spike.was ?? spike.unit;
    if (spike.was !== undefined || decided.has(keyOf(spike.sample, unit))) return { ...spike, unit };
    const renamed = [...decided.values()].find((one) => one.sample === spike.sample && one.to === unit);
    return { ...spike, unit: renamed?.unit ?? unit };
  };

  const spans = new Map(); // the spans requested last, with spikes as found

  const keptSpan = (r, start, stop) => {
    const key = `${r} ${start} ${stop}`;
    const span = spans.get(key) ?? fetchSpan(r, start, stop);
    spans.delete(key);
    spans.set(key, span);
    span.catch(() => spans.delete(key)); // requested again next time
    if (spans.size > SPANS_KEPT) spans.delete(spans.keys().next().value);
    return span;
  };

  const fetchThumbnails = async (r) => {
    const fetched = await get("thumbnails", { r });
    return Promise.all(fetched.map(async ({ start, trace }) => ({ start, trace: await unpackColumns(trace) })));
  };

  const figures = new Map(); // r -> Promise: one request for all figures of a recording

  spikesorter.source = {
    thumbnails: fetchThumbnails,
    figures(r) {
      if (!figures.has(r)) figures.set(r, get("figures", { r }));
      figures.get(r).catch(() => figures.delete(r));
      return figures.get(r);
    },
    async span(r, start, stop) {
      const [span, state] = await Promise.all([keptSpan(r, start, stop), stateOf(r)]);
      return { ...span, found: span.found.map((spike) => asCorrected(spike, state.decided)) };
    },
  };

  // ---- the controls

  const element = (tag, properties = {}, children = []) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const button = (text, key, onclick, properties = {}) =>
    element(
      "button",
      { type: "button", onclick, ...properties },
      key ? [`${text} `, element("kbd", { textContent: key })] : [text],
    );

  const nameOf = (r, unit) =>
    contents.recordings[r].units.find((one) => one.unit === unit)?.name ?? String(unit);

  // Key 3 renames to the unit named 3 or, if there is none, to the third unit, unless that is named by
  // another digit. Key 0 renames to the unit named 0.
  const keysOf = (units) => {
    const keys = new Map();
    for (let digit = 0; digit <= 9; digit += 1) {
      const named = units.find(({ name }) => name === String(digit));
      const found = named ?? (digit > 0 ? units.filter(({ unit }) => unit > 0)[digit - 1] : undefined);
      if (found !== undefined && (named || !/^[0-9]$/.test(found.name))) keys.set(String(digit), found.unit);
    }
    return keys;
  };

  class Controls {
    constructor(r, host) {
      this.r = r;
      this.spike = null;
      this.last = null; // the spike corrected last, for undo
      this.busy = false;
      this.units = contents.recordings[r].units;
      this.keys = keysOf(this.units);
      this.words = element("p", { className: "viewer-spike" });
      this.count = element("p", { className: "viewer-count" });
      this.status = element("p", { className: "viewer-status" });
      this.status.setAttribute("role", "status");
      this.problem = element("p", { className: "viewer-problem" });
      this.problem.setAttribute("role", "alert");
      this.select = element("select", {}, this.units.map((one) => this.option(one)));
      this.buttons = [
        button("Accept", "a", () => this.decide("accept")),
        button("Reject", "x", () => this.decide("reject")),
        element("label", {}, ["Rename to ", this.select]),
        button("Rename", "", () => this.decide("rename", Number(this.select.value))),
      ];
      const rest = [
        button("Undo", "u", () => this.undo()),
        button("Next unreviewed", "j", () => this.next()),
        button("Save as labels", "", () => this.save()),
      ];
      host.replaceChildren(
        element("fieldset", { className: "viewer-controls" }, [
          element("legend", { textContent: "Correct spikes" }),
          this.words,
          element("div", { className: "viewer-buttons" }, [...this.buttons, ...rest]),
          this.count,
          this.status,
          this.problem,
        ]),
      );
      this.show();
    }

    option({ unit, name }) {
      const key = [...this.keys].find(([, one]) => one === unit)?.[0];
      const hint = key !== undefined && key !== name ? ` (key ${key})` : "";
      return element("option", { value: String(unit), textContent: `${name}${hint}` });
    }

    // Run one task at a time. Errors are shown, and announced by screen readers.
    async during(work, failed = "Not saved") {
      if (this.busy) return;
      this.busy = true;
      this.problem.textContent = "";
      try {
        await work();
      } catch (error) {
        this.showProblem(failed, error);
      } finally {
        this.busy = false;
      }
    }

    showProblem(what, error) {
      this.status.textContent = "";
      this.problem.textContent = `${what}: ${error.message}`;
    }

    // Select nothing until the spike's correction is known, so that a key cannot correct the previous spike.
    async pick(spike) {
      this.spike = null;
      this.picked = spike;
      const { decided } = states.get(this.r) ?? (await stateOf(this.r));
      if (this.picked !== spike) return;
      this.spike = spike && asFound(spike, decided);
      this.show();
    }

    show() {
      const state = states.get(this.r);
      const { spike } = this;
      this.select.disabled = spike === null;
      for (const one of this.buttons) if (one.tagName === "BUTTON") one.disabled = spike === null;
      if (spike === null) {
        this.words.textContent = "No spike is selected. Click a spike, or go to the next doubtful spike.";
      } else {
        const name = nameOf(this.r, spike.unit);
        this.words.textContent = `Spike of unit ${name} at ${this.time(spike)}: ${this.decision(state)}.`;
      }
      if (state !== undefined) {
        this.count.textContent = `${state.reviewed} of ${state.doubtful} doubtful spikes reviewed`;
      }
    }

    decision(state, spike = this.spike) {
      const decided = state?.decided.get(keyOf(spike.sample, spike.unit));
      if (decided === undefined) return "not yet reviewed";
      return decided.action === "rename" ? `renamed to ${nameOf(this.r, decided.to)}` : DONE[decided.action];
    }

    decide(action, to) {
      const { r, spike } = this;
      if (spike === null) return Promise.resolve();
      return this.during(async () => {
        const state = await this.send(spike, to === undefined ? { action } : { action, to });
        this.last = spike;
        this.status.textContent = `Saved: the spike at ${this.time(spike)} is ${this.decision(state, spike)}.`;
        if (!(await this.advance(state))) await spikesorter.page.redraw(r);
      });
    }

    // Undo the correction of the selected spike or, if it has none, the last correction.
    undo() {
      return this.during(async () => {
        const { decided } = await stateOf(this.r);
        const spike = [this.spike, this.last].find((one) => one && decided.has(keyOf(one.sample, one.unit)));
        if (spike === undefined) {
          this.status.textContent = "There is nothing to undo.";
          return;
        }
        await this.send(spike, { action: "undo" });
        this.status.textContent = `Saved: the spike at ${this.time(spike)} is no longer corrected.`;
        await spikesorter.page.select(this.r, { ...spike, was: undefined });
        await spikesorter.page.redraw(this.r);
      });
    }

    async send({ sample, unit }, decision) {
      const state = remember(this.r, await post("correct", { r: this.r, sample, unit, ...decision }));
      this.show();
      return state;
    }

    time(spike) {
      return `${(spike.sample / contents.recordings[this.r].fs_hz).toFixed(4)} s`;
    }

    next() {
      return this.during(async () => {
        if (!(await this.advance(await stateOf(this.r)))) this.status.textContent = "All doubtful spikes are reviewed.";
      }, "Not found");
    }

    // Go to the most doubtful spike without a correction; false if there is none.
    async advance(state) {
      const current = this.spike && keyOf(this.spike.sample, this.spike.unit);
      const following = state.next.find(([sample, unit]) => keyOf(sample, unit) !== current);
      if (following === undefined) return false;
      const [sample, unit, probability] = following;
      await spikesorter.page.select(this.r, { sample, unit, probability });
      return true;
    }

    save() {
      return this.during(async () => {
        const saved = await post("save", { r: this.r });
        const gone = saved.ignored ? ` ${saved.ignored} corrections were left out: their spikes are no longer in the results.` : "";
        this.status.replaceChildren(
          `Saved ${saved.spikes} spikes as labels in `,
          element("code", { textContent: saved.file }),
          `.${gone} To train with them: `,
          element("code", { textContent: saved.command }),
        );
      });
    }

    sayKeys(key) {
      const known = [...this.keys].map(([one, unit]) => {
        const name = nameOf(this.r, unit);
        return one === name ? one : `${one} (${name})`;
      });
      this.status.textContent = `No unit has key ${key}. Keys of units: ${known.join(", ") || "none"}.`;
      return true;
    }

    pressed(key) {
      if (key === "a") return this.decide("accept");
      if (key === "x") return this.decide("reject");
      if (key === "u") return this.undo();
      if (key === "j") return this.next();
      if (this.keys.has(key)) return this.decide("rename", this.keys.get(key));
      if (/^[1-9]$/.test(key)) return this.sayKeys(key);
      return null;
    }
  }

  const shown = new Map(); // r -> Controls
  let current = null;

  spikesorter.extras = {
    mount(r, host) {
      const controls = new Controls(r, host);
      shown.set(r, controls);
      current ??= r;
      stateOf(r).then(
        () => controls.show(),
        (error) => controls.showProblem("Earlier corrections cannot be read", error),
      );
    },
    onPage(r) {
      current = r;
    },
    onSelect(r, spike) {
      current = r;
      const controls = shown.get(r);
      controls?.pick(spike ?? null).catch((error) => controls.showProblem("Cannot be corrected", error));
    },
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.repeat) return;
    if (event.target.closest("input, select, textarea, [contenteditable]")) return;
    const r = spikesorter.page.current?.() ?? current;
    if (!shown.has(r)) spikesorter.page.begin?.(r); // nothing was in sight yet
    if (shown.get(r)?.pressed(event.key)) event.preventDefault();
  });
})();
