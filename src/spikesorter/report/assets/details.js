// The viewer: what is measured only when it is wanted: the noise in a strip, the table of quality metrics.
(() => {
  "use strict";

  const { spikesorter } = window;
  const { server } = spikesorter;
  const { element } = spikesorter.make;

  const inSight = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      inSight.unobserve(target);
      const { r } = target.dataset;
      const path = document.getElementById(`noise-${r}`);
      if (path === null) continue;
      server.get("noise", { r }).then((noise) => {
        path.setAttribute("d", noise.path);
        target.querySelector(".strip-names li:last-child").title = noise.most;
      }, () => null); // the strip is useful without it
    }
  });
  for (const strip of document.querySelectorAll(".strip")) inSight.observe(strip);

  const tableOf = ({ caption, head, rows }) => element("table", { className: "wide" }, [
    element("caption", { textContent: caption }),
    element("thead", {}, [element("tr", {}, head.map((name) => element("th", { scope: "col", textContent: name })))]),
    element("tbody", {}, rows.map(([first, ...cells]) => element("tr", {}, [
      element("th", { scope: "row", textContent: first }),
      ...cells.map((text, k) => {
        const cell = element("td", { textContent: text });
        cell.dataset.head = head[k + 1];
        return cell;
      }),
    ]))),
  ]);

  for (const host of document.querySelectorAll("details.metrics")) {
    host.addEventListener("toggle", async () => {
      if (!host.open || host.dataset.begun) return;
      host.dataset.begun = "yes";
      const region = element("div", { className: "scrolling", tabIndex: 0, textContent: "Measuring…" });
      region.setAttribute("role", "region");
      region.setAttribute("aria-label", "Quality metrics");
      host.append(region);
      try {
        region.replaceChildren(tableOf(await server.get("metrics", { r: host.dataset.r })));
      } catch (error) {
        region.textContent = `The metrics cannot be measured: ${error.message}`;
        delete host.dataset.begun;
      }
    });
  }
})();
