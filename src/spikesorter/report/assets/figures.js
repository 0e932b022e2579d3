// Figures: drawing, colours that follow the system's, and sizes on screen and paper.
(() => {
  "use strict";

  const { spikesorter } = window;
  const { contents } = spikesorter;
  const GREY = "#808080";
  const LIGHT = { ink: "#1b1f24", grid: "#e3e8ed" };
  const DARK = { ink: "#e6edf3", grid: "#2b343d" };
  const BUTTONS = [["toImage", "zoomIn2d", "zoomOut2d", "resetScale2d"]]; // without Plotly's button that uploads the figure
  const fingers = window.matchMedia("(pointer: coarse)");
  // Without a mouse, the buttons would always cover the figure.
  const CONFIG = {
    responsive: true, displaylogo: false, scrollZoom: false, modeBarButtons: BUTTONS,
    displayModeBar: fingers.matches ? false : "hover", toImageButtonOptions: { format: "svg", filename: "figure" },
  };
  const NARROW = 600; // pixels; below this, the legend needs several lines and is placed above the figure
  const PAPER = { wide: 640, narrow: 300 }; // pixels, for a sheet of A4 or letter

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  let printing = false;
  const palette = () => (dark.matches && !printing ? DARK : LIGHT);

  // Escape text for Plotly, which reads some HTML, TeX between dollars and, in %{}, names of values.
  const plain = (text) => String(text).replace(/[&<>$%]/g, (sign) => `&#${sign.charCodeAt(0)};`);

  const axisColours = () => {
    const { ink, grid } = palette();
    return { gridcolor: grid, zerolinecolor: grid, linecolor: grid, tickcolor: grid, color: ink };
  };

  const coloured = (layout) => {
    const made = { ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)" };
    made.font = { ...layout.font, color: palette().ink };
    made.modebar = { bgcolor: "rgba(0,0,0,0)", color: palette().ink, activecolor: palette().ink };
    if (fingers.matches) made.dragmode = false; // a finger on a figure scrolls the page
    const axes = Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key));
    for (const key of new Set(["xaxis", "yaxis", ...axes])) made[key] = { ...layout[key], ...axisColours() };
    return made;
  };

  const sizeOf = (host) => {
    if (!printing) return { autosize: true, width: undefined };
    const narrow = host.closest("figure:not(.wide)") !== null;
    return { autosize: false, width: narrow ? PAPER.narrow : PAPER.wide };
  };

  const legendOf = (host, layout) =>
    (sizeOf(host).width ?? host.clientWidth) < NARROW && layout.showlegend !== false
      ? { legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" } }
      : {};

  // Plotly chooses the colour of a cell's number as if on white.
  const legible = (one) =>
    one.type === "heatmap" && palette() === DARK ? { ...one, textfont: { ...one.textfont, color: DARK.ink } } : one;

  // ---- figures

  const drawn = new Map(); // element -> function that draws it again
  const redrawAll = () => Promise.all([...drawn.values()].map((again) => again()));
  dark.addEventListener("change", redrawAll);

  const setPrinting = (on) => {
    printing = on;
    return redrawAll();
  };

  const drawFigure = async (host) => {
    const r = Number(host.dataset.r);
    const given = contents.recordings[r].figures[Number(host.dataset.figure)];
    const figure = given.figure ?? (await spikesorter.source.figures(r))[Number(host.dataset.figure)].figure;
    const again = () => {
      const layout = { ...figure.layout, ...legendOf(host, figure.layout), ...sizeOf(host) };
      return Plotly.react(host, figure.data.map(legible), coloured(layout), CONFIG);
    };
    drawn.set(host, again);
    await again();
  };

  Object.assign(spikesorter, { drawn, drawFigure, setPrinting });
  spikesorter.style = { CONFIG, GREY, coloured, palette, plain, sizeOf };
})();
