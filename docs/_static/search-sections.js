// Search results lead to sections, where Sphinx's own lead to the top of a page.
// `window.searchSections` is written by docs/conf.py: for each page, [anchor, title, {stem: count}] of its sections.
(() => {
  "use strict";

  const MOST = 4; // sections of one page
  const search = Search.performTermsSearch;

  // How often words that contain a term are in a section.
  const counted = (stems, term) =>
    Object.entries(stems).reduce((sum, [stem, count]) => sum + (stem.includes(term) ? count : 0), 0);

  const inSections = (result, terms) => {
    const [page, title, , description, score, ...rest] = result;
    const found = (window.searchSections[page] ?? [])
      .map(([anchor, name, stems]) => ({ anchor, name, counts: terms.map((term) => counted(stems, term)) }))
      .filter(({ counts }) => counts.every((count) => count > 0))
      .toSorted((a, b) => Math.min(...b.counts) - Math.min(...a.counts))
      .slice(0, MOST);
    if (found.length === 0) return [result];
    return found.map(({ anchor, name }) => {
      const full = name === title ? title : `${title} > ${name}`;
      return [page, full, `#${anchor}`, description, score, ...rest];
    });
  };

  Search.performTermsSearch = (terms, excluded) =>
    search(terms, excluded).flatMap((result) => inSections(result, [...terms]));
})();
