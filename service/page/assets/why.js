// why.js: two items -> the difference of their scores, signal by signal; the rows add up to it.
(() => {
  const page = (window.reranker = window.reranker || {});
  const number = (value, digits = 3) =>
    value === null || value === undefined ? "–" : Math.abs(value) >= 1e5 ? value.toExponential(1) : value.toFixed(digits);
  const signed = (value) => (value >= 0 ? "+" : "−") + Math.abs(value).toFixed(3);

  page.whyRows = (matrix, times, a, b) =>
    matrix.shown.map((j) => {
      const signal = matrix.signals[j];
      const times_ = times[signal.name] ?? 1;
      const ours = times_ * a.c[j], theirs = b ? times_ * b.c[j] : 0;
      return { name: signal.name, meaning: signal.meaning, raw: a.r[j], other: b ? b.r[j] : null,
        normalised: a.n[j], weight: signal.weight === null ? null : signal.weight * times_,
        ours, theirs, difference: ours - theirs };
    });

  page.whyTable = (matrix, times, a, b) => {
    const h = page.h;
    const rows = page.whyRows(matrix, times, a, b);
    const largest = Math.max(...rows.map((row) => Math.abs(b ? row.difference : row.ours)), 1e-9);
    const sum = (pick) => rows.reduce((total, row) => total + pick(row), 0);
    const cell = (text, className = "num") => h("Td", { className }, text);
    const bar = (value) => h("Td", { className: "diverging" },
      h("Span", { className: value < 0 ? "away" : "toward",
        style: { width: `${(Math.abs(value) / largest) * 50}%`, [value < 0 ? "right" : "left"]: "50%" } }));
    const line = (row) => h("Tr", {},
      h("Td", { className: "signal-name", title: row.meaning },
        h("Span", { className: `swatch sg-${row.name}` }), row.name),
      cell(number(row.raw)), cell(number(row.normalised)), cell(number(row.weight, 2)),
      cell(number(row.ours), "num strong"), cell(b ? number(row.theirs) : "–"),
      cell(b ? signed(row.difference) : "–"), bar(b ? row.difference : row.ours));
    const total = h("Tr", { className: "total" },
      h("Td", {}, "score"), cell(""), cell(""), cell(""), cell(number(sum((row) => row.ours)), "num strong"),
      cell(b ? number(sum((row) => row.theirs)) : "–"),
      cell(b ? signed(sum((row) => row.difference)) : "–", "num strong"), h("Td", {}));
    const head = ["signal", "raw", "normalised", "× weight", "= this item", "the other", "difference", ""]
      .map((name, i) => h("Th", { className: i ? "num" : "" }, name));
    const moves = (a.moves || []).map((move) =>
      h("P", { className: "small quiet" }, `${move.guard.replaceAll("_", " ")} moved it from ${move.from} to ${move.to}`));
    return [h("Table", { className: "plain why-table", id: "why-table" },
      h("Thead", {}, h("Tr", {}, ...head)), h("Tbody", {}, ...rows.map(line), total)), ...moves];
  };
})();
