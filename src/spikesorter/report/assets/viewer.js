// The viewer's part of the page: fetch traces and spikes from the server, span by span.
//
// Adds to `window.spikesorter`:
//   server            get(name, fields), post(name, fields): Promises of the server's answers
//   states            what is known of each recording's corrections: of(r), remember(r, answer), now(r),
//                     onChange(act): act(r, state) after each change
//   make              element(tag, properties, children), button(text, key, onclick, properties)
//   unpackColumns     an unpacked Float32Array for each column of packed values
// Text from outside is set as text, never as HTML.
(() => {
  "use strict";

  const SPANS_KEPT = 24;
  const { spikesorter } = window;
  const { spikeAt, unpack, unpackSpikes } = spikesorter;

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
    const [trace, evidence, truth] = await Promise.all([
      unpackColumns(span.trace),
      unpackColumns(span.evidence),
      unpackEach(span.truth),
    ]);
    return { start: span.start, stop: span.stop, trace, evidence, truth, bad: span.bad };
  };

  // ---- corrections: what the server says of each recording after each change

  const known = new Map(); // r -> state
  const listeners = [];
  const states = {
    now: (r) => known.get(r),
    remember(r, answer) {
      known.set(r, answer);
      spikesorter.page?.setUnits?.(r, answer.units);
      for (const act of listeners) act(r, answer);
      return answer;
    },
    of: async (r) => known.get(r) ?? states.remember(r, await get("corrections", { r })),
    onChange: (act) => listeners.push(act),
  };

  // ---- the source of what is drawn

  const spans = new Map(); // the spans requested last; their spikes are asked for each time

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
      const [span, found] = await Promise.all([keptSpan(r, start, stop), get("spikes", { r, start, stop })]);
      return { ...span, found: found.map((spike) => ({ ...spike, known: true })) };
    },
  };

  // ---- elements

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

  Object.assign(spikesorter, { server: { get, post }, states, make: { element, button }, unpackColumns });
})();
