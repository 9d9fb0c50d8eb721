// search.js: the matrix of contributions and the sliders -> both orders. No server in between.
(() => {
  const page = (window.reranker = window.reranker || {});
  const clientside = (window.dash_clientside = window.dash_clientside || {});
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
  const skip = () => clientside.no_update;
  page.h = (type, props, ...children) => ({
    type, namespace: "dash_html_components",
    props: { ...props, children: children.length === 1 ? children[0] : children },
  });
  const h = page.h;
  page.triggered = () => clientside.callback_context.triggered.map((one) => one.prop_id);
  const OWN = (page.OWN = "as in the request");

  // The arithmetic: score = sum of slider x contribution, signal after signal as the service adds
  // them; equal scores keep the engine's order.
  page.rank = (matrix, times) => {
    const { signals, items } = matrix;
    const factors = signals.map((signal) => times[signal.name] ?? 1);
    const scores = new Float64Array(items.length);
    for (let i = 0; i < items.length; i++) {
      const row = items[i].c;
      let total = 0;
      for (let j = 0; j < factors.length; j++) total += factors[j] * row[j];
      scores[i] = total;
    }
    const order = Array.from(items.keys()).sort((a, b) => scores[b] - scores[a] || a - b);
    return { factors, scores, order };
  };

  // With every slider at 1 the service's own order stands: it holds what guard rails moved.
  const placed = (matrix, ranked) => {
    if (ranked.factors.every((factor) => factor === 1)) {
      return Array.from(matrix.items.keys()).sort((a, b) => matrix.items[a].rank - matrix.items[b].rank);
    }
    return ranked.order;
  };

  const scale = (matrix, ranked) => {
    let below = 0, above = 0;
    for (const item of matrix.items) {
      let less = 0, more = 0;
      item.c.forEach((amount, j) => {
        const now = ranked.factors[j] * amount;
        if (now < 0) less -= now; else more += now;
      });
      below = Math.max(below, less);
      above = Math.max(above, more);
    }
    return { below, above };
  };

  const shownOf = (item) => {
    const { id, title, brand, price, known, image } = item;
    return { id, title, brand, price, known, image };
  };

  // `cell` and `bar` change when what their cells draw changes: AG Grid draws a cell again only then.
  const rowsOf = (matrix, ranked, order) => {
    const size = scale(matrix, ranked);
    const ratings = page.ratingsOf(matrix);
    const judged = Object.keys(ratings).length > 0;
    const rows = matrix.items.map((item, i) => {
      const parts = matrix.shown.map((j) => [matrix.signals[j].name, ranked.factors[j] * item.c[j]]);
      const grade = judged ? ratings[item.id] ?? null : undefined;
      return { ...shownOf(item), was: i + 1, score: ranked.scores[i], scale: size, parts, grade,
        bar: [size.below, size.above, ...parts.map(([, amount]) => amount)].join(" ") };
    });
    const blend = order.map((i, place) =>
      ({ ...rows[i], now: place + 1, move: i - place, cell: `${place + 1} ${rows[i].grade}` }));
    const placeOf = new Map(blend.map((row) => [row.id, row]));
    const engine = rows.map((row) => {
      const { now, move } = placeOf.get(row.id);
      return { ...row, now, move, cell: `${row.was} ${row.grade}` };
    });
    return { engine, blend };
  };

  page.reranked = (matrix, times) => {
    const ranked = page.rank(matrix, times);
    const order = placed(matrix, ranked);
    return { ranked, order, rows: rowsOf(matrix, ranked, order) };
  };

  const notes = (matrix, times, took) => {
    const moved = Object.values(times).some((value) => value !== 1);
    const guarded = moved && matrix.items.some((item) => item.moves && item.moves.length);
    const lines = [`${matrix.items.length} candidates, `
      + (moved ? `re-ranked here in ${took.toFixed(1)} ms` : `ranked by the service in ${matrix.took_ms.toFixed(1)} ms`)];
    if (matrix.segment) lines.push(`segment “${matrix.segment}”: its own weights count`);
    if (guarded) lines.push("Guard rails act in the service only: this order is without them.");
    if (matrix.resting.length) lines.push(`Not weighed by this blend: ${matrix.resting.join(", ")}.`);
    const reasons = new Map();
    for (const part of matrix.degraded) {
      const reason = `${part.reason.replaceAll("_", " ")}${part.count ? ` (${part.count} items)` : ""}`;
      reasons.set(reason, [...(reasons.get(reason) || []), part.signal]);
    }
    reasons.forEach((signals, reason) => lines.push(`Left out: ${signals.join(", ")}; ${reason}.`));
    return lines;
  };

  // Written straight into the page: one turn of a slider through Dash's store takes it half a second.
  const write = (matrix, times, lines) => {
    const present = new Set(matrix ? matrix.signals.map((signal) => signal.name) : []);
    for (const [name, value] of Object.entries(times)) {
      const line = document.querySelector(`[data-signal="${name}"]`);
      if (!line) continue;
      line.querySelector(".times").textContent = `×${value.toFixed(2)}`;
      line.className = !matrix ? "signal waiting" : present.has(name) ? "signal" : "signal gone";
    }
    const timing = document.getElementById("timing");
    if (timing) timing.replaceChildren(...lines.map((text) => {
      const line = document.createElement("div");
      line.textContent = text;
      return line;
    }));
  };

  const narrow = window.matchMedia("(max-width: 1180px)"); // as assets/page.css
  narrow.addEventListener("change", () => page.redraw());
  const fill = (page.fill = (list, rows, top = false) => {
    page.rows = { ...page.rows, [list]: rows };
    const api = page.grid(list);
    if (!api) return setTimeout(() => page.rows[list] === rows && fill(list, rows, top), 60);
    const height = narrow.matches ? 92 : 66; // five short lines and what stands below them
    if (api.getGridOption("rowHeight") !== height) {
      api.setGridOption("rowHeight", height);
      api.resetRowHeights();
    }
    api.setGridOption("rowData", rows);
    if (top && rows.length) api.ensureIndexVisible(0, "top");
  });

  // What hangs on the order (why, the list of others) follows when the slider rests.
  let resting = null;
  const follow = (order, wait) => {
    clearTimeout(resting);
    resting = setTimeout(() => clientside.set_props("order", { data: order }), wait);
  };

  // Another search than the one that is shown: its lists start at the top.
  let searched = null;
  const isNew = (matrix) => {
    const before = searched;
    searched = matrix && JSON.stringify([matrix.query, matrix.items.map((item) => item.id)]);
    return searched !== before;
  };

  const show = (times, wait) => {
    const matrix = page.last;
    page.times = times;
    document.querySelector(".lists")?.classList.toggle("empty-handed", !matrix || !matrix.items.length);
    if (!matrix) {
      fill("engine-list", []);
      fill("blend-list", []);
      page.writeNdcg(null, []);
      write(null, times, ["Search to see what each signal says."]);
      isNew(null);
      return follow(null, 0);
    }
    const began = performance.now();
    const { order, rows } = page.reranked(matrix, times);
    const took = performance.now() - began;
    page.timings = [...(page.timings || []).slice(-499), took];
    const top = isNew(matrix);
    fill("engine-list", rows.engine, top);
    fill("blend-list", rows.blend, top);
    page.writeNdcg(matrix, order);
    if (top) page.fillJudge();
    write(matrix, times, notes(matrix, times, took));
    follow({ ids: order.map((i) => matrix.items[i].id), times }, wait);
  };
  page.redraw = () => page.last && page.times && show(page.times, 0);

  // A slider under way is read from the page itself; Dash hears of it when it is let go.
  new MutationObserver((changes) => {
    if (!page.last || !changes.some((change) => change.target.closest("[data-signal]"))) return;
    const times = Object.fromEntries([...document.querySelectorAll("[data-signal]")].map((line) =>
      [line.dataset.signal, Number(line.querySelector('[role="slider"]')?.getAttribute("aria-valuenow") ?? 1)]));
    if (!same(times, page.times)) show(times, 150);
  }).observe(document.documentElement, { subtree: true, attributes: true, attributeFilter: ["aria-valuenow"] });

  const labels = (ids) => ids.map((id) => id.slider);
  clientside.search = {
    case(query, user, blend, source, set, request, edited, before) {
      const fromSet = source === "set";
      const now = { query: query || "", user: user || "", blend: blend || null,
        set: fromSet ? set || null : null, request: fromSet ? request || null : null, history: edited ?? null };
      const style = fromSet ? {} : { display: "none" };
      const nothing = fromSet ? !now.request : !now.query.trim();
      const next = nothing ? null : now;
      return [same(next, before ?? null) ? skip() : next, style];
    },

    picked(request, options, user, query_) {
      if (!request || (page.pending && query_)) return [skip(), skip()];
      if (page.triggered().every((id) => id === "request.data") && query_) return [skip(), skip()];
      const found = (options || []).find((one) => one.value === request);
      const query = found ? found.label.slice(0, found.label.lastIndexOf(" · ")) : "";
      return [query === "(no words)" ? "" : query, user ? skip() : OWN];
    },

    rerank(matrix, values, ids) {
      const times = Object.fromEntries(labels(ids).map((name, i) => [name, values[i] ?? 1]));
      const again = matrix === page.last && same(times, page.times);
      page.last = matrix;
      if (!again) show(times, page.triggered().includes("matrix.data") ? 0 : 150);
      return skip();
    },

    reset(_clicks, saved, values) {
      if (page.triggered().includes("saved-blend.data") && !saved) return values.map(skip);
      return values.map(() => 1);
    },

    choose(engine, blend, order, other, chosen) {
      if (!order) return [null, [], null];
      const cause = page.triggered();
      const last = chosen || {};
      let a = last.a, b = last.b, own = last.own;
      const of = (rows) => (rows && rows.length ? rows[0].id : null);
      if (cause.includes("engine-list.selectedRows") && of(engine)) a = of(engine);
      if (cause.includes("blend-list.selectedRows") && of(blend)) a = of(blend);
      // An answer to a row that the keys have left by now.
      if (cause.some((one) => one.endsWith(".selectedRows")) && page.highlighted && page.highlighted !== a) {
        return [skip(), skip(), skip()];
      }
      if (cause.includes("why-b.value") && other && other !== b) { b = other; own = true; }
      if (!order.ids.includes(a)) { a = order.ids[0]; own = false; }
      if (a !== last.a && !cause.includes("why-b.value")) own = false;
      if (!own || !order.ids.includes(b) || b === a) { b = beside(order.ids, a); own = false; }
      page.highlight(a, cause.some((one) => one.endsWith(".selectedRows")));
      const next = { a, b, own };
      return [same(next, chosen) ? skip() : next, page.titles(order.ids, a), b];
    },

    // Open at every other click; while it is, it follows the sliders, the history and the choice.
    leave_out(clicks, order, chosen, asked) {
      const label = "Which past event moved it most?";
      if (!((clicks || 0) % 2)) return [asked ? null : skip(), label];
      const item = chosen && order && order.ids.includes(chosen.a) ? chosen.a : null;
      return [{ item, times: order ? order.times : {}, at: Date.now() }, "Hide what past events did"];
    },

    why(chosen, order, matrix) {
      if (!matrix || !chosen || !order) {
        return [h("P", { className: "empty" }, "Choose an item to see its arithmetic."), "…", "where it is, against"];
      }
      const items = new Map(matrix.items.map((item) => [item.id, item]));
      const a = items.get(chosen.a), b = items.get(chosen.b);
      if (!a) return [null, "…", ""];
      const place = (id) => order.ids.indexOf(id) + 1;
      const relation = !b ? "" : place(a.id) < place(b.id) ? "above" : "below";
      return [page.whyTable(matrix, order.times, a, b), `#${place(a.id)} ${a.title}`, relation];
    },
  };

  // The item above, as the question is asked most often; the first item has only one below.
  const beside = (ids, a) => {
    const place = ids.indexOf(a);
    return ids[place === 0 ? 1 : place - 1] ?? null;
  };

  page.titles = (ids, a) => {
    const titles = new Map((page.last?.items || []).map((item) => [item.id, item.title]));
    return ids.map((id, place) => ({ value: id, label: `#${place + 1} ${titles.get(id) ?? id}` }))
      .filter((one) => one.value !== a);
  };

  page.grid = (id) => {
    try { return window.dash_ag_grid.getApi(id); } catch { return null; }
  };

  // Both lists show the chosen item; where a person chose it, the other list goes to it.
  // AG Grid takes new rows up a moment later, so it is told again.
  page.highlight = (id, chosen) => {
    page.highlighted = id;
    for (const wait of [0, 120, 400]) setTimeout(() => page.highlighted === id && mark(id, chosen), wait);
  };
  const mark = (id, chosen) => {
    for (const list of ["engine-list", "blend-list"]) {
      const api = page.grid(list);
      const node = api && api.getRowNode(id);
      if (!node || node.isSelected()) continue;
      node.setSelected(true, true, "api");
      if (chosen && !document.activeElement?.closest(`#${list}`)) api.ensureNodeVisible(node);
    }
  };
})();
