// Search results lead to sections, where Sphinx's own lead to the top of a page.
// `window.searchSections` is written by docs/conf.py: for each page a list of [anchor, title, text in lower case].
(() => {
  "use strict";

  const MOST = 4; // sections of one page
  const search = Search.performTermsSearch;

  const counted = (text, term) => text.split(term).length - 1;

  const inSections = (result, terms) => {
    const [page, title, , description, score, ...rest] = result;
    const found = (window.searchSections[page] ?? [])
      .filter(([, , text]) => terms.every((term) => text.includes(term)))
      .map(([anchor, name, text]) => ({ anchor, name, count: counted(text, terms[0]) }))
      .toSorted((a, b) => b.count - a.count)
      .slice(0, MOST);
    if (found.length === 0) return [result];
    return found.map(({ anchor, name }) => {
      const full = name === title ? title : `${title} \u203a ${name}`;
      return [page, full, `#${anchor}`, description, score, ...rest];
    });
  };

  Search.performTermsSearch = (terms, excluded) =>
    search(terms, excluded).flatMap((result) => inSections(result, [...terms]));
})();
