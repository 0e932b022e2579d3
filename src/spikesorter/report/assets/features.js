// The viewer: the features of spikes as a cloud of points; points are chosen by a lasso or by ranges of values, and
// judged, renamed or made a unit together.
(() => {
  "use strict";

  const { spikesorter } = window;
  const { contents, server, states, controlsOf, nameOf, unpackColumns } = spikesorter;
  const { unpack } = spikesorter;
  const { element, button } = spikesorter.make;
  const NEW = -1; // a unit that is yet to be made, as the server names it

  class FeatureView {
    constructor(host) {
      this.r = Number(host.dataset.r);
      this.chosen = new Set(); // positions of points
      this.axes = [0, 1];
      this.scatter = new spikesorter.Scatter((places) => this.choose(places));
      this.legend = element("ul", { className: "legend" });
      this.words = element("p", { className: "chosen" });
      this.words.setAttribute("role", "status");
      this.note = element("p", { className: "note" });
      this.proposals = element("div", { className: "proposals" });
      this.to = element("select", { ariaLabel: "Unit for the chosen spikes" });
      this.actions = [
        button("Accept", "", () => this.judge("accept")),
        button("Reject", "", () => this.judge("reject")),
        button("Rename to", "", () => this.judge("rename", Number(this.to.value))),
        this.to,
        button("Make a new unit", "", () => this.judge("rename", NEW)),
        button("Choose none", "", () => this.choose([])),
      ];
      this.x = element("select", { ariaLabel: "Horizontal axis" });
      this.y = element("select", { ariaLabel: "Vertical axis" });
      for (const one of [this.x, this.y]) one.addEventListener("change", () => this.turn());
      host.append(
        element("div", { className: "viewer-buttons" }, ["Horizontal ", this.x, " vertical ", this.y]),
        this.legend,
        this.scatter.canvas,
        this.byRange(),
        this.words,
        element("div", { className: "viewer-buttons" }, this.actions),
        this.note,
        this.proposals,
      );
    }

    // Choose by ranges of values: with the keyboard alone, and of spikes that are hard to encircle.
    byRange() {
      this.range = { unit: element("select", { ariaLabel: "Unit to choose from" }), of: element("select", { ariaLabel: "Value" }) };
      for (const name of ["from", "to"]) this.range[name] = element("input", { type: "number", step: "any", ariaLabel: name });
      const { unit, of, from, to } = this.range;
      return element("div", { className: "viewer-buttons" }, [
        "Choose spikes of ", unit, " with ", of, " from ", from, " to ", to, button("Choose", "", () => this.chooseRange()),
      ]);
    }

    async load() {
      const packed = await server.get("features", { r: this.r });
      const [sample, was, unit, codes, amplitude, components] = await Promise.all([
        unpack(packed.sample), unpack(packed.was), unpack(packed.unit), unpack(packed.probability),
        unpack(packed.amplitude), unpackColumns(packed.components),
      ]);
      const seconds = Float64Array.from(sample, (one) => one / contents.recordings[this.r].fs_hz);
      const probability = Float32Array.from(codes, (code) => code / 255);
      this.spikes = { sample, was, unit };
      this.values = [
        ...components.map((values, k) => ({ name: `component ${k + 1} (SD of the noise)`, values })),
        { name: "amplitude, relative to the unit's mean", values: amplitude },
        { name: "time (s)", values: seconds },
        { name: "probability", values: probability },
      ];
      const options = () => this.values.map(({ name }, k) => element("option", { value: String(k), textContent: name }));
      if (this.x.options.length === 0) {
        for (const one of [this.x, this.y, this.range.of]) one.replaceChildren(...options());
        this.y.value = "1";
        this.range.of.value = String(this.values.length - 1);
      }
      this.note.textContent = packed.total > sample.length
        ? `${sample.length} of ${packed.total} spikes are shown, spread over the recording; only these are chosen.`
        : `All ${sample.length} spikes that were found and not rejected are shown.`;
      this.chosen = new Set();
      this.listUnits();
      this.draw();
      await spikesorter.showProposals(this);
    }

    listUnits() {
      const { units } = states.now(this.r) ?? contents.recordings[this.r];
      for (const one of [this.to, this.range.unit]) {
        const before = one.value;
        one.replaceChildren(...units.map(({ unit, name }) => element("option", { value: String(unit), textContent: `unit ${name}` })));
        if (units.some(({ unit }) => String(unit) === before)) one.value = before;
      }
    }

    turn() {
      this.axes = [Number(this.x.value), Number(this.y.value)];
      this.draw();
    }

    draw() {
      const [x, y] = this.axes.map((k) => this.values[k]);
      const places = new Map(); // unit -> positions of its points
      this.spikes.unit.forEach((unit, k) => {
        if (!places.has(unit)) places.set(unit, []);
        places.get(unit).push(k);
      });
      const order = (states.now(this.r)?.units ?? contents.recordings[this.r].units).map((one) => one.unit);
      const colourOf = (unit) => contents.colours[Math.max(order.indexOf(unit), 0) % contents.colours.length];
      const shown = [...places].toSorted(([a], [b]) => order.indexOf(a) - order.indexOf(b));
      this.legend.replaceChildren(...shown.map(([unit, own]) => element("li", {}, [
        element("span", { className: "swatch", style: `background: ${colourOf(unit)}` }),
        `${nameOf(this.r, unit)} (${own.length})`,
      ])));
      const words = `${y.name} against ${x.name} of ${this.spikes.unit.length} spikes`;
      this.scatter.canvas.setAttribute("aria-label", words);
      this.scatter.draw({ x, y, chosen: this.chosen, groups: shown.map(([unit, own]) => ({ color: colourOf(unit), places: own })) });
      this.show();
    }

    choose(places) {
      this.chosen = new Set(places);
      this.draw();
    }

    chooseRange() {
      const { unit, of, from, to } = this.range;
      const { values } = this.values[Number(of.value)];
      const low = from.value === "" ? -Infinity : Number(from.value);
      const high = to.value === "" ? Infinity : Number(to.value);
      const inside = [];
      this.spikes.unit.forEach((one, k) => {
        if (one === Number(unit.value) && values[k] >= low && values[k] <= high) inside.push(k);
      });
      this.choose(inside);
    }

    // Choose spikes named as found.
    chooseSpikes(spikes) {
      const wanted = new Set(spikes.map(String));
      const { sample, was } = this.spikes;
      const inside = [];
      sample.forEach((one, k) => {
        if (wanted.has(`${one},${was[k]}`)) inside.push(k);
      });
      this.choose(inside);
    }

    show() {
      const counts = new Map();
      for (const k of this.chosen) counts.set(this.spikes.unit[k], (counts.get(this.spikes.unit[k]) ?? 0) + 1);
      const listed = [...counts].map(([unit, count]) => `${count} of unit ${nameOf(this.r, unit)}`).join(", ");
      this.words.textContent = this.chosen.size
        ? `${this.chosen.size} spikes are chosen: ${listed}.`
        : "No spikes are chosen. Draw around points, or choose by a range of values.";
      for (const one of this.actions) one.disabled = this.chosen.size === 0;
    }

    judge(action, to) {
      const { sample, was } = this.spikes;
      const spikes = [...this.chosen].toSorted((a, b) => a - b).map((k) => [sample[k], was[k]]);
      return this.change({ action, spikes, ...(to !== undefined && { to }) });
    }

    change(fields) {
      const controls = controlsOf(this.r);
      return controls.change(fields, (answer) => answer.undo).then(() => {
        this.words.textContent = controls.problem.textContent || controls.status.textContent;
      });
    }
  }

  // ---- one view for each recording, filled when it is opened, and again after each change while it is open

  const views = new Map();
  const fill = async (host) => {
    const r = Number(host.dataset.r);
    if (!views.has(r)) {
      controlsOf(r);
      views.set(r, new FeatureView(host));
    }
    const view = views.get(r);
    view.words.textContent = "Reading the spikes…";
    try {
      await states.of(r);
      await view.load();
    } catch (error) {
      view.words.textContent = `The features cannot be shown: ${error.message}`;
    }
  };
  for (const host of document.querySelectorAll("details.grouping")) {
    host.addEventListener("toggle", () => host.open && fill(host));
    states.onChange((r) => {
      if (r === Number(host.dataset.r) && host.open && views.get(r)?.values) fill(host);
    });
  }
})();
