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

  // A picture, or the first letter of the title on a tile where there is none.
  const thumb = (title, image) => image
    ? e("img", { className: "thumb", src: image, alt: "", width: 48, height: 48, loading: "lazy", decoding: "async" })
    : e("span", { className: "thumb tile", "aria-hidden": true }, (title || "·").trim().charAt(0).toUpperCase());

  cells.ItemCell = ({ data }) =>
    e("div", { className: "item-cell", title: `${data.title}\n${data.id}` },
      thumb(data.title, data.image),
      e("div", { className: "item-words" },
        e("div", { className: "item-title" }, data.title),
        e("div", { className: "item-more" },
          [data.title.includes(data.brand) ? "" : data.brand, data.price === null ? "" : data.price.toFixed(2), data.known ? "" : "not in the index"]
            .filter(Boolean).join(" · "))));

  // undefined: nothing of the query is judged. null: this item is not.
  const chip = (grade) => grade === undefined ? null
    : grade === null ? e("span", { className: "grade none", title: "not judged" }, "–")
    : e("span", { className: `grade g${Math.min(Math.round(grade), 3)}`, title: `grade ${grade}` }, `${grade}`);

  cells.PlaceCell = ({ data, column }) =>
    e("div", { className: "place-cell" },
      e("span", { className: "num strong" }, column.getColId() === "was" ? data.was : data.now), chip(data.grade));

  cells.GradeCell = ({ data }) =>
    e("div", { className: "grade-buttons" }, [0, 1, 2, 3].map((grade) =>
      e("button", { key: grade, className: data.grade === grade ? `grade g${grade}` : "grade none",
        "aria-label": `grade ${grade}`, "aria-pressed": data.grade === grade,
        onClick: () => window.reranker.grade(data.id, data.grade === grade ? null : grade) }, grade)));

  cells.NowCell = ({ value, data }) =>
    e("span", { className: "num quiet" }, data.move === 0 ? `${value}` : `→ ${value}`);

  cells.MoveCell = ({ value }) => {
    if (!value) return e("span", { className: "move same", title: "as before" }, "·");
    const up = value > 0;
    return e("span", { className: `move ${up ? "up" : "down"}`, title: `${Math.abs(value)} places ${up ? "up" : "down"}` },
      `${up ? "▲" : "▼"} ${Math.abs(value)}`);
  };

  // Widths are shares of the largest score on the list; what takes away stands left of the line.
  cells.BarCell = ({ data }) => {
    const { below, above } = data.scale;
    const span = below + above || 1;
    const side = (keep, size) => data.parts.filter(([, amount]) => keep(amount)).map(([name, amount]) =>
      e("span", { key: name, className: `part ${amount < 0 ? "less " : ""}sg-${name}`, "data-part": name,
        style: { width: `${(Math.abs(amount) / (size || 1)) * 100}%` },
        title: `${name} ${amount >= 0 ? "+" : ""}${amount.toFixed(4)}` }));
    return e("div", { className: "score-cell" },
      e("span", { className: "num" }, data.score.toFixed(3)),
      e("div", { className: "bar-cell" },
        e("div", { className: "minus", style: { width: `${(below / span) * 100}%` } },
          e("div", { className: "fill-right" }, side((amount) => amount < 0, below))),
        e("div", { className: "plus", style: { width: `${(above / span) * 100}%` } }, side((amount) => amount > 0, above))));
  };

  // An event: what it was about, its type and its age, which can be changed, and where it stands.
  cells.EventCell = ({ data, setData, types }) => {
    const send = (action, value) => setData({ action, value, place: data.place, at: Date.now() });
    const button = (sign, action, label) =>
      e("button", { key: action, className: "tiny", "aria-label": label, title: label,
        onClick: (event) => { event.stopPropagation(); send(action); } }, sign);
    const type = data.query ? e("span", { key: "type" }, data.type) : e("select", { key: "type", className: "bare", value: data.type, "aria-label": "type of event",
      onChange: (event) => send("type", event.target.value) },
      [...new Set([data.type, ...types])].filter((name) => name !== "search").map((name) => e("option", { key: name, value: name }, name)));
    const age = e("input", { key: `age ${data.days}`, className: "bare age", defaultValue: functions.ago(data.days),
      "aria-label": "days ago", title: "how long ago: 3 d, 5 h, 20 min; a number is days",
      onFocus: (event) => event.target.select(),
      onKeyDown: (event) => { event.stopPropagation(); if (event.key === "Enter") event.target.blur(); },
      onBlur: (event) => { if (event.target.value !== functions.ago(data.days)) send("age", event.target.value); } });
    return e("div", { className: `event-cell did-${data.type}` },
      data.query ? e("span", { className: "thumb tile words", "aria-hidden": true }, "⌕") : thumb(data.what, data.image),
      e("div", { className: "item-words" },
        e("div", { className: "item-title", title: data.what }, data.query ? `“${data.what}”` : data.what),
        e("div", { className: "item-more event-more" }, type, e("span", null, "·"), age)),
      e("div", { className: "tinies" },
        button("↑", "newer", "newer"), button("↓", "older", "older"), button("×", "remove", "remove")));
  };
})();
