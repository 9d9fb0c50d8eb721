// url.js: the address <-> what is set on the page; and the keys.
(() => {
  const page = (window.reranker = window.reranker || {});
  const clientside = (window.dash_clientside = window.dash_clientside || {});
  const MOST = 4000; // characters of an edited history that still go into an address

  const weightsOf = (text) => Object.fromEntries((text || "").split(",").filter(Boolean).map((part) => {
    const [name, value] = part.split(":");
    return [name, Number(value)];
  }));
  const parsed = (text) => { try { return JSON.parse(text); } catch { return null; } };
  const historyOf = (text) => { const found = parsed(text); return Array.isArray(found) ? found : null; };
  const editsOf = (text) => {
    const found = parsed(text);
    return found && Array.isArray(found.without) && Array.isArray(found.added) ? found : null;
  };

  clientside.url = {
    read(search, ids, source, set) {
      const asked = new URLSearchParams(search || "");
      const times = weightsOf(asked.get("w"));
      const values = ids.map((id) => {
        const value = times[id.slider];
        return Number.isFinite(value) ? Math.min(Math.max(value, 0), 3) : 1;
      });
      // Until these values have come back, they must not count as a person's change.
      page.pending = true;
      setTimeout(() => { page.pending = false; }, 600);
      return [asked.get("tab") || "search", asked.get("set") ? "set" : asked.get("q") ? "shop" : source,
        asked.get("q") || "", asked.get("set") || set, asked.get("req") || null, asked.get("user") || "",
        asked.get("blend") || "", historyOf(asked.get("h")), values, asked.get("job") || null,
        asked.get("shopper") || "", editsOf(asked.get("edits"))];
    },

    write(tab, asked, values, job, shopper, ids) {
      const address = new URLSearchParams();
      const put = (name, value) => { if (value) address.set(name, value); };
      if (tab !== "search") put("tab", tab);
      if (tab === "compare") put("job", job);
      if (asked) {
        put("q", asked.query); put("set", asked.set); put("req", asked.request);
        put("user", asked.user); put("blend", asked.blend);
        if (asked.history) {
          const text = JSON.stringify(asked.history);
          if (text.length <= MOST) put("h", text);
        }
      }
      if (shopper) {
        put("shopper", shopper.user);
        const text = shopper.edits ? JSON.stringify(shopper.edits) : "";
        if (text.length <= MOST) put("edits", text);
      }
      const moved = ids.map((id, i) => [id.slider, values[i]]).filter(([, value]) => value !== 1 && value !== undefined && value !== null);
      put("w", moved.map(([name, value]) => `${name}:${value}`).join(","));
      const text = address.toString();
      const here = location.pathname + (text ? `?${text}` : "");
      if (here !== location.pathname + location.search) {
        const causes = page.triggered();
        const searched = (causes.includes("case.data") || causes.includes("shopper-case.data")) && !page.pending;
        history[searched ? "pushState" : "replaceState"](history.state, "", here);
      }
      return clientside.no_update;
    },
  };

  // Figures are asked for again and again only while somebody looks at them.
  clientside.url.elsewhere = (tab) => tab !== "system";

  const typing = (target) => target.closest("input, textarea, select, [contenteditable]");
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    const box = document.getElementById("query");
    if (!box) return;
    event.preventDefault();
    box.focus();
    box.select();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" || event.target.id !== "query") return;
    const api = page.grid("blend-list");
    if (api && api.getDisplayedRowCount()) {
      event.preventDefault();
      api.setFocusedCell(0, "title");
    }
  });
})();
