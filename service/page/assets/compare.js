// compare.js: a query of a comparison -> its place in Search.
(() => {
  const e = (...args) => window.React.createElement(...args);
  const clientside = (window.dash_clientside = window.dash_clientside || {});
  const cells = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  const functions = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});

  functions.threeDigits = (value) => value.toFixed(3);
  cells.DeltaCell = ({ value }) =>
    e("div", { className: "delta-cell" },
      e("span", { className: "delta-track" },
        e("span", { className: value < 0 ? "away" : "toward",
          style: { width: `${Math.min(Math.abs(value), 1) * 50}%`, [value < 0 ? "right" : "left"]: "50%" } })),
      e("span", { className: "num" }, `${value > 0 ? "+" : ""}${value.toFixed(3)}`));

  clientside.compare = {
    // ?tab=compare&after=default&before=engine&on=judged.jsonl&with=semantic:0.5 fills the form.
    read(search) {
      const asked = new URLSearchParams(search || "");
      return ["after", "before", "on", "with"].map((name) => asked.get(name) ?? clientside.no_update);
    },
    open(click, asked) {
      if (!click || !asked) return clientside.no_update;
      const api = window.dash_ag_grid.getApi("per-query");
      const row = api.getRowNode(click.rowId)?.data;
      if (!row) return clientside.no_update;
      const address = new URLSearchParams({ set: asked.set, req: row.id, user: window.reranker.OWN });
      if (asked.after) address.set("blend", asked.after);
      if (asked.weights) address.set("w", asked.weights);
      // Not an output of this callback: each call of it, also one that says nothing, would bring
      // back the address that the page was opened with.
      clientside.set_props("url", { search: `?${address}` });
      return clientside.no_update;
    },
    without(set) {
      return !set;
    },
    filter(text, options) {
      return { ...options, quickFilterText: text || "" };
    },
  };
})();
