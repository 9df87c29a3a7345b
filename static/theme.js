/* Runs before the first paint: the chosen theme, else the system's. */
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("zoobatch-theme");
  } catch {
    /* storage may be forbidden; then the system decides */
  }
  const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.bsTheme = dark ? "dark" : "light";
})();
