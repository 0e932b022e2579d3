// A cloud of points on a canvas, chosen by a lasso. Plotly's WebGL scatter compiles code at run time, which the page's
// content security policy forbids, and its SVG scatter is slow with tens of thousands of points.
(() => {
  "use strict";

  const { spikesorter } = window;
  const { element } = spikesorter.make;
  const MARGIN = { left: 56, right: 12, top: 10, bottom: 44 };
  const HEIGHT = 460;
  const TICKS = 6;
  const SIZE = 3; // pixels of a point
  const FAINT = 0.2;
  const FEWEST_CORNERS = 3;

  // About TICKS round numbers in a range.
  const ticksOf = ([low, high]) => {
    const rough = (high - low) / TICKS;
    const unit = 10 ** Math.floor(Math.log10(rough));
    const step = unit * ([1, 2, 5, 10].find((one) => one * unit >= rough) ?? 10);
    const first = Math.ceil(low / step);
    return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, k) => (first + k) * step);
  };

  const rangeOf = (values) => {
    let low = Infinity;
    let high = -Infinity;
    for (const one of values) {
      if (one < low) low = one;
      if (one > high) high = one;
    }
    const pad = Math.max((high - low) * 0.03, 1e-6);
    return values.length ? [low - pad, high + pad] : [0, 1];
  };

  // Whether a point is inside a closed line, by how often a ray from it crosses the line.
  const isInside = (x, y, corners) => {
    let inside = false;
    for (let i = 0, j = corners.length - 1; i < corners.length; j = i, i += 1) {
      const [xi, yi] = corners[i];
      const [xj, yj] = corners[j];
      if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
    }
    return inside;
  };

  class Scatter {
    // `onLasso(positions)`: points inside the line that was drawn.
    constructor(onLasso) {
      this.canvas = element("canvas", { className: "scatter" });
      this.canvas.setAttribute("role", "img");
      this.picture = document.createElement("canvas"); // the points, on which the line is drawn
      this.onLasso = onLasso;
      this.line = null;
      this.canvas.addEventListener("pointerdown", (event) => {
        this.canvas.setPointerCapture(event.pointerId);
        this.line = [this.at(event)];
      });
      this.canvas.addEventListener("pointermove", (event) => {
        if (this.line === null) return;
        this.line.push(this.at(event));
        this.drawLine();
      });
      this.canvas.addEventListener("pointerup", () => this.finish());
      this.canvas.addEventListener("pointercancel", () => {
        this.line = null;
        this.paint();
      });
      new ResizeObserver(() => this.given && this.paint()).observe(this.canvas);
      window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.given && this.paint());
    }

    at(event) {
      const box = this.canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    }

    // `x`, `y`: {name, values}; `groups`: [{color, places}]; `chosen`: a Set of positions.
    draw(given) {
      this.given = given;
      this.ranges = [rangeOf(given.x.values), rangeOf(given.y.values)];
      this.paint();
    }

    toPixels() {
      const [[left, right], [low, high]] = this.ranges;
      const width = this.canvas.clientWidth - MARGIN.left - MARGIN.right;
      const height = HEIGHT - MARGIN.top - MARGIN.bottom;
      return {
        x: (value) => MARGIN.left + ((value - left) / (right - left)) * width,
        y: (value) => MARGIN.top + ((high - value) / (high - low)) * height,
      };
    }

    paint() {
      const width = this.canvas.clientWidth;
      if (width === 0) return; // folded away
      const scale = window.devicePixelRatio || 1;
      for (const one of [this.canvas, this.picture]) Object.assign(one, { width: width * scale, height: HEIGHT * scale });
      const pen = this.picture.getContext("2d");
      pen.scale(scale, scale);
      const { x, y, groups, chosen } = this.given;
      const to = this.toPixels();
      this.paintAxes(pen, to);
      // Those that are not chosen first, all with one opacity: to change it for each point is slow.
      for (const faint of chosen.size ? [true, false] : [false]) {
        pen.globalAlpha = faint ? FAINT : 1;
        for (const { color, places } of groups) {
          pen.fillStyle = color;
          for (const k of places) {
            if (chosen.size && chosen.has(k) === faint) continue;
            pen.fillRect(to.x(x.values[k]) - SIZE / 2, to.y(y.values[k]) - SIZE / 2, SIZE, SIZE);
          }
        }
      }
      this.show();
    }

    show() {
      const pen = this.canvas.getContext("2d");
      pen.setTransform(1, 0, 0, 1, 0, 0);
      pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
      pen.drawImage(this.picture, 0, 0);
      const scale = window.devicePixelRatio || 1;
      pen.scale(scale, scale);
      return pen;
    }

    paintAxes(pen, to) {
      const style = getComputedStyle(this.canvas);
      pen.strokeStyle = style.getPropertyValue("--line");
      pen.fillStyle = style.color;
      pen.font = `12px ${style.fontFamily}`;
      const right = this.canvas.clientWidth - MARGIN.right;
      const bottom = HEIGHT - MARGIN.bottom;
      const digits = (value) => String(Number(value.toPrecision(4)));
      pen.beginPath();
      for (const value of ticksOf(this.ranges[0])) {
        pen.moveTo(to.x(value), MARGIN.top);
        pen.lineTo(to.x(value), bottom);
        pen.textAlign = "center";
        pen.fillText(digits(value), to.x(value), bottom + 16);
      }
      for (const value of ticksOf(this.ranges[1])) {
        pen.moveTo(MARGIN.left, to.y(value));
        pen.lineTo(right, to.y(value));
        pen.textAlign = "right";
        pen.fillText(digits(value), MARGIN.left - 6, to.y(value) + 4);
      }
      pen.stroke();
      pen.textAlign = "center";
      pen.fillText(this.given.x.name, (MARGIN.left + right) / 2, HEIGHT - 8);
      pen.save();
      pen.rotate(-Math.PI / 2);
      pen.fillText(this.given.y.name, -(MARGIN.top + bottom) / 2, 12);
      pen.restore();
    }

    drawLine() {
      const pen = this.show();
      pen.strokeStyle = getComputedStyle(this.canvas).getPropertyValue("--link");
      pen.lineWidth = 1.5;
      pen.beginPath();
      for (const [x, y] of this.line) pen.lineTo(x, y);
      pen.closePath();
      pen.stroke();
    }

    finish() {
      const { line } = this;
      this.line = null;
      if (line === null) return;
      const inside = [];
      if (line.length >= FEWEST_CORNERS) {
        const { x, y } = this.given;
        const to = this.toPixels();
        for (let k = 0; k < x.values.length; k += 1) {
          if (isInside(to.x(x.values[k]), to.y(y.values[k]), line)) inside.push(k);
        }
      }
      this.onLasso(inside);
    }
  }

  spikesorter.Scatter = Scatter;
})();
