"use strict";
// The button that turns light into dark and back, whatever the system prefers.

function wireTheme(after = () => {}) {
  document.getElementById("theme").addEventListener("click", () => {
    const { dataset } = document.documentElement;
    const dark = dataset.theme ? dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    dataset.theme = dark ? "light" : "dark";
    after();
  });
}
