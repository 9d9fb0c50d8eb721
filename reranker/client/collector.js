/* collector.js: what shoppers do -> the shop's own path, which passes it on to POST /events.

   const collect = collector({url: "/shop-events"}); collect.consent(true);
   collect.search("red shoes"); collect.click("17", rankingId, 3); collect.cart("17", {price: 9.5});

   Before consent(true) nothing is stored or sent. An event stays in localStorage until it is
   acknowledged, also over page loads; it has an id, so what is sent twice counts once. */
(function () {
  "use strict";
  const SPACE = "reranker.", EVENT = SPACE + "e.", VISIT = 18e5, MOST = 200, BATCH = 50;

  window.collector = function ({ url }) {
    let store = {}, agreed = false, busy = false, failed = 0, timer, beaconed = {};
    const self = { lost: 0 };

    const keys = (space) => Object.keys(store).filter((key) => key.startsWith(space)).sort();
    const remove = (names) => names.forEach((key) => delete store[key]);
    const random = () => crypto.getRandomValues(new Uint32Array(4)).join("-");
    const body = (names) => "[" + names.map((key) => store[key]).filter(Boolean) + "]";
    const options = { method: "POST", headers: { "Content-Type": "application/json" } };

    function put(key, value) {
      try {
        store[key] = value;
      } catch (full) {
        store = Object.assign({}, store, { [key]: value });
      }
    }

    function session(now) {
      const [id, last] = (store[SPACE + "s"] || "").split(" ");
      const same = id && now - last < VISIT ? id : random();
      put(SPACE + "s", same + " " + now);
      return same;
    }

    function event(type, fields) {
      if (!agreed) return;
      const now = Date.now(), id = random();
      const time = new Date(now).toISOString();
      put(EVENT + now + id, JSON.stringify({ type, id, time, session: session(now), ...fields }));
      const over = keys(EVENT).slice(0, -MOST);
      self.lost += over.length;
      remove(over);
      timer = timer || setTimeout(send, 500);
    }

    async function send() {
      timer = clearTimeout(timer);
      const names = keys(EVENT).slice(0, BATCH);
      if (busy || !agreed || !names[0]) return;
      busy = true;
      try {
        const signal = AbortSignal.timeout?.(1e4);
        const { ok, status } = await fetch(url, { ...options, signal, body: body(names) });
        const refused = status == 400 || status == 413 || status == 422;
        failed = ok || refused ? 0 : failed + 1;
        if (refused) self.lost += names.length;
        if (!failed) remove(names);
      } catch (offline) {
        failed++;
      }
      busy = false;
      if (keys(EVENT)[0]) timer = setTimeout(send, Math.min(500 * 2 ** failed, 6e4));
    }

    function leave() {
      const names = keys(EVENT).filter((key) => !beaconed[key]).slice(-BATCH);
      if (!agreed || !names[0]) return;
      names.forEach((key) => (beaconed[key] = 1));
      const sent = new Blob([body(names)], { type: "application/json" });
      if (!navigator.sendBeacon || !navigator.sendBeacon(url, sent))
        fetch(url, { ...options, body: sent, keepalive: true }).catch(() => 0);
    }

    addEventListener("pagehide", leave);
    addEventListener("visibilitychange", () => document.hidden && leave());

    return Object.assign(self, {
      event,
      consent(yes) {
        try {
          if (!agreed) store = localStorage;
        } catch (blocked) {}
        agreed = yes === true;
        agreed ? send() : remove(keys(SPACE));
      },
      view: (item, fields) => event("view", { item, ...fields }),
      search: (query, fields) => event("search", { query, ...fields }),
      click: (item, ranking, position) => event("view", { item, ranking, position }),
      cart: (item, fields) => event("cart", { item, ...fields }),
      purchase(lines) {
        const time = new Date().toISOString();
        lines.forEach((line) => event("purchase", { ...line, time }));
      },
    });
  };
})();
