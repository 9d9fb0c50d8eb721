// grades.js: ratings and an order -> NDCG, and grades that a person gives -> the server.
(() => {
  const page = (window.reranker = window.reranker || {});
  const clientside = (window.dash_clientside = window.dash_clientside || {});
  const K = 10;
  const gain = (grade) => 2 ** Math.max(grade, 0) - 1;
  const discounted = (grades) =>
    grades.slice(0, K).reduce((sum, grade, place) => sum + gain(grade) / Math.log2(place + 2), 0);

  // As reranker/metrics/ranking.py: the ideal is over every rating of the query; null without one.
  page.ndcg = (ids, ratings) => {
    const ideal = discounted(Object.values(ratings).sort((a, b) => b - a));
    return ideal > 0 ? discounted(ids.map((id) => ratings[id] ?? 0)) / ideal : null;
  };

  const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;
  const put = (id, text) => {
    const place = document.getElementById(id);
    if (place && place.textContent !== text) place.textContent = text;
  };

  page.ratingsOf = (matrix) => (matrix ? { ...matrix.ratings, ...matrix.hand } : {});

  // Both lists' NDCG, written straight into their heads; nothing where nothing is judged.
  page.writeNdcg = (matrix, order) => {
    const ratings = page.ratingsOf(matrix);
    const ids = matrix ? matrix.items.map((item) => item.id) : [];
    const engine = page.ndcg(ids, ratings);
    const blend = engine === null ? null : page.ndcg(order.map((i) => ids[i]), ratings);
    page.measured = { engine, blend };
    put("engine-ndcg", engine === null ? "" : engine.toFixed(3));
    put("blend-ndcg", blend === null ? "" : blend.toFixed(3));
    put("ndcg-difference", blend === null ? "" : signed(blend - engine));
    const judged = ids.filter((id) => ratings[id] !== undefined).length;
    put("judged-count", judged ? `${judged} of ${ids.length} judged` : "");
    document.querySelector(".lists")?.classList.toggle("is-judged", engine !== null);
    document.querySelector(".lists")?.classList.toggle("leaks", Boolean(matrix && matrix.leaks));
    document.querySelector("#ndcg-difference")?.classList.toggle("worse", blend !== null && blend < engine);
  };

  // Judging shows what was graded here, not what the request's own judges said: the list in random order, without places and scores, so that neither sways the judge.
  const shuffled = (rows) => {
    const mixed = [...rows];
    for (let i = mixed.length - 1; i > 0; i--) {
      const j = Math.floor(Math.random() * (i + 1));
      [mixed[i], mixed[j]] = [mixed[j], mixed[i]];
    }
    return mixed;
  };
  const judging = () => Boolean(document.querySelector(".lists.judging"));

  const progress = () => {
    const rows = page.judgeOrder || [];
    const done = rows.filter((id) => page.last?.hand[id] !== undefined).length;
    put("judge-progress", `${done} of ${rows.length} graded`);
  };

  page.fillJudge = () => {
    if (!judging() || !page.last) return;
    const items = new Map(page.last.items.map((item) => [item.id, item]));
    if (page.judged !== page.last.items) {
      page.judged = page.last.items;
      page.judgeOrder = shuffled([...items.keys()]);
    }
    page.fill("judge-list", page.judgeOrder.map((id) => {
      const { title, brand, price, known, image } = items.get(id);
      const grade = page.last.hand[id] ?? null;
      return { id, title, brand, price, known, image, grade, cell: `${grade}` };
    }));
    progress();
  };

  page.grade = (id, grade) => {
    const matrix = page.last;
    if (!matrix || !matrix.query || !matrix.items.some((item) => item.id === id)) return;
    // A grade given here replaces the request's own; taking it back brings that back.
    const { [id]: _before, ...hand } = matrix.hand;
    matrix.hand = grade === null ? hand : { ...hand, [id]: grade };
    page.redraw();
    page.fillJudge();
    clientside.set_props("graded", { data: { query: matrix.query, item: id, grade, at: Date.now() } });
  };

  const next = (id) => {
    const api = page.grid("judge-list");
    const place = page.judgeOrder.indexOf(id) + 1;
    if (!api || place >= page.judgeOrder.length) return;
    api.ensureIndexVisible(place);
    api.setFocusedCell(place, "title");
  };

  clientside.grades = {
    judge(start, end) {
      const on = page.triggered().includes("judge.n_clicks") && Boolean(page.last);
      document.querySelector(".lists")?.classList.toggle("judging", on);
      page.judged = null;
      if (on) {
        page.fillJudge();
        // Once the rows are drawn; who was quicker than that stays where they are.
        setTimeout(() => {
          const api = page.grid("judge-list");
          if (api && !api.getFocusedCell()) api.setFocusedCell(0, "title");
        }, 150);
      }
      return clientside.no_update;
    },
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, [contenteditable], [role=slider]")) return;
    if (!/^[0-3]$/.test(event.key) && event.key !== "Delete") return;
    const stage = document.querySelector(".lists");
    if (!stage || !stage.offsetParent) return;
    const api = judging() ? page.grid("judge-list") : null;
    // The row that has the focus: which is selected, Dash hears and repeats a moment later.
    const focused = api && api.getFocusedCell();
    const id = !api ? page.highlighted
      : focused && api.getDisplayedRowAtIndex(focused.rowIndex)?.data.id;
    if (!id) return;
    event.preventDefault();
    page.grade(id, event.key === "Delete" ? null : Number(event.key));
    if (api && event.key !== "Delete") next(id);
  });
})();
