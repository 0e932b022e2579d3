// The trace of a recording with spikes and evidence; paged and zoomed by button, key, mouse and touch.
(() => {
  "use strict";

  const { spikesorter } = window;
  const { contents, embedded, source } = spikesorter;
  const { CONFIG, GREY, coloured, palette, plain, sizeOf } = spikesorter.style;
  const AROUND_S = 0.015; // shown on either side of a selected spike
  const MOST_POINTS = 8000; // of a channel; more are thinned to the screen's resolution
  const LEAST_S = 0.001;
  const SHADE = "rgba(128, 128, 128, 0.3)"; // as in figures.py and style.py
  const WIDE = 0.06; // of the width shown; a wider bad stretch has its kind written in it
  const KEYS = {
    ArrowLeft: "back", ArrowRight: "on", "+": "in", "=": "in", "-": "out", w: "all", 0: "all",
    n: "next", p: "previous", g: "focus",
  };
  const MARK_PIXELS = 11; // width of a spike's mark
  const MOST_LANES = 4; // of marks above one another
  const LANE_PIXELS = 13; // from one lane of marks to the next
  const WINDOW_S = 0.003; // on either side of a doubtful spike in its thumbnail

  // A thumbnail of the channel with the largest values. The dashed line marks the spike's start.
  const thumbnailOf = (trace, offset, length, colour) => {
    const ranges = trace.map((values) => [Math.min(...values), Math.max(...values)]);
    const size = ([low, high]) => high - low;
    const k = ranges.reduce((best, range, i) => (size(range) > size(ranges[best]) ? i : best), 0);
    const y = (value) => 2 + (36 * (ranges[k][1] - value)) / Math.max(size(ranges[k]), 1e-12);
    const points = Array.from(trace[k], (value, i) => `${((160 * (i + offset)) / length).toFixed(1)},${y(value).toFixed(1)}`);
    const element = (tag, attributes, children = []) => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
      made.append(...children);
      return made;
    };
    return element("svg", { viewBox: "0 0 160 40", preserveAspectRatio: "none", "aria-hidden": "true" }, [
      element("line", { x1: 80, x2: 80, y1: 0, y2: 40, stroke: colour, "stroke-width": 2, "stroke-dasharray": "4 3" }),
      element("polyline", { points: points.join(" "), fill: "none", stroke: "currentColor" }),
    ]);
  };

  class Trace {
    constructor(section) {
      this.r = Number(section.dataset.r);
      this.one = contents.recordings[this.r];
      this.section = section;
      this.host = section.querySelector(".plot");
      this.status = section.querySelector(".status");
      this.setUnits(this.one.units);
      this.page = 0;
      this.range = null; // seconds; null: the whole page
      this.spike = null;
      this.doubt = -1;
      this.span = null;
      this.asked = 0;
      this.drawings = 0;
      this.watchFingers();
      for (const control of section.querySelectorAll("[data-do]")) {
        if (control.tagName === "BUTTON") control.addEventListener("click", () => this.act(control.dataset.do));
      }
      this.go = section.querySelector('input[data-do="go"]');
      this.go.addEventListener("change", () => this.toSecond(Number(this.go.value)));
      this.go.addEventListener("keydown", ({ key }) => ["Enter", "Escape"].includes(key) && section.focus()); // keys act again
      this.strip = section.closest(".recording").querySelector(".strip");
      this.strip?.querySelector(".strip-place").addEventListener("click", (event) => {
        const box = event.currentTarget.getBoundingClientRect();
        this.goTo(this.seconds(((event.clientX - box.left) / box.width) * this.one.n_samples));
      });
      this.strip?.querySelector("input").addEventListener("change", ({ target }) => {
        this.goTo(this.seconds(this.one.pages[Number(target.value)][0]));
      });
      this.buttons = [...section.parentElement.querySelectorAll("button[data-doubtful]")];
      this.buttons.forEach((button, k) => button.addEventListener("click", () => this.toDoubtful(k)));
    }

    setUnits(units) {
      this.units = new Map(units.map((one, k) => [one.unit, { ...one, k }]));
    }

    start() {
      this.started ??= (spikesorter.extras.mount?.(this.r, this.section.querySelector(".controls")), this.show(this.page));
      this.pictured ??= this.drawThumbnails();
      return this.started;
    }

    // Act on a key; false if it has no meaning here.
    pressed(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return false;
      const what = KEYS[event.key];
      if (what === undefined) return false;
      event.preventDefault();
      this.start(); // on a fresh page nothing has come into sight yet
      this.act(what);
      return true;
    }

    act(what) {
      const ways = {
        back: () => this.show(this.page - 1),
        on: () => this.show(this.page + 1),
        in: () => this.zoom(0.5),
        out: () => this.zoom(2),
        all: () => this.zoom(Infinity),
        next: () => this.nextDoubtful(1),
        previous: () => this.nextDoubtful(-1),
        focus: () => this.go.focus(),
      };
      return ways[what]();
    }

    seconds(sample) {
      return sample / this.one.fs_hz;
    }

    pageOf(sample) {
      return this.one.pages.findIndex(([start, stop]) => start <= sample && sample < stop);
    }

    // Show a page. If several are requested, only the last one is drawn, in any order of arrival.
    async show(page, range = null) {
      this.page = Math.min(Math.max(page, 0), this.one.pages.length - 1);
      this.range = range;
      const [start, stop] = this.one.pages[this.page];
      this.asked += 1;
      const { asked } = this;
      try {
        const span = await source.span(this.r, start, stop);
        if (asked !== this.asked) return;
        this.span = span;
      } catch (error) {
        this.status.textContent = `The trace cannot be shown: ${error.message}`;
        return;
      }
      await this.draw();
      spikesorter.extras.onPage?.(this.r, start, stop);
    }

    zoom(factor) {
      if (this.span === null) return Promise.resolve();
      const [low, high] = this.shown();
      const wanted = Math.max((high - low) * factor, LEAST_S);
      const inside = this.spike === null ? null : this.seconds(this.spike.sample);
      const middle = inside !== null && inside > low && inside < high ? inside : (low + high) / 2;
      return this.look(middle - wanted / 2, wanted);
    }

    shown() {
      return this.range ?? [this.seconds(this.span.start), this.seconds(this.span.stop)];
    }

    // Show a number of seconds from a given time, within the page.
    look(from, length) {
      const whole = [this.seconds(this.span.start), this.seconds(this.span.stop)];
      if (length >= whole[1] - whole[0]) this.range = null;
      else {
        const low = Math.min(Math.max(from, whole[0]), whole[1] - length);
        this.range = [low, low + length];
      }
      return this.draw();
    }

    // One finger pans the trace, two zoom it; vertical movement scrolls the page (touch-action in page.css).
    watchFingers() {
      const down = new Map(); // pointer -> x
      const share = (x) => {
        const box = this.host.querySelector(".nsewdrag").getBoundingClientRect();
        return (x - box.left) / box.width;
      };
      let began = null; // positions of the fingers and the range shown at the start
      const begin = () => {
        began = this.span && down.size ? { at: [...down.values()].map(share), shown: this.shown() } : null;
      };
      const only = (act) => (event) => event.pointerType === "touch" && act(event);
      const lift = only((event) => down.delete(event.pointerId) && begin());
      this.host.addEventListener("pointerdown", only((event) => begin(down.set(event.pointerId, event.clientX))));
      window.addEventListener("pointerup", lift);
      window.addEventListener("pointercancel", lift);
      this.host.addEventListener("pointermove", only((event) => {
        if (!began || !down.has(event.pointerId)) return;
        down.set(event.pointerId, event.clientX);
        const { at, shown: [low, high] } = began;
        const now = [...down.values()].map(share);
        const apart = at.length > 1 && Math.abs(now[1] - now[0]) > 0.02 ? (at[1] - at[0]) / (now[1] - now[0]) : 1;
        const length = Math.max((high - low) * Math.abs(apart), LEAST_S);
        this.look(low + at[0] * (high - low) - now[0] * length, length);
      }));
    }

    // Put a thumbnail on each doubtful spike's button.
    async drawThumbnails() {
      if (source === embedded) {
        await embedded.prepare(this.r);
        this.drawThumbnailsNow();
        return;
      }
      const fetched = (await source.thumbnails?.(this.r)) ?? [];
      for (const [k, { start, trace }] of fetched.entries()) this.drawThumbnail(k, start, trace);
    }

    drawThumbnail(k, start, trace) {
      const [sample, unit] = this.one.doubtful[k];
      const half = Math.round(WINDOW_S * this.one.fs_hz);
      const { color } = this.appearance(unit);
      this.buttons[k].prepend(thumbnailOf(trace, start - sample + half, 2 * half, color));
    }

    drawThumbnailsNow() {
      if (this.section.dataset.pictured) return;
      this.section.dataset.pictured = "yes";
      const half = Math.round(WINDOW_S * this.one.fs_hz);
      for (const [k, [sample]] of this.one.doubtful.entries()) {
        const page = this.one.pages[this.pageOf(sample)];
        if (page === undefined) continue;
        const start = Math.max(sample - half, page[0]);
        const { trace } = embedded.spanNow(this.r, start, Math.min(sample + half, page[1]));
        this.drawThumbnail(k, start, trace);
      }
    }

    // Draw all that is not drawn yet, without waiting for anything; false if the data are not there yet.
    drawNow() {
      if (this.span !== null) return true;
      const [start, stop] = this.one.pages[this.page];
      const span = source === embedded ? embedded.spanNow(this.r, start, stop) : undefined;
      if (span === undefined) return false;
      this.span = span;
      this.drawThumbnailsNow();
      this.draw();
      return true;
    }

    goTo(second) {
      this.start();
      return this.toSecond(second);
    }

    // Show on the strip of the whole recording what is in sight.
    showPlace(low, high) {
      if (!this.strip) return;
      const share = (second) => `${(100 * second) / this.seconds(this.one.n_samples)}%`;
      const shown = this.strip.querySelector(".window");
      shown.hidden = false;
      shown.style.left = share(low);
      shown.style.width = share(high - low);
      this.strip.querySelector("input").value = String(this.page);
    }

    toSecond(second) {
      if (!Number.isFinite(second)) return Promise.resolve();
      const sample = Math.round(second * this.one.fs_hz);
      const found = this.one.pages.findIndex(([, stop]) => sample < stop);
      return this.show(found < 0 ? this.one.pages.length - 1 : found);
    }

    nextDoubtful(step) {
      const count = this.one.doubtful.length;
      if (count === 0) {
        this.status.textContent = "There are no doubtful spikes.";
        return Promise.resolve();
      }
      const from = this.doubt < 0 && step < 0 ? 0 : this.doubt;
      return this.toDoubtful((from + step + count) % count);
    }

    toDoubtful(k) {
      const [sample, unit, probability] = this.one.doubtful[k];
      return this.select({ sample, unit, probability });
    }

    async select(spike) {
      this.spike = spike;
      this.doubt = spike === null ? -1 : this.one.doubtful.findIndex(
        (one) => String(one.slice(0, 2)) === String(spike.was ?? [spike.sample, spike.unit]),
      );
      this.buttons.forEach((button, k) => {
        if (k === this.doubt) button.setAttribute("aria-current", "true");
        else button.removeAttribute("aria-current");
      });
      spikesorter.extras.onSelect?.(this.r, spike);
      if (spike === null) return this.draw();
      const page = this.pageOf(spike.sample);
      if (page < 0) {
        this.status.textContent =
          `The spike at ${this.seconds(spike.sample).toFixed(4)} s is not in this file; spikesorter view shows it.`;
        return null;
      }
      const at = this.seconds(spike.sample);
      const [start, stop] = this.one.pages[page].map((sample) => this.seconds(sample));
      return this.show(page, [Math.max(at - AROUND_S, start), Math.min(at + AROUND_S, stop)]);
    }

    // Samples `first` to `last`, thinned to the minimum and maximum of each column of pixels.
    thinned(values, first, last) {
      const columns = Math.max(this.host.clientWidth, 300);
      const x = [];
      const y = [];
      const put = (i) => {
        x.push(this.seconds(this.span.start + i));
        y.push(values[i]);
      };
      if (last - first <= Math.max(MOST_POINTS, 4 * columns)) {
        for (let i = first; i < last; i += 1) put(i);
        return { x, y };
      }
      const width = (last - first) / columns;
      for (let column = 0; column < columns; column += 1) {
        const begin = Math.floor(first + column * width);
        const end = Math.floor(first + (column + 1) * width);
        let low = begin;
        let high = begin;
        for (let i = begin; i < end; i += 1) {
          if (values[i] < values[low]) low = i;
          if (values[i] > values[high]) high = i;
        }
        for (const i of low < high ? [low, high] : [high, low]) put(i);
      }
      return { x, y };
    }

    appearance(unit) {
      const { name, k } = this.units.get(unit) ?? { name: String(unit), k: this.units.size };
      return {
        name: plain(name),
        color: contents.colours[k % contents.colours.length],
        symbol: contents.symbols[k % contents.symbols.length],
      };
    }

    // A lane for each spike, so that none covers another: the lowest that is free for the width of a mark.
    lanesOf(spikes, low, high) {
      const apart = ((high - low) * MARK_PIXELS) / Math.max(this.host.clientWidth, 300);
      const last = []; // of each lane, seconds
      const lanes = new Map(spikes.map((spike) => {
        const at = this.seconds(spike.sample);
        const free = last.findIndex((before) => at - before >= apart);
        const lane = free < 0 ? Math.min(last.length, MOST_LANES - 1) : free;
        last[lane] = at;
        return [spike, lane];
      }));
      return { lanes, count: Math.max(last.length, 1) };
    }

    // `heightOf`: where a spike's mark is. `named`: units that are already in the legend.
    marks(spikes, heightOf, row, group, named) {
      return [...this.units.keys()].flatMap((unit) => {
        const own = spikes.filter((spike) => spike.unit === unit);
        if (own.length === 0) return [];
        const { name, color, symbol } = this.appearance(unit);
        return {
          type: "scatter",
          mode: "markers",
          x: own.map((spike) => this.seconds(spike.sample)),
          y: own.map(heightOf),
          customdata: own,
          text: own.map(
            (spike) =>
              `${row} ${name}<br>${this.seconds(spike.sample).toFixed(4)} s` +
              (group === "found" ? `, probability ${spike.probability.toFixed(2)}` : "") +
              (spike.decision ? `<br>${plain(spike.decision)}` : ""),
          ),
          hovertemplate: "%{text}<extra></extra>",
          marker: {
            color,
            symbol: own.map((spike) => (spike.rejected ? "x-thin-open" : group === "true" ? `${symbol}-open` : symbol)),
            size: 9,
            line: { width: own.map((spike) => (spike.decision ? 2 : 1)), color },
          },
          name,
          legendgroup: String(unit),
          showlegend: !named.has(unit) && Boolean(named.add(unit)),
          meta: group,
        };
      });
    }

    // A bad stretch, shaded from top to bottom.
    shaded([start, stop, kind], low, high) {
      const x0 = Math.max(this.seconds(start), low);
      const x1 = Math.min(this.seconds(stop), high);
      const words = x1 - x0 > WIDE * (high - low) ? kind : "";
      return {
        type: "rect", x0, x1, yref: "paper", y0: 0, y1: 1, layer: "below", line: { width: 0 },
        fillcolor: SHADE, label: { text: words, textposition: "bottom left", font: { color: palette().ink } },
      };
    }

    // The bad stretches of the span in sight.
    badBetween(low, high) {
      return this.span.bad.filter(([start, stop]) => this.seconds(start) < high && this.seconds(stop) > low);
    }

    async draw() {
      if (this.span === null) return;
      const { start, stop, trace, evidence, found, truth } = this.span;
      const [low, high] = this.range ?? [this.seconds(start), this.seconds(stop)];
      const first = Math.max(Math.floor(low * this.one.fs_hz) - start - 1, 0);
      const last = Math.min(Math.ceil(high * this.one.fs_hz) - start + 2, stop - start);
      const extent = (values) => values.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
      const extents = trace.map(extent);
      const height = Math.max(...extents.map(([a, b]) => b - a), 1e-12);
      const lines = trace.map((values, k) => {
        const { x, y } = this.thinned(values, first, last);
        return {
          type: "scatter", mode: "lines", x, y: y.map((value) => value - k * height), hoverinfo: "skip",
          line: { color: GREY, width: 1 }, showlegend: false, meta: "trace",
        };
      });
      const curves = evidence.map((values, k) => {
        const one = this.one.units[k];
        const known = evidence.length === this.one.curves.length && this.one.curves[k] === one?.name;
        return {
          type: "scatter", mode: "lines", ...this.thinned(values, first, last), yaxis: "y2", showlegend: false,
          line: { color: known ? this.appearance(one.unit).color : GREY, width: 1 }, meta: "evidence",
          name: plain(this.one.curves[k]), hovertemplate: "evidence of %{fullData.name}: %{y:.2f}<extra></extra>",
        };
      });
      const top = extents[0][1];
      const named = new Set();
      const many = trace.length > 1;
      const plotHeight = many ? 440 + 60 * trace.length : 440;
      const lane = (LANE_PIXELS * (trace.length + 0.3)) / (0.73 * (plotHeight - 60)); // in heights of a channel
      const inLanes = (spikes, from, group) => {
        const { lanes, count } = this.lanesOf(spikes, low, high);
        const heightOf = (spike) => top + (from + lane * lanes.get(spike)) * height;
        return { marks: this.marks(spikes, heightOf, group, group, named), next: from + lane * count };
      };
      const { marks, next } = inLanes(found, 0.1, "found");
      const trueMarks = truth === null ? [] : inLanes(truth, next + 0.3 * lane, "true").marks;
      const layout = {
        height: plotHeight,
        margin: { l: 60, r: 15, t: 10, b: 50 },
        uirevision: "kept", // units hidden in the legend stay hidden
        legend: { orientation: "h", x: 0, y: 1.01, yanchor: "bottom" },
        xaxis: { title: { text: "time (s)" }, range: [low, high], anchor: "y2", uirevision: (this.drawings += 1) },
        yaxis: {
          domain: [0.27, 1],
          fixedrange: true,
          ...(many && {
            tickvals: this.one.channels.map((_, k) => -k * height),
            ticktext: this.one.channels.map(plain),
          }),
        },
        yaxis2: { domain: [0, 0.2], range: [0, 1.05], fixedrange: true, title: { text: "evidence" } },
        dragmode: "pan",
        shapes: [...this.badBetween(low, high).map((one) => this.shaded(one, low, high)), ...(this.spike === null ? [] : [{
          type: "line", x0: this.seconds(this.spike.sample), x1: this.seconds(this.spike.sample), yref: "paper",
          y0: 0, y1: 1, line: { color: palette().ink, width: 1, dash: "dot" },
        }])],
      };
      const begun = this.host.classList.contains("js-plotly-plot");
      const sized = coloured({ ...layout, ...sizeOf(this.host) });
      await Plotly.react(this.host, [...lines, ...marks, ...trueMarks, ...curves], sized, { ...CONFIG, displayModeBar: false, doubleClick: false });
      if (!begun) this.listen();
      spikesorter.drawn.set(this.host, () => this.draw());
      this.describe(low, high, found);
      this.showPlace(low, high);
      spikesorter.extras.onDrawn?.(this.r);
    }

    describe(low, high, found) {
      const inside = found.filter((spike) => this.seconds(spike.sample) >= low && this.seconds(spike.sample) <= high);
      const shown = `${low.toFixed(3)} to ${high.toFixed(3)} s of ${this.seconds(this.one.n_samples).toFixed(1)} s`;
      const doubt = this.doubt < 0 ? "" : `; doubtful spike ${this.doubt + 1} of ${this.one.doubtful.length}`;
      const kinds = [...new Set(this.badBetween(low, high).map(([, , kind]) => kind))];
      const bad = kinds.length ? `; shaded: bad (${kinds.join(", ")})` : "";
      this.status.textContent =
        `${shown}, page ${this.page + 1} of ${this.one.pages.length}; ${inside.length} spikes found here${doubt}${bad}.`;
    }

    listen() {
      this.host.on("plotly_click", (event) => {
        const point = event.points.find((each) => each.data.meta === "found");
        if (point !== undefined) this.select(point.customdata);
      });
      this.host.on("plotly_doubleclick", () => this.zoom(Infinity)); // Plotly's own would go to the first page's range
      this.host.on("plotly_relayout", (change) => {
        const low = change["xaxis.range[0]"];
        const high = change["xaxis.range[1]"];
        if (low === undefined) return;
        const shown = this.shown();
        if (low !== shown[0] || high !== shown[1]) this.look(low, high - low);
      });
    }
  }

  spikesorter.Trace = Trace;
})();
