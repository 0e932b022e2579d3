// The page: draw traces and figures when they are scrolled into view, and all of them before printing.
(() => {
  "use strict";

  const { spikesorter } = window;
  const { Trace, contents, drawFigure, setPrinting } = spikesorter;

  const traces = [...document.querySelectorAll(".trace-view")].map((section) => new Trace(section));

  spikesorter.page = {
    show: (r, start) => traces[r].show(traces[r].pageOf(start)),
    select: (r, spike) => traces[r].select(spike),
    nextDoubtful: (r, step) => traces[r].nextDoubtful(step),
    redraw: (r) => traces[r].show(traces[r].page, traces[r].range),
    begin: (r) => traces[r].start(),
    trace: (r) => traces[r],
    setUnits: (r, units) => traces[r].setUnits(units),
  };

  // ---- keys: for the trace that was used last or, if that is out of sight, the one of the recording in sight

  const inSight = (section) => {
    const { top, bottom } = section.getBoundingClientRect();
    return top < window.innerHeight && bottom > 0;
  };
  let used = traces[0];
  const current = () => {
    if (used && inSight(used.section)) return used;
    const inside = ({ section }) => section.closest(".recording").getBoundingClientRect().bottom > window.innerHeight / 2;
    return traces.find(inside) ?? used;
  };
  const use = (event) => {
    const section = event.target.closest?.(".recording");
    if (section) used = traces[Number(section.dataset.r)];
  };
  document.addEventListener("focusin", use);
  document.addEventListener("pointerdown", use);
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || traces.length === 0) return;
    if (event.key.startsWith("Arrow") && event.target.closest(".scrolling, pre")) return; // these scroll it
    const one = current();
    if (!one.pressed(event)) return;
    used = one;
    if (!inSight(one.section)) one.section.scrollIntoView({ block: "start" });
  });
  spikesorter.page.current = () => current().r;

  // ---- drawing on demand

  const begin = (host) => {
    if (host.dataset.begun) return null;
    host.dataset.begun = "yes";
    return host.dataset.trace === undefined ? drawFigure(host) : traces[Number(host.dataset.trace)].start();
  };

  const inView = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (isIntersecting) {
          inView.unobserve(target);
          begin(target);
        }
      }
    },
    { rootMargin: "400px" },
  );
  const hosts = [...document.querySelectorAll(".plot")];
  for (const host of hosts) {
    const given = contents.recordings[Number(host.dataset.r)]?.figures[Number(host.dataset.figure)];
    if (given?.figure) host.style.minHeight = `${given.figure.layout.height}px`; // nothing moves when it is drawn
    inView.observe(host);
  }

  // A browser's own command to print does not wait: what a trace needs is unpacked as soon as there is time.
  const whenIdle = window.requestIdleCallback ?? ((work) => setTimeout(work, 200));
  const prepare = async (r) => {
    if (r === traces.length || spikesorter.source !== spikesorter.embedded) return;
    await spikesorter.embedded.prepare(r);
    whenIdle(() => prepare(r + 1));
  };
  whenIdle(() => prepare(0));

  const folded = () => document.querySelectorAll("details:not([open])");
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = [...folded()];
    for (const one of opened) one.open = true;
    setPrinting(true);
    for (const one of traces) one.drawNow();
    hosts.forEach(begin);
    for (const host of hosts) if (!host.querySelector(".main-svg")) host.dataset.late = "yes";
  });
  window.addEventListener("afterprint", () => {
    for (const one of opened) one.open = false;
    for (const host of hosts) delete host.dataset.late;
    setPrinting(false);
  });
  const print = async () => {
    await Promise.all(hosts.map(begin));
    window.print();
  };
  document.getElementById("print").addEventListener("click", print);
  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey || event.key.toLowerCase() !== "p") return;
    event.preventDefault(); // the browser's own command would not wait for the traces
    print();
  });
})();
