// The viewer: units that could be merged or split, with the evidence, each done by one click.
(() => {
  "use strict";

  const { spikesorter } = window;
  const { server } = spikesorter;
  const { element, button } = spikesorter.make;

  const listOf = (title, items, none) => element("div", {}, [
    element("h4", { textContent: title }),
    items.length ? element("ul", {}, items) : element("p", { className: "note", textContent: none }),
  ]);

  const marked = (proposed, parts) => element("li", { className: proposed ? "proposed" : "" }, [
    ...(proposed ? [element("b", { textContent: "Proposed. " })] : []), ...parts,
  ]);

  spikesorter.showProposals = async (view) => {
    const { merges, splits } = await server.get("proposals", { r: view.r });
    const merging = merges.map(({ unit, to, names: [one, other], words, proposed }) => marked(proposed, [
      `Units ${one} and ${other}: ${words}. `,
      button(`Merge ${one} into ${other}`, "", () => view.change({ action: "merge", unit, to })),
    ]));
    const splitting = splits.map(({ names: [one], words, proposed, spikes }) => marked(proposed, [
      `Unit ${one}: ${words}. `,
      ...(proposed ? [
        button("Show", "", () => view.chooseSpikes(spikes), { ariaLabel: `Show the smaller mode of unit ${one}` }),
        " ",
        button(`Split ${one}`, "", () => view.change({ action: "rename", spikes, to: -1 })),
      ] : []),
    ]));
    view.proposals.replaceChildren(
      listOf("Units that are alike", merging, "No two units are within d\u2032 6 of each other."),
      listOf("Units with two modes", splitting, "No unit has enough spikes to tell."),
    );
  };
})();
