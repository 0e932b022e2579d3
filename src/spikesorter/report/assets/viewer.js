// The viewer's part of the page: traces come from the server span by span, and spikes can be judged.
// All text from outside is put in as text, never as HTML.
(() => {
  "use strict";

  const SPANS_KEPT = 24;
  const DONE = { accept: "accepted", reject: "rejected", rename: "renamed" };
  const contents = JSON.parse(document.getElementById("contents").textContent);

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

  const TYPES = { u1: Uint8Array, i4: Int32Array, f4: Float32Array };

  const unpack = async (packed) => {
    const bytes = Uint8Array.from(atob(packed.gz), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new TYPES[packed.dtype](await new Response(stream).arrayBuffer());
  };

  const unpackColumns = async (packed) => {
    const [rows, columns] = packed.shape;
    const values = await unpack(packed);
    return Array.from({ length: columns }, (_, column) =>
      Float32Array.from({ length: rows }, (_, row) => values[row * columns + column]),
    );
  };

  const unpackSpikes = async (packed) => {
    if (packed === null) return null;
    const parts = await Promise.all([packed.sample, packed.label, packed.probability].map(unpack));
    return Array.from(parts[0], (sample, k) => ({
      sample,
      label: parts[1][k],
      probability: parts[2][k] / 255,
    }));
  };

  const fetchSpan = async (r, start, stop) => {
    const span = await get("span", { r, start, stop });
    const [trace, evidence, found, truth] = await Promise.all([
      unpackColumns(span.trace),
      unpackColumns(span.evidence),
      unpackSpikes(span.found),
      unpackSpikes(span.truth),
    ]);
    return { start: span.start, stop: span.stop, trace, evidence, found, truth };
  };

  // ---- what was said of spikes

  const states = new Map(); // r -> {said: Map of spike to correction, doubtful, judged, next}
  const keyOf = (sample, label) => `${sample} ${label}`;

  const remember = (r, answer) => {
    const said = new Map(answer.corrections.map((one) => [keyOf(one.sample, one.label), one]));
    states.set(r, { ...answer, said });
    return states.get(r);
  };
  const stateOf = async (r) => states.get(r) ?? remember(r, await get("corrections", { r }));

  const asCorrected = (spike, said) => {
    const correction = said.get(keyOf(spike.sample, spike.label));
    if (correction === undefined) return spike;
    const label = correction.action === "rename" ? correction.to : spike.label;
    const rejected = correction.action === "reject";
    return { ...spike, label, was: spike.label, judged: DONE[correction.action], rejected };
  };

  // The spike as it was found, whatever it has been renamed to since.
  const asFound = (spike, said) => {
    const label = spike.was ?? spike.label;
    if (spike.was !== undefined || said.has(keyOf(spike.sample, label))) return { ...spike, label };
    const renamed = [...said.values()].find((one) => one.sample === spike.sample && one.to === label);
    return { ...spike, label: renamed?.label ?? label };
  };

  const spans = new Map(); // the last few, as they were found

  const keptSpan = (r, start, stop) => {
    const key = `${r} ${start} ${stop}`;
    const span = spans.get(key) ?? fetchSpan(r, start, stop);
    spans.delete(key);
    spans.set(key, span);
    span.catch(() => spans.delete(key)); // asked for again next time
    if (spans.size > SPANS_KEPT) spans.delete(spans.keys().next().value);
    return span;
  };

  const figures = new Map(); // r -> Promise: every figure of a recording asks, the server is asked once

  window.spikesorterSource = {
    figures(r) {
      if (!figures.has(r)) figures.set(r, get("figures", { r }));
      figures.get(r).catch(() => figures.delete(r));
      return figures.get(r);
    },
    async span(r, start, stop) {
      const [span, state] = await Promise.all([keptSpan(r, start, stop), stateOf(r)]);
      return { ...span, found: span.found.map((spike) => asCorrected(spike, state.said)) };
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

  const nameOf = (r, label) =>
    contents.recordings[r].units.find((unit) => unit.label === label)?.name ?? String(label);

  // Key 3 renames to the neuron called 3 or, if none is, to the third, unless that one is called by another digit.
  const keysOf = (units) => {
    const keys = new Map();
    for (let digit = 1; digit <= 9; digit += 1) {
      const named = units.find((unit) => unit.name === String(digit));
      const unit = named ?? units.filter((one) => one.label > 0)[digit - 1];
      if (unit !== undefined && (named || !/^[1-9]$/.test(unit.name))) keys.set(String(digit), unit.label);
    }
    return keys;
  };

  class Controls {
    constructor(r, host) {
      this.r = r;
      this.spike = null;
      this.last = null; // the spike that was judged last, for undo
      this.busy = false;
      this.units = contents.recordings[r].units;
      this.keys = keysOf(this.units);
      this.words = element("p", { className: "viewer-spike" });
      this.count = element("p", { className: "viewer-count" });
      this.status = element("p", { className: "viewer-status" });
      this.status.setAttribute("role", "status");
      this.problem = element("p", { className: "viewer-problem" });
      this.problem.setAttribute("role", "alert");
      this.select = element("select", {}, this.units.map((unit) => this.option(unit)));
      this.buttons = [
        button("Accept", "a", () => this.say("accept")),
        button("Reject", "x", () => this.say("reject")),
        element("label", {}, ["Rename to ", this.select]),
        button("Rename", "", () => this.say("rename", Number(this.select.value))),
      ];
      const rest = [
        button("Undo", "u", () => this.undo()),
        button("Next not judged", "j", () => this.next()),
        button("Save as labels", "", () => this.save()),
      ];
      host.replaceChildren(
        element("fieldset", { className: "viewer-controls" }, [
          element("legend", { textContent: "Judge spikes" }),
          this.words,
          element("div", { className: "viewer-buttons" }, [...this.buttons, ...rest]),
          this.count,
          this.status,
          this.problem,
        ]),
      );
      this.show();
    }

    option(unit) {
      const key = [...this.keys].find(([, label]) => label === unit.label)?.[0];
      const hint = key !== undefined && key !== unit.name ? ` (key ${key})` : "";
      return element("option", { value: String(unit.label), textContent: `${unit.name}${hint}` });
    }

    // Run one thing at a time; what goes wrong is said aloud.
    async during(work, failed = "Not saved") {
      if (this.busy) return;
      this.busy = true;
      this.problem.textContent = "";
      try {
        await work();
      } catch (error) {
        this.complain(failed, error);
      } finally {
        this.busy = false;
      }
    }

    complain(what, error) {
      this.status.textContent = "";
      this.problem.textContent = `${what}: ${error.message}`;
    }

    // Nothing is selected until it is known what was said of the spike: a key must not judge the one before.
    async pick(spike) {
      this.spike = null;
      this.picked = spike;
      const { said } = states.get(this.r) ?? (await stateOf(this.r));
      if (this.picked !== spike) return;
      this.spike = spike && asFound(spike, said);
      this.show();
    }

    show() {
      const state = states.get(this.r);
      const { spike } = this;
      this.select.disabled = spike === null;
      for (const one of this.buttons) if (one.tagName === "BUTTON") one.disabled = spike === null;
      if (spike === null) {
        this.words.textContent = "No spike is selected: click one, or go to the next doubtful one.";
      } else {
        const name = nameOf(this.r, spike.label);
        this.words.textContent = `Spike of neuron ${name} at ${this.time(spike)}: ${this.judgement(state)}.`;
      }
      if (state !== undefined) {
        this.count.textContent = `${state.judged} of ${state.doubtful} doubtful spikes judged`;
      }
    }

    judgement(state, spike = this.spike) {
      const said = state?.said.get(keyOf(spike.sample, spike.label));
      if (said === undefined) return "not yet judged";
      return said.action === "rename" ? `renamed to ${nameOf(this.r, said.to)}` : DONE[said.action];
    }

    say(action, to) {
      const { r, spike } = this;
      if (spike === null) return Promise.resolve();
      return this.during(async () => {
        const state = await this.send(spike, to === undefined ? { action } : { action, to });
        this.last = spike;
        this.status.textContent = `Saved: the spike at ${this.time(spike)} is ${this.judgement(state, spike)}.`;
        if (!(await this.advance(state))) await window.spikesorterPage.redraw(r);
      });
    }

    // Take back what was said of the selected spike or, if nothing was, the last judgement.
    undo() {
      return this.during(async () => {
        const { said } = await stateOf(this.r);
        const spike = [this.spike, this.last].find((one) => one && said.has(keyOf(one.sample, one.label)));
        if (spike === undefined) {
          this.status.textContent = "There is nothing to undo.";
          return;
        }
        await this.send(spike, { action: "undo" });
        this.status.textContent = `Saved: the spike at ${this.time(spike)} is not judged any more.`;
        await window.spikesorterPage.select(this.r, { ...spike, was: undefined });
        await window.spikesorterPage.redraw(this.r);
      });
    }

    async send({ sample, label }, judgement) {
      const state = remember(this.r, await post("correct", { r: this.r, sample, label, ...judgement }));
      this.show();
      return state;
    }

    time(spike) {
      return `${(spike.sample / contents.recordings[this.r].fs_hz).toFixed(4)} s`;
    }

    next() {
      return this.during(async () => {
        if (!(await this.advance(await stateOf(this.r)))) this.status.textContent = "No doubtful spike is left.";
      }, "Not found");
    }

    // Go to the most doubtful spike that is not judged yet; false if there is none.
    async advance(state) {
      const current = this.spike && keyOf(this.spike.sample, this.spike.label);
      const following = state.next.find(([sample, label]) => keyOf(sample, label) !== current);
      if (following === undefined) return false;
      const [sample, label, probability] = following;
      await window.spikesorterPage.select(this.r, { sample, label, probability });
      return true;
    }

    save() {
      return this.during(async () => {
        const saved = await post("save", { r: this.r });
        const gone = saved.ignored ? ` ${saved.ignored} corrections are of spikes that are no longer there.` : "";
        this.status.replaceChildren(
          `Saved ${saved.spikes} spikes as labels in `,
          element("code", { textContent: saved.file }),
          `.${gone} To learn from them: `,
          element("code", { textContent: saved.command }),
        );
      });
    }

    pressed(key) {
      if (key === "a") return this.say("accept");
      if (key === "x") return this.say("reject");
      if (key === "u") return this.undo();
      if (key === "j") return this.next();
      if (this.keys.has(key)) return this.say("rename", this.keys.get(key));
      return null;
    }
  }

  const shown = new Map(); // r -> Controls
  let current = null;

  window.spikesorterExtras = {
    mount(r, host) {
      const controls = new Controls(r, host);
      shown.set(r, controls);
      current ??= r;
      stateOf(r).then(
        () => controls.show(),
        (error) => controls.complain("What was said before cannot be read", error),
      );
    },
    onPage(r) {
      current = r;
    },
    onSelect(r, spike) {
      current = r;
      const controls = shown.get(r);
      controls?.pick(spike ?? null).catch((error) => controls.complain("Cannot be judged", error));
    },
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.repeat) return;
    if (event.target.closest("input, select, textarea, [contenteditable]")) return;
    if (shown.get(current)?.pressed(event.key)) event.preventDefault();
  });
})();
