"use strict";
// The page of an audit: a map of layers by heads, one head beside its controls, a table that sorts.

const { audits } = DATA;
const state = { audit: 0, figure: 0, against: "rotation", head: 0 };
const NAMES = { rotation: "random rotation between the same keys and queries", iid: "independent Gaussian weights" };

function current() {
  return audits[state.audit];
}

// The number a cell shows: a figure, or the figure over the mean of a control's draws.
function shown(head) {
  const value = head.v[state.figure];
  if (state.against === "value" || value === null) return value;
  const control = head[state.against][state.figure];
  return control === null || !control[0] ? null : value / control[0];
}

function beyond(head) {
  const control = state.against === "value" ? null : head[state.against][state.figure];
  return control !== null && (head.v[state.figure] < control[1] || head.v[state.figure] > control[2]);
}

function paint(value, low, high) {
  if (value === null) return "transparent";
  if (state.against === "value") {
    const share = high > low ? (value - low) / (high - low) : 0.5;
    return `color-mix(in srgb, var(--heat) ${(8 + 92 * share).toFixed(1)}%, var(--card))`;
  }
  const most = Math.max(Math.abs(Math.log(low)), Math.abs(Math.log(high)), 1e-9);
  const share = Math.min(1, Math.abs(Math.log(value)) / most);
  return `color-mix(in srgb, var(${value < 1 ? "--kq" : "--w"}) ${(100 * share).toFixed(1)}%, var(--card))`;
}

function drawMap() {
  const audit = current();
  const layers = [...new Set(audit.heads.map((head) => head.layer))];
  const columns = [...new Set(audit.heads.map((head) => head.head))].sort((a, b) => a - b);
  const size = columns.length > 24 ? 20 : 30;
  const values = audit.heads.map(shown).filter((value) => value !== null && value > -Infinity);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const width = 64 + size * columns.length;
  const height = 44 + size * layers.length;
  const map = s("svg", { class: "heat", width, height, viewBox: `0 0 ${width} ${height}`, role: "img" });
  map.setAttribute("aria-label", `${audit.figures[state.figure]} of ${audit.heads.length} heads; the table below has the numbers`);
  map.append(s("text", { x: 64, y: 12 }, "head"));
  const every = columns.length > 24 ? 4 : 1;
  columns.forEach((column, k) => {
    if (k % every === 0) map.append(s("text", { x: 64 + size * (k + 0.5), y: 30, "text-anchor": "middle" }, String(column)));
  });
  layers.forEach((layer, k) => {
    const text = layers.length > 1 ? String(layer) : `layer ${layer}`;
    map.append(s("text", { x: 56, y: 36 + size * (k + 0.5) + 4, "text-anchor": "end" }, k === 0 && layers.length > 1 ? `layer ${text}` : text));
  });
  audit.heads.forEach((head, place) => {
    const value = shown(head);
    const cell = s("rect", {
      x: 64 + size * columns.indexOf(head.head), y: 36 + size * layers.indexOf(head.layer), width: size - 2, height: size - 2, rx: 3,
      fill: paint(value, low, high), class: [beyond(head) ? "beyond" : "", place === state.head ? "chosen" : ""].join(" ").trim() || null,
    });
    cell.addEventListener("click", () => choose(place));
    cell.addEventListener("mousemove", (event) => tip(event, `head ${head.layer}.${head.head}: ${number(value, 4)}`));
    cell.addEventListener("mouseleave", hideTip);
    map.append(cell);
  });
  find("map-frame").replaceChildren(map);
  tellScrolls();
  const range = `from ${number(low, 4)} to ${number(high, 4)}`;
  find("legend").textContent = state.against === "value"
    ? `${audit.figures[state.figure]}, ${range}: the darker, the larger.`
    : `${audit.figures[state.figure]} over its mean with ${NAMES[state.against]}, ${range}. Blue below 1, orange above; framed: outside the central 95 % of the head's own draws.`;
}

// One strip a figure: where the head is, and where the central 95 % of the draws of both controls are.
function drawDetail() {
  const audit = current();
  const head = audit.heads[state.head];
  const row = 40;
  const box = s("svg", { class: "strips", viewBox: `0 0 420 ${row * audit.figures.length + 6}`, role: "img" });
  box.setAttribute("aria-label", `Head ${head.layer}.${head.head} beside its controls; the table has the numbers`);
  audit.figures.forEach((label, k) => {
    const own = head.v[k];
    const spans = ["rotation", "iid"].map((name) => head[name][k]).filter((span) => span !== null);
    const all = [own, ...spans.flatMap((span) => [span[1], span[2]])].filter((value) => value !== null);
    const [low, high] = [Math.min(...all), Math.max(...all)];
    const at = (value) => 12 + 396 * (high > low ? (value - low) / (high - low) : 0.5);
    const y = row * k;
    box.append(s("text", { x: 4, y: y + 14 }, label), s("text", { x: 416, y: y + 14, "text-anchor": "end" }, number(own, 5)));
    box.append(s("line", { x1: 12, x2: 408, y1: y + 27, y2: y + 27 }));
    ["rotation", "iid"].forEach((name, place) => {
      const span = head[name][k];
      if (span !== null) box.append(s("rect", { class: name, x: at(span[1]), y: y + 20 + 8 * place, width: Math.max(2, at(span[2]) - at(span[1])), height: 6, rx: 2 }));
    });
    if (own !== null) box.append(s("circle", { cx: at(own), cy: y + 27, r: 5 }));
  });
  const parts = [
    h("h3", {}, `Head ${head.layer}.${head.head}`),
    h("p", { class: "muted" }, "Dot: measured. ", h("span", { class: "swatch rotation" }), " central 95 % with a random rotation, ", h("span", { class: "swatch iid" }), " of independent weights."),
    box,
  ];
  if (head.pairs.length) parts.push(pairTable(head));
  find("detail").replaceChildren(...parts);
}

function pairTable(head) {
  const rows = head.pairs.map(([norm, balance], k) => h("tr", {}, h("th", { scope: "row" }, String(k)), h("td", {}, number(norm, 4)), h("td", {}, number(balance, 3))));
  return h("details", {}, h("summary", {}, `${head.pairs.length} rotated pairs`),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table: rotated pairs" },
      h("table", {}, h("thead", {}, h("tr", {}, ...["pair", "norm", "(|K|² − |Q|²) ⁄ sum"].map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, ...rows))));
}

function choose(place) {
  state.head = place;
  find("head").value = String(place);
  drawMap();
  drawDetail();
  document.querySelectorAll(".heads-table tr.chosen").forEach((row) => row.classList.remove("chosen"));
  const row = document.querySelector(`#table-${state.audit} tr[data-place="${place}"]`);
  if (row) row.classList.add("chosen");
}

function sort(table, column, button) {
  const heading = button.closest("th");
  const falling = heading.getAttribute("aria-sort") !== "descending";
  table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
  const body = table.tBodies[0];
  const key = (row) => Number(row.cells[column].dataset.value ?? "NaN");
  const rows = [...body.rows].sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
    return falling ? y - x : x - y;
  });
  body.append(...rows);
}

function open(place) {
  state.audit = place;
  state.head = 0;
  const audit = current();
  options(find("figure"), audit.figures);
  options(find("head"), audit.heads.map((head) => `${head.layer}.${head.head}`));
  state.figure = Math.min(state.figure, audit.figures.length - 1);
  find("figure").value = String(state.figure);
  choose(0);
}

wireTheme();
options(find("checkpoint"), audits.map((audit) => audit.source));
find("checkpoint-field").hidden = audits.length === 1;
find("checkpoint").addEventListener("change", (event) => open(Number(event.target.value)));
find("figure").addEventListener("change", (event) => { state.figure = Number(event.target.value); drawMap(); });
find("against").addEventListener("change", (event) => { state.against = event.target.value; drawMap(); });
find("head").addEventListener("change", (event) => choose(Number(event.target.value)));
document.querySelectorAll(".heads-table").forEach((table, place) => {
  table.querySelectorAll("thead button").forEach((button, column) => button.addEventListener("click", () => sort(table, column, button)));
  table.querySelectorAll("tbody button").forEach((button) => button.addEventListener("click", () => {
    if (state.audit !== place) { find("checkpoint").value = String(place); open(place); }
    choose(Number(button.closest("tr").dataset.place));
    find("heads").scrollIntoView();
  }));
});
state.figure = audits[0].figures.indexOf("effective rank");
window.addEventListener("resize", drawMap);
open(0);
wireScrolls();
document.documentElement.dataset.ready = "yes";
