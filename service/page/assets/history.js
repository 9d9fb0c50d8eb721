// history.js: a shopper's history and what is done to it -> the history to rank with.
(() => {
  const page = (window.reranker = window.reranker || {});
  const clientside = (window.dash_clientside = window.dash_clientside || {});
  const DAY = 86400;
  const plain = ({ type, item, query, time }) =>
    Object.fromEntries(Object.entries({ type, item, query, time }).filter(([, value]) => value !== null && value !== undefined));

  // Oldest first, as the service reads it; what is shown is newest first.
  const sent = (shown) => shown.map(plain).reverse();

  const swapped = (events, place, other) => {
    if (other < 0 || other >= events.length) return events;
    const changed = [...events];
    changed[place] = { ...events[other], time: events[place].time };
    changed[other] = { ...events[place], time: events[other].time };
    return changed;
  };

  // "3 d", "5 h", "20 min" or a number of days -> seconds; null for anything else.
  const seconds = (text) => {
    const found = /^\s*([\d.,]+)\s*(min|m|h|d|days?)?\s*$/i.exec(String(text));
    const amount = found ? Number(found[1].replace(",", ".")) : NaN;
    if (!Number.isFinite(amount)) return null;
    const unit = (found[2] || "d").toLowerCase();
    return amount * (unit.startsWith("m") ? 60 : unit === "h" ? 3600 : DAY);
  };

  const replaced = (events, place, change) =>
    events.map((event, i) => (i === place ? { ...event, ...change } : event)).sort((a, b) => b.time - a.time);

  const changed = (page.changedEvents = (events, { action, place, value }, now) => {
    if (action === "remove") return events.filter((_, i) => i !== place);
    if (action === "type") return replaced(events, place, { type: value });
    if (action === "age") {
      const age = seconds(value);
      return age === null ? events : replaced(events, place, { time: now - age - 0.001 });
    }
    return swapped(events, place, action === "newer" ? place - 1 : place + 1);
  });

  const added = (page.addedEvent = (events, type, what, now) => {
    const event = type === "search" ? { type, query: what } : { type, item: what };
    return [{ ...event, time: now - 1 }, ...events];
  });

  // `cell` changes whenever an event does, so that it is drawn again.
  page.eventRows = (history, now) => history.map((event, place) => ({
    ...event, id: `event ${place}`, place, cell: JSON.stringify(event) + now,
    what: event.title || event.query || event.item || "",
    query: !event.item && Boolean(event.query), days: Math.max((now - event.time) / DAY, 0) }));

  const shown = (matrix) => {
    const h = page.h;
    if (!matrix) return [[], h("Div", { className: "quiet small" }, "No search yet.")];
    const rows = page.eventRows(matrix.history, matrix.now);
    if (matrix.gate === null) {
      const untrained = !matrix.versions.model;
      const words = untrained ? "No model yet: personal signals rest. Make one with "
        : rows.length ? "This blend weighs no personal signal." : "No history: what everybody sees.";
      return [rows, h("Div", { className: "quiet small" }, words, ...(untrained ? [h("Code", {}, "reranker train")] : []))];
    }
    const share = Math.round(matrix.gate * 100);
    const user = matrix.request.user;
    const more = user ? [h("A", { className: "small", href: `?${new URLSearchParams({ tab: "shoppers", shopper: user })}` },
      "Recommendations, cart and more in Shoppers")] : [];
    return [rows, [
      h("Div", { className: "gate-line" }, h("Span", {}, "gate"), h("B", { id: "gate-value" }, matrix.gate.toFixed(3))),
      h("Div", { className: "meter", role: "img", "aria-label": `gate ${share} percent` },
        h("Div", { style: { width: `${share}%` } })),
      h("Div", { className: "quiet small" }, `Personal signals count ${share} % of their weight.`), ...more]];
  };

  clientside.history = {
    show(matrix, edited) {
      const [rows, gate] = shown(matrix);
      const list = document.querySelector(".history-grid");
      if (list) list.style.setProperty("--rows", Math.min(Math.max(rows.length, 1), 5));
      return [rows, gate, edited === null || edited === undefined, rows.length === 0];
    },

    edit(pressed, _add, _submit, _view, _cart, _purchase, _new, _undo, _user, _request,
         matrix, edited, chosen, type, what) {
      const keep = clientside.no_update;
      const cause = page.triggered().map((id) => id.split(".")[0]);
      const events = matrix ? matrix.history : [];
      const now = matrix ? matrix.now : Date.now() / 1000;
      if (cause.includes("user") || cause.includes("request")) {
        if (page.pending) return [keep, keep];
        return [edited === null || edited === undefined ? keep : null, keep];
      }
      if (cause.includes("unedit")) return [null, keep];
      if (cause.includes("new-user")) return [[], keep];
      if (!matrix) return [keep, keep];
      if (cause.includes("add-event") || cause.includes("add-what")) {
        return what && what.trim() ? [sent(added(events, type, what.trim(), now)), ""] : [keep, keep];
      }
      for (const kind of ["view", "cart", "purchase"]) {
        if (cause.includes(`add-${kind}`)) {
          return chosen && chosen.a ? [sent(added(events, kind, chosen.a, now)), keep] : [keep, keep];
        }
      }
      if (page.triggered().includes("history.cellRendererData") && pressed) {
        return [sent(changed(events, pressed.value, now)), keep];
      }
      return [keep, keep];
    },
  };
})();
