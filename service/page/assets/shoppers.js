// shoppers.js: what is set on the Shoppers tab -> its case; the timeline, and what is done to it.
(() => {
  const e = (...args) => window.React.createElement(...args);
  const page = (window.reranker = window.reranker || {});
  const clientside = (window.dash_clientside = window.dash_clientside || {});
  const cells = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
  const keep = () => clientside.no_update;
  const ROWS = 9; // events that are seen without scrolling

  cells.WhenCell = ({ data }) => e("div", { className: `when${data.begins ? " begins" : ""}` },
    e("span", null, data.begins ? data.date : ""), e("span", { className: "quiet" }, data.clock),
    data.stored ? null : e("span", { className: "chip" }, "what if"));

  // Edits are what differs from the stored history, so that an address stays short.
  const NONE = { emptied: false, without: [], added: [] };
  const plain = ({ type, item, query, time, price, quantity }) =>
    Object.fromEntries(Object.entries({ type, item, query, time, price, quantity })
      .filter(([, value]) => value !== null && value !== undefined));
  const unchanged = (event, before) => event.stored && ["type", "time"].every((name) => event[name] === before.get(event.key)[name]);
  const editsOf = (seen, edits, events) => {
    const before = new Map(seen.history.map((event) => [event.key, event]));
    const kept = new Set(events.filter((event) => unchanged(event, before)).map((event) => event.key));
    const gone = seen.history.filter((event) => event.stored && !kept.has(event.key)).map((event) => event.key);
    const last = edits ?? NONE;
    const next = { emptied: last.emptied, without: [...last.without, ...gone],
      added: events.filter((event) => !kept.has(event.key)).map(plain).reverse() };
    return same(next, NONE) ? null : next;
  };

  // The button of an item that was pressed: what it would add.
  const pressedItem = () => {
    for (const { prop_id: id, value } of clientside.callback_context.triggered) {
      if (!id.startsWith("{") || !value) continue;
      const { kind, whatif } = JSON.parse(id.slice(0, id.lastIndexOf(".")));
      if (whatif) return { type: kind, item: whatif };
    }
    return null;
  };

  clientside.shoppers = {
    case(tab, user, edits, before) {
      if (tab !== "shoppers") return keep();
      const next = { user: user || "", edits: edits ?? null };
      return same(next, before ?? null) ? keep() : next;
    },

    show(seen, edits) {
      const rows = seen ? page.eventRows(seen.history, seen.now) : [];
      document.documentElement.style.setProperty("--events", Math.min(Math.max(rows.length, 1), ROWS));
      return [rows, edits === null || edits === undefined, rows.length === 0];
    },

    edit(pressed, _add, _submit, _empty, _undo, _user, _items, seen, edits, type, what) {
      const cause = page.triggered().map((id) => id.split(".")[0]);
      if (cause.includes("shopper")) {
        return page.pending || edits === null || edits === undefined ? [keep(), keep()] : [null, keep()];
      }
      if (cause.includes("shopper-undo")) return [null, keep()];
      if (cause.includes("shopper-empty")) return [{ ...NONE, emptied: true }, keep()];
      if (!seen) return [keep(), keep()];
      const put = (events) => editsOf(seen, edits, events);
      if (cause.includes("shopper-add") || cause.includes("shopper-what")) {
        const words = (what || "").trim();
        return words ? [put(page.addedEvent(seen.history, type, words, seen.now)), ""] : [keep(), keep()];
      }
      const item = pressedItem();
      if (item) return [put(page.addedEvent(seen.history, item.type, item.item, seen.now)), keep()];
      if (page.triggered().includes("timeline.cellRendererData") && pressed) {
        return [put(page.changedEvents(seen.history, pressed.value, seen.now)), keep()];
      }
      return [keep(), keep()];
    },
  };
})();
