// weights.js: whether a slider stands elsewhere than at 1 -> whether there is something to compare or save.
(() => {
  const clientside = (window.dash_clientside = window.dash_clientside || {});
  clientside.weights = {
    moved(values, matrix) {
      const still = values.every((value) => (value ?? 1) === 1);
      return [!matrix || still, !matrix || still, still];
    },
    set_of(set, chosen) {
      return set || chosen || clientside.no_update;
    },
  };
})();
