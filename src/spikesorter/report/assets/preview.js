// The start page: the trace of a recording before anything is learnt, its channels, and its bad stretches. The server
// reads only what is shown, and thins it to the least and greatest value in each column of pixels.
(() => {
  "use strict";

  const { ask, at } = window.startPage;
  const LANES = { least: 70, together: 240 }; // pixels of a channel, and of all if there are few
  const MOST_LANES = 16; // channels in one picture
  const EDGE = 26; // pixels below the trace, for the times
  const REACH = 120; // tenths of an SD from the middle of a lane to its edge
  const FEWEST_PIXELS = 4; // that a bad stretch is dragged over
  const OVERVIEW = 36; // pixels
  const LOUD = { least: 3, most: 8 }; // times the usual noise, at the top of the overview
  const MANY = 8; // channels, from which on there are buttons for all and none
  const WAIT_MS = 60; // while the slider is moved
  const TICKS = 8;

  const [problem, words, strip, overview, place] = ["preview-problem", "preview-words", "strip", "overview", "place"].map(at);
  const bad = new Map(); // what keyOf says -> [[start, stop]], seconds
  let opened = null; // {path, key, seconds, fs_hz, channels, loudness}
  let used = null; // ids of the channels to use; null: all
  let taller = 1;
  let drawn = null; // what the server gave last
  let drag = null; // {from, to}, seconds

  const show = (error) => {
    problem.textContent = error.message;
  };
  const post = (name, fields) =>
    ask(name, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(fields) });
  const reading = () =>
    Object.fromEntries([...document.querySelectorAll("[data-reading]")].map((one) => [one.dataset.reading, one.value]));
  const keyOf = (path) => JSON.stringify([path, at("stream").value, at("segment").value]);
  const paths = () => [at("recording").value, ...at("targets").value.split("\n")].map((one) => one.trim()).filter(Boolean);
  const spans = () => bad.get(opened.key) ?? [];
  const shownChannels = () => {
    const chosen = opened.channels.map((_, k) => k).filter((k) => used === null || used.has(opened.channels[k]));
    return chosen.slice(0, MOST_LANES);
  };
  const lane = () => Math.max(LANES.least, Math.floor(LANES.together / drawn.low.length));
  const length = () => Math.min(Number(at("seconds").value), opened.seconds);
  const text = (second) => String(Number(second.toFixed(3)));
  const element = (tag, properties, children = []) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };

  // ---- pictures

  const begin = (canvas, height) => {
    const scale = window.devicePixelRatio || 1;
    canvas.style.height = `${height}px`;
    const width = canvas.clientWidth;
    Object.assign(canvas, { width: width * scale, height: height * scale });
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const style = getComputedStyle(canvas);
    const colour = (name) => style.getPropertyValue(name);
    pen.font = `12px ${style.fontFamily}`;
    return { pen, width, colour, ink: style.color };
  };

  const shade = (pen, from, to, height, [low, high], width) => {
    const x = (second) => ((second - low) / (high - low)) * width;
    const left = Math.max(x(from), 0);
    const right = Math.min(x(to), width);
    if (right <= 0 || left >= width) return;
    pen.fillRect(left, 0, Math.max(right - left, 1), height);
  };

  const drawOverview = () => {
    const { pen, width, colour } = begin(overview, OVERVIEW);
    const most = Math.min(Math.max(...opened.loudness, LOUD.least), LOUD.most); // what is louder is cut off
    pen.fillStyle = colour("--noise");
    opened.loudness.forEach((level, k) => {
      const wide = width / opened.loudness.length;
      const tall = Math.min(level / most, 1) * (OVERVIEW - 2);
      pen.fillRect(k * wide, OVERVIEW - tall, Math.max(wide - 1, 1), tall);
    });
    pen.fillStyle = colour("--poor");
    pen.globalAlpha = 0.35;
    for (const [from, to] of spans()) shade(pen, from, to, OVERVIEW, [0, opened.seconds], width);
    pen.globalAlpha = 1;
    if (drawn === null) return;
    pen.strokeStyle = colour("--ink");
    const x = (second) => (second / opened.seconds) * width;
    pen.strokeRect(x(drawn.start_s) + 0.5, 0.5, Math.max(x(drawn.stop_s - drawn.start_s) - 1, 2), OVERVIEW - 1);
  };

  const drawLane = (pen, k, width) => {
    const [low, high] = [drawn.low[k], drawn.high[k]];
    const middle = (k + 0.5) * lane();
    const y = (value) => middle - Math.max(-1, Math.min(1, (taller * value) / REACH)) * (lane() / 2);
    pen.beginPath();
    low.forEach((value, column) => {
      if (value === null) return;
      const x = ((column + 0.5) / low.length) * width;
      pen.moveTo(x, y(value) + 0.5);
      pen.lineTo(x, y(high[column]) - 0.5);
      if (column + 1 < low.length && low[column + 1] !== null) { // no gaps between columns
        pen.lineTo(((column + 1.5) / low.length) * width, y((low[column + 1] + high[column + 1]) / 2));
      }
    });
    pen.stroke();
  };

  const stepOf = (seconds) => {
    const rough = seconds / TICKS;
    const unit = 10 ** Math.floor(Math.log10(rough));
    return unit * ([1, 2, 5, 10].find((one) => one * unit >= rough) ?? 10);
  };

  const drawTimes = (pen, height, width) => {
    const { start_s: low, stop_s: high } = drawn;
    const step = stepOf(high - low);
    pen.textAlign = "center";
    for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) {
      const x = ((tick - low) / (high - low)) * width;
      if (x > 20 && x < width - 20) pen.fillText(`${text(tick)} s`, x, height - 8);
    }
  };

  const drawStrip = () => {
    if (drawn === null) return;
    const height = drawn.low.length * lane();
    const { pen, width, colour, ink } = begin(strip, height + EDGE);
    pen.fillStyle = colour("--poor");
    pen.globalAlpha = 0.2;
    const range = [drawn.start_s, drawn.stop_s];
    for (const [from, to] of spans()) shade(pen, from, to, height, range, width);
    if (drag) shade(pen, Math.min(drag.from, drag.to), Math.max(drag.from, drag.to), height, range, width);
    pen.globalAlpha = 1;
    pen.strokeStyle = colour("--ink");
    pen.fillStyle = ink;
    for (let k = 0; k < drawn.low.length; k += 1) drawLane(pen, k, width);
    pen.textAlign = "left";
    drawn.names.forEach((name, k) => {
      const back = pen.measureText(name).width + 6;
      pen.fillStyle = colour("--panel");
      pen.fillRect(0, k * lane() + 2, back, 16);
      pen.fillStyle = ink;
      pen.fillText(name, 3, k * lane() + 14);
    });
    drawTimes(pen, height + EDGE, width);
    drawOverview();
  };

  // ---- reading: the last place that is asked for is drawn, in any order of arrival

  let asked = 0;
  const read = async () => {
    asked += 1;
    const { path, name, channels } = opened;
    const mine = asked;
    const shown = shownChannels();
    if (shown.length === 0) {
      drawn = null;
      words.textContent = "No channel is chosen.";
      return;
    }
    const columns = Math.max(Math.round(strip.clientWidth || 800), 1);
    const fields = { recording: path, reading: reading(), start_s: Number(place.value), seconds: length(), shown, columns, flat: at("flat").checked };
    const given = await post("strip", fields);
    if (mine !== asked) return;
    drawn = { ...given, names: shown.map((k) => channels[k]) };
    problem.textContent = "";
    const left = (used?.size ?? channels.length) - shown.length;
    const more = left > 0 ? `; ${left} more channels are used and not shown` : "";
    const said = `${name}: ${text(given.start_s)} to ${text(given.stop_s)} s of ${text(opened.seconds)} s, ${opened.fs_hz} Hz${more}`;
    words.textContent = `${said}.`;
    strip.setAttribute("aria-label", `Trace of ${shown.length} ${shown.length === 1 ? "channel" : "channels"}; ${said}`);
    drawStrip();
  };
  let waiting = null;
  const readSoon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => read().catch(show), WAIT_MS);
  };

  const limitPlace = () => {
    const step = Math.max(length() / 4, 0.001);
    const steps = Math.ceil(Math.max(opened.seconds - length(), 0) / step); // the last one may be cut short
    Object.assign(place, { max: String(steps * step), step: String(step) });
  };

  // ---- channels and bad stretches

  const listChannels = () => {
    at("channels").parentElement.hidden = opened.channels.length === 1;
    at("many").hidden = opened.channels.length < MANY;
    at("channels").replaceChildren(...opened.channels.map((id) => {
      const box = element("input", { type: "checkbox", checked: used === null || used.has(id) });
      box.addEventListener("change", () => {
        used ??= new Set(opened.channels);
        if (box.checked) used.add(id);
        else used.delete(id);
        readSoon();
      });
      return element("label", {}, [box, ` ${id}`]);
    }));
  };

  const listBad = () => {
    const own = spans();
    at("bad").replaceChildren(...own.map((one) => element("li", {}, [
      `${text(one[0])} to ${text(one[1])} s `,
      element("button", {
        type: "button", textContent: "Remove", ariaLabel: `Remove ${text(one[0])} to ${text(one[1])} s`,
        onclick: () => {
          bad.set(opened.key, own.filter((other) => other !== one));
          listBad();
          drawStrip();
        },
      }),
    ])));
  };

  const mark = (from, to) => {
    const start = Math.max(Math.min(from, to), 0);
    const stop = Math.min(Math.max(from, to), opened.seconds);
    if (!(start < stop)) throw new Error("Give a start, and a later stop inside the recording.");
    const own = [...spans(), [start, stop]].toSorted(([a], [b]) => a - b);
    bad.set(opened.key, own);
    problem.textContent = "";
    listBad();
    drawStrip();
    words.textContent = `${text(start)} to ${text(stop)} s is marked as bad.`;
  };
  const markTimes = () => {
    const [from, to] = [at("bad-from"), at("bad-to")].map((one) => (one.value === "" ? NaN : Number(one.value)));
    try {
      mark(from, to);
    } catch (error) {
      show(error);
    }
  };
  at("bad-add").addEventListener("click", markTimes);
  for (const one of [at("bad-from"), at("bad-to")]) {
    one.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault(); // the form is not sent yet
      markTimes();
    });
  }

  const secondAt = (event) => {
    const box = strip.getBoundingClientRect();
    const share = Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
    return drawn.start_s + share * (drawn.stop_s - drawn.start_s);
  };
  strip.addEventListener("pointerdown", (event) => {
    if (drawn === null) return;
    strip.setPointerCapture(event.pointerId);
    drag = { from: secondAt(event), to: secondAt(event), x: event.clientX };
  });
  strip.addEventListener("pointermove", (event) => {
    if (drag === null) return;
    drag.to = secondAt(event);
    drawStrip();
  });
  strip.addEventListener("pointerup", (event) => {
    if (drag === null) return;
    const { from, to, x } = drag;
    drag = null;
    if (Math.abs(event.clientX - x) >= FEWEST_PIXELS) mark(from, to);
    else drawStrip();
  });
  strip.addEventListener("pointercancel", () => {
    drag = null;
    drawStrip();
  });

  // ---- opening

  const listPaths = () => {
    const before = at("shown").value;
    const every = [...new Set(paths())];
    at("shown").replaceChildren(...every.map((path) => element("option", { value: path, textContent: path.split(/[\\/]/).at(-1) })));
    if (every.includes(before)) at("shown").value = before;
  };

  // Offer the streams and segments of a file that has several.
  const listParts = ({ streams, segments }) => {
    const offer = (select, none, options) => {
      const before = select.value;
      select.replaceChildren(element("option", { value: "", textContent: none }), ...options);
      select.value = options.some((one) => one.value === before) ? before : "";
      select.parentElement.hidden = options.length < 2;
    };
    offer(at("stream"), "the usual one", streams.map((name) => element("option", { value: name, textContent: name })));
    offer(at("segment"), "choose one", segments.map((seconds, k) =>
      element("option", { value: String(k), textContent: `${k} (${text(seconds)} s)` })));
    at("parts").hidden = streams.length < 2 && segments.length < 2;
  };

  const open = async () => {
    listPaths();
    const path = at("shown").value;
    if (!path) throw new Error("Choose a recording first.");
    problem.textContent = "";
    words.textContent = "Opening…";
    const given = await post("describe", { recording: path, reading: reading() });
    listParts(given);
    if (given.choose) {
      const several = given.choose === "stream" ? given.streams : given.segments;
      throw new Error(`${path}: has ${several.length} ${given.choose}s; choose one above.`);
    }
    if (opened === null || String(given.channels) !== String(opened.channels)) used = null;
    opened = { ...given, path, key: keyOf(path) };
    drawn = null;
    at("preview").hidden = false;
    place.value = "0";
    limitPlace();
    listChannels();
    listBad();
    await read();
  };
  const opening = () => open().catch((error) => {
    at("preview").hidden = true;
    show(error);
  });

  window.startPage.onChosen = (field) => field === "recording" && opening();
  at("look").addEventListener("click", opening);
  for (const one of ["shown", "stream", "segment"]) at(one).addEventListener("change", opening);
  for (const when of ["input", "change"]) {
    at("recording").addEventListener(when, () => listParts({ streams: [], segments: [] })); // those were another's
  }
  for (const one of ["recording", "targets"]) {
    for (const when of ["input", "change"]) at(one).addEventListener(when, listPaths);
  }
  place.addEventListener("input", readSoon);
  at("seconds").addEventListener("change", () => {
    limitPlace();
    readSoon();
  });
  at("flat").addEventListener("change", readSoon);
  for (const one of document.querySelectorAll("[data-turn]")) {
    one.addEventListener("click", () => {
      place.value = String(Number(place.value) + Number(one.dataset.turn) * length());
      readSoon();
    });
  }
  for (const one of document.querySelectorAll("[data-taller]")) {
    one.addEventListener("click", () => {
      taller *= Number(one.dataset.taller);
      drawStrip();
    });
  }
  for (const one of document.querySelectorAll("[data-all]")) {
    one.addEventListener("click", () => {
      used = one.dataset.all === "true" ? null : new Set();
      listChannels();
      readSoon();
    });
  }
  overview.addEventListener("click", (event) => {
    const box = overview.getBoundingClientRect();
    place.value = String(((event.clientX - box.left) / box.width) * opened.seconds - length() / 2);
    readSoon();
  });
  new ResizeObserver(() => opened && readSoon()).observe(strip.parentElement);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawStrip);

  // What was chosen here, for the work to begin with.
  window.startPage.chosen = () => ({
    reading: reading(),
    channels: used === null || used.size === opened.channels.length ? [] : opened.channels.filter((id) => used.has(id)),
    noChannel: used !== null && used.size === 0,
    bad: Object.fromEntries(paths().map((path) => [path, bad.get(keyOf(path)) ?? []]).filter(([, own]) => own.length)),
  });
})();
