// blends.js: what was tuned -> its row in the list of versions.
(() => {
  const clientside = (window.dash_clientside = window.dash_clientside || {});
  clientside.blends = {
    pick(clicks, label) {
      if (!clicks || !label) return clientside.no_update;
      document.getElementById("blend-name")?.scrollIntoView({ block: "center" });
      return { ids: [label] };
    },
  };
})();
