// The data of a page: embedded in it, and unpacked when needed.
//
// Defines `window.spikesorter`, which all scripts of the page share:
//   contents               the contents of the page
//   unpack, unpackSpikes   convert packed data to arrays
//   spikeAt(spikes, k)     the k-th of unpacked spikes: {sample, unit, probability}
//   embedded, source       where traces come from: the page itself or, in the viewer, its server
//     .span(r, start, stop)  Promise of {start, stop, trace, evidence: a Float32Array for each channel or curve,
//                            found, truth: a list of spikes, or null; bad: a list of [start, stop, kind]}. A corrected spike has `decision` (a word),
//                            `rejected` (boolean) and, if it is not
//                            where or of the unit that it was found to be, `was` ([sample, unit])
//     .spanNow(r, start, stop)  the same at once, of a recording that was prepared (`.prepare(r)`), as a browser
//                            waits for nothing before it prints; embedded data only
//     .thumbnails(r)         Promise of [{start, trace}] around each of the doubtful spikes, if they are not embedded
//     .figures(r)            Promise of the figures of recording r, if they are not embedded
//   extras                 additions of the viewer:
//     .mount(r, host)        puts controls below the trace of recording r
//     .onPage(r, start, stop), .onSelect(r, spike), .onDrawn(r)
//   page                   functions for the viewer: show(r, start), select(r, spike),
//                          nextDoubtful(r, step), redraw(r), begin(r); each returns a Promise.
//                          trace(r) is its Trace; setUnits(r, units) after units were made;
//                          current() is the recording that keys are for
//   style, drawn, drawFigure, Trace: see figures.js and trace.js
//
// Text from outside is never HTML: it is set as textContent, and escaped for Plotly, which reads some HTML.
(() => {
  "use strict";

  const contents = JSON.parse(document.getElementById("contents").textContent);
  const TYPES = { u1: Uint8Array, i4: Int32Array, f4: Float32Array };

  // Unpack an array of gzipped bytes in base64.
  const unpack = async (packed) => {
    const bytes = Uint8Array.from(atob(packed.gz), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new TYPES[packed.dtype](await new Response(stream).arrayBuffer());
  };

  // Unpack spikes into columns: samples, units and probabilities.
  const unpackSpikes = async (packed) => {
    if (packed === null) return null;
    const [sample, unit, codes] = await Promise.all([packed.sample, packed.unit, packed.probability].map(unpack));
    return { sample, unit, probability: Float32Array.from(codes, (code) => code / 255) };
  };

  const spikeAt = (spikes, k) => ({
    sample: spikes.sample[k], unit: spikes.unit[k], probability: spikes.probability[k],
  });

  // ---- embedded data

  const unpackRecording = async (r) => {
    const one = contents.recordings[r];
    const [trace, evidence, found, truth] = await Promise.all([
      unpack(one.embedded.trace),
      unpack(one.embedded.evidence),
      unpackSpikes(one.found),
      unpackSpikes(one.truth),
    ]);
    let offset = 0;
    const pages = one.pages.map(([start, stop]) => {
      const page = { start, stop, offset };
      offset += stop - start;
      return page;
    });
    return { one, trace, evidence, found, truth, pages };
  };

  const firstAtLeast = (sorted, value) => {
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] < value) low = middle + 1;
      else high = middle;
    }
    return low;
  };

  const spikesWithin = (spikes, start, stop) => {
    if (spikes === null) return null;
    const inside = [];
    for (let k = firstAtLeast(spikes.sample, start); k < spikes.sample.length && spikes.sample[k] < stop; k += 1) {
      inside.push(spikeAt(spikes, k));
    }
    return inside;
  };

  const unpacked = new Map(); // r -> Promise
  const ready = new Map(); // r -> what it gave
  const embedded = {
    // Unpack a recording, so that `spanNow` can give its spans.
    async prepare(r) {
      if (!unpacked.has(r)) unpacked.set(r, unpackRecording(r));
      ready.set(r, await unpacked.get(r));
    },
    async span(r, start, stop) {
      await embedded.prepare(r);
      return embedded.spanNow(r, start, stop);
    },
    // A span of a recording that has been prepared; undefined if it has not.
    spanNow(r, start, stop) {
      if (!ready.has(r)) return undefined;
      const { one, trace, evidence, found, truth, pages } = ready.get(r);
      const page = pages.find((each) => each.start <= start && stop <= each.stop);
      const first = page.offset + start - page.start;
      const column = (codes, columns, k, low, step) =>
        Float32Array.from({ length: stop - start }, (_, i) => low + step * codes[(first + i) * columns + k]);
      const { low, step, evidence_step: evidenceStep } = one.embedded;
      const curves = one.curves.length;
      return {
        start,
        stop,
        trace: low.map((_, k) => column(trace, low.length, k, low[k], step[k])),
        evidence: one.curves.map((_, k) => column(evidence, curves, k, 0, evidenceStep)),
        found: spikesWithin(found, start, stop),
        truth: spikesWithin(truth, start, stop),
        bad: one.bad.filter(([from, to]) => from < stop && to > start),
      };
    },
  };

  window.spikesorter = { contents, unpack, unpackSpikes, spikeAt, embedded, source: embedded, extras: {} };
})();
