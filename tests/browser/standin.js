// A stand-in for page.js: what viewer.js calls, and markers to look at.
(() => {
  "use strict";
  const { spikesorter } = window;
  const { extras, source } = spikesorter;
  const markers = document.getElementById("markers");
  let shown = [0, 0, 1];
  const show = async (r, start, stop) => {
    shown = [r, start, stop];
    const span = await source.span(r, start, stop);
    const lines = span.found.map((spike) => {
      const line = document.createElement("li");
      line.textContent = `${spike.sample} ${spike.unit} ${spike.decision ?? "as found"}`;
      line.addEventListener("click", () => extras.onSelect(r, spike));
      return line;
    });
    markers.replaceChildren(...lines);
    markers.dataset.samples = String(span.trace[0].length);
    markers.dataset.evidence = String(Math.max(...span.evidence.map((curve) => Math.max(...curve))));
    extras.onPage(r, start, stop);
  };
  spikesorter.page = {
    show,
    async select(r, spike) {
      const start = Math.floor(spike.sample / 6250) * 6250;
      await show(r, start, start + 6250);
      extras.onSelect(r, spike);
    },
    redraw: () => show(...shown),
  };
  extras.mount(0, document.getElementById("controls"));
  show(0, 0, 31250);
})();
