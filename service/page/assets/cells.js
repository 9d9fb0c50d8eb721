// cells.js: a row's data -> its cells. Text goes to React as text, so a title is never read as HTML.
(() => {
  const e = (...args) => window.React.createElement(...args);
  const cells = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  const functions = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});

  functions.selectFocused = (params) => {
    if (params.rowIndex === null || params.rowIndex === undefined) return;
    const node = params.api.getDisplayedRowAtIndex(params.rowIndex);
    if (node && window.reranker) window.reranker.highlighted = node.data.id;
    if (node && !node.isSelected()) node.setSelected(true, true);
  };
  functions.ago = (days) => {
    if (days === null || days === undefined) return "";
    const minutes = days * 1440;
    if (minutes < 90) return `${Math.round(minutes)} min`;
    return minutes < 2880 ? `${Math.round(minutes / 60)} h` : `${Math.round(days)} d`;
  };
  functions.pageTheme = (quartz) =>
    quartz.withParams({
      accentColor: "var(--accent)",
      backgroundColor: "transparent",
      foregroundColor: "var(--ink)",
      borderColor: "var(--line)",
      browserColorScheme: "inherit",
      chromeBackgroundColor: "transparent",
      headerBackgroundColor: "transparent",
      headerTextColor: "var(--quiet)",
      headerFontSize: 11,
      headerFontWeight: 600,
      rowHoverColor: "var(--hover)",
      selectedRowBackgroundColor: "var(--chosen)",
      rowBorder: { color: "var(--line)", width: 1 },
      wrapperBorder: false,
      fontFamily: "inherit",
      fontSize: 13,
      cellHorizontalPadding: 8,
      spacing: 6,
    });

  cells.ItemCell = ({ data }) =>
    e("div", { className: "item-cell", title: `${data.title}\n${data.id}` },
      e("div", { className: "item-title" }, data.title),
      e("div", { className: "item-more" },
        [data.brand, data.price === null ? "" : data.price.toFixed(2), data.known ? "" : "not in the index"]
          .filter(Boolean).join(" · ")));

  cells.NowCell = ({ value, data }) =>
    e("span", { className: "num quiet" }, data.move === 0 ? `${value}` : `→ ${value}`);

  cells.MoveCell = ({ value }) => {
    if (!value) return e("span", { className: "move same", title: "as before" }, "·");
    const up = value > 0;
    return e("span", { className: `move ${up ? "up" : "down"}`, title: `${Math.abs(value)} places ${up ? "up" : "down"}` },
      `${up ? "▲" : "▼"} ${Math.abs(value)}`);
  };

  cells.ScoreCell = ({ value }) => e("span", { className: "num" }, value.toFixed(3));

  // Widths are shares of the largest score on the list; what takes away stands left of the line.
  cells.BarCell = ({ data }) => {
    const { below, above } = data.scale;
    const span = below + above || 1;
    const part = (name, amount) =>
      e("span", {
        key: name,
        className: `part sg-${name}`,
        style: { width: `${(Math.abs(amount) / span) * 100}%` },
        title: `${name} ${amount >= 0 ? "+" : ""}${amount.toFixed(4)}`,
      });
    const side = (keep) => data.parts.filter(([, amount]) => keep(amount)).map(([name, amount]) => part(name, amount));
    return e("div", { className: "bar-cell" },
      e("div", { className: "minus", style: { width: `${(below / span) * 100}%` } }, 
        e("div", { className: "fill-right" }, data.parts.filter(([, a]) => a < 0).map(([name, a]) =>
          e("span", { key: name, className: `part less sg-${name}`, style: { width: `${(-a / (below || 1)) * 100}%` }, title: `${name} ${a.toFixed(4)}` })))),
      e("div", { className: "plus", style: { width: `${(above / span) * 100}%` } },
        data.parts.filter(([, a]) => a > 0).map(([name, a]) =>
          e("span", { key: name, className: `part sg-${name}`, style: { width: `${(a / (above || 1)) * 100}%` }, title: `${name} +${a.toFixed(4)}` }))));
  };

  cells.EventButtons = ({ data, setData }) => {
    const button = (sign, action, label) =>
      e("button", { key: action, className: "tiny", "aria-label": label, title: label,
        onClick: (event) => { event.stopPropagation(); setData({ action, place: data.place, at: Date.now() }); } }, sign);
    return e("div", { className: "tinies" },
      button("↑", "newer", "newer"), button("↓", "older", "older"), button("×", "remove", "remove"));
  };
})();
