"use strict";
// The page of attractors: a map of ends by samples, shares against the scale of the start, one chosen end.

const SIZE = 28;
const DRAWN = 40;
const CURVES = 7;
const page = { end: 0 };

function tokenWords(i, l) {
  const word = DATA.words ? DATA.words[i][l] : "";
  return word ? `token ${l} “${word}”` : `token ${l}`;
}

function sampleWords(i) {
  return DATA.called ? `sample ${i} (${DATA.called[i]})` : `sample ${i}`;
}

// Rows of one head beside each other.
function columnOrder() {
  const rows = DATA.optimal.map((_, i) => i);
  return DATA.heads ? rows.sort((a, b) => DATA.heads[a] - DATA.heads[b] || a - b) : rows;
}

function drawMap() {
  const ends = DATA.ends.slice(0, DRAWN);
  const left = 96;
  const width = left + SIZE * DATA.optimal.length + 4;
  const top = DATA.heads ? 44 : 26;
  const height = top + SIZE * ends.length + 4;
  const map = s("svg", { class: "heat", width, height, viewBox: `0 0 ${width} ${height}`, role: "img" });
  map.setAttribute("aria-label", `The tokens of ${ends.length} ends; the table below has their numbers`);
  const order = columnOrder();
  order.forEach((i, place) => {
    map.append(s("text", { x: left + SIZE * (place + 0.5), y: top - 10, "text-anchor": "middle" }, String(i)));
    if (DATA.heads && (place === 0 || DATA.heads[i] !== DATA.heads[order[place - 1]])) {
      map.append(s("text", { x: left + SIZE * place + 4, y: 16 }, `head ${DATA.heads[i]}`));
      if (place) map.append(s("line", { class: "base", x1: left + SIZE * place - 1, x2: left + SIZE * place - 1, y1: 4, y2: height }));
    }
  });
  ends.forEach((end, k) => {
    const y = top + SIZE * k;
    const row = s("g", { class: k === page.end ? "row on" : "row" });
    row.append(s("text", { x: left - 8, y: y + 18, "text-anchor": "end", class: "row-name" }, end.name));
    order.forEach((i, place) => {
      const token = end.selected[i];
      const wrong = token !== DATA.optimal[i];
      const x = left + SIZE * place;
      row.append(s("rect", { x: x + 1, y: y + 1, width: SIZE - 3, height: SIZE - 3, rx: 3, class: wrong ? "wrong" : "right" }));
      row.append(s("text", { x: x + SIZE / 2, y: y + 18, "text-anchor": "middle", class: "token" }, String(token)));
    });
    row.addEventListener("click", () => choose(k));
    row.addEventListener("mousemove", (event) => {
      const i = order[Math.floor((event.clientX - map.getBoundingClientRect().left - left) / SIZE)];
      if (i !== undefined) tip(event, `${end.name}, ${sampleWords(i)}: ${tokenWords(i, end.selected[i])}`);
    });
    row.addEventListener("mouseleave", hideTip);
    map.append(row);
  });
  find("map-frame").replaceChildren(map);
}

function drawDetail() {
  const end = DATA.ends[page.end];
  const wrong = end.selected.flatMap((token, i) => (token === DATA.optimal[i] ? [] : [`${sampleWords(i)} on ${tokenWords(i, token)} in place of ${tokenWords(i, DATA.optimal[i])}`]));
  const rest = wrong.length > 6 ? `; and ${wrong.length - 6} more` : "";
  const said = end.optimal ? "Every sample ends on its optimal token." : `${wrong.slice(0, 6).join("; ")}${rest}. The loss stays ${number(end.excess, 4)} above the least.`;
  find("detail").replaceChildren(
    h("h3", {}, end.name), h("p", {}, said),
    h("pre", { tabindex: 0, role: "region", "aria-label": "Command for the chosen end" }, end.command),
  );
}

// The ends met most often, and the chosen one.
function drawShares() {
  find("shares").hidden = DATA.scales.length < 2;
  if (find("shares").hidden) return;
  const total = (end) => end.shares.reduce((sum, share) => sum + share[0], 0);
  const order = DATA.ends.map((_, k) => k).sort((a, b) => total(DATA.ends[b]) - total(DATA.ends[a]));
  const shown = order.filter((k, place) => k === page.end || (place < CURVES && total(DATA.ends[k]) > 0));
  // A colour for each curve shown: at most eight, of which the minimal loss always has the same one.
  const traps = shown.filter((k) => !DATA.ends[k].optimal);
  const word = (k) => (DATA.ends[k].optimal ? "rule-7" : `rule-${traps.indexOf(k)}`);
  const curves = shown.map((k) => ({
    run: k, word: word(k), name: DATA.ends[k].name, xs: DATA.scales, ys: DATA.ends[k].shares.map((share) => share[0]), chosen: k === page.end, label: DATA.ends[k].name,
  }));
  const { shares } = DATA.ends[page.end];
  drawPanel(find("panel"), {
    title: "share of the sampled starts", xLabel: "standard deviation of the start", x: "log", y: "linear", domainY: [0, 1], height: 250, right: 96, curves,
    bands: [{ xs: DATA.scales, low: shares.map((share) => share[1]), high: shares.map((share) => share[2]), word: word(page.end) }],
    describe: "One curve an end; the band is of the chosen one.",
  }, {
    hover: (curve, at, event) => tip(event, `${curve.label} · scale ${number(curve.xs[at], 3)} · ${percent(curve.ys[at])}`),
    leave: hideTip, pick: (curve) => choose(curve.run), set: () => {}, zoom: drawShares,
  });
}

function choose(k) {
  page.end = k;
  for (const button of document.querySelectorAll("button[data-end]")) {
    button.closest("tr").classList.toggle("chosen", Number(button.dataset.end) === k);
  }
  drawMap();
  drawDetail();
  drawShares();
  tellScrolls();
}

function start() {
  wireTheme();
  wireScrolls();
  document.documentElement.dataset.ready = "yes";
  if (!DATA.ends.length) {
    find("ends").hidden = find("shares").hidden = true;
    return;
  }
  for (const button of document.querySelectorAll("button[data-end]")) {
    button.addEventListener("click", () => {
      choose(Number(button.dataset.end));
      find("ends").scrollIntoView();
    });
  }
  choose(0);
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== width) drawShares();
    width = innerWidth;
  });
}

start();
