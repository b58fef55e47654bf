"use strict";
// Attention of every sample at the chosen snapshot, and one sample in full, with its image where there is one.

const attentionFigure = {
  id: "attention",
  title: "Where attention goes",
  wide: true,
  columns: (problem) => [...placeHeads(problem), ...(problem.faces ? ["in the face", "predicted share"] : ["optimal", "score"]), "attention", "margin against it"],
  lede: (state) => {
    const run = DATA.runs[state.run];
    const problem = DATA.problems[state.problem];
    const [tokens, mark] = wordsOnMap(problem) ? ["its words in their order", "frame"] : ["one column per token", "ring"];
    const marked = problem.faces ? "marks each token of the predicted face, which keeps a share at the least loss" : "marks the optimal token, the one of largest score";
    return `Softmax attention of ${run.label}, one row per sample, ${tokens}. A ${mark} ${marked}. ` +
      "Click a row, or use the list, to see one sample in full.";
  },
  absent: (state) => (DATA.runs[state.run].detail ? "" : DATA.runs[state.run].detail_note),
  draw: (body, state, actions) => {
    const view = buildAttention(body, state, actions);
    return { move: (now) => drawAttention(view, now) };
  },
  note: (state) => DATA.problems[state.problem].words_note,
  rows: (run, problem) => {
    const detail = detailAt(run, run.index === page.state.run ? page.state.snapshot : run.snapshots - 1);
    if (!detail) return [];
    return problem.samples.flatMap((_, i) => {
      const { p, gaps } = attention(problem, i, detail.margins);
      return Array.from(p, (value, l) => [
        ...sampleCells(problem, i), ...tokenCells(problem, i, l),
        keptTokens(problem, i).includes(l) ? "yes" : "no", row(problem.scores, i)[l], value, gaps[l],
      ]).filter((_, l) => gaps[l] < Infinity);
    });
  },
};

function buildAttention(body, state, actions) {
  const problem = DATA.problems[state.problem];
  const pick = h("select", { id: "sample", onchange: (event) => actions.set({ sample: Number(event.target.value) }) },
    problem.samples.map((_, i) => h("option", { value: i },
      `${sampleText(problem, i)}${problem.images ? ` (digit ${problem.digits[i]})` : ""}`)));
  const map = h("canvas", { class: "map", role: "img" });
  const one = h("div", { class: "one" });
  const readout = h("p", { class: "muted" });
  map.addEventListener("click", (event) => {
    const box = map.getBoundingClientRect();
    const top = (box.height * MAP.top) / map.dataset.height;
    const i = Math.floor(((event.clientY - box.top - top) / (box.height - top)) * problem.kept);
    actions.set({ sample: Math.min(problem.kept - 1, Math.max(0, i)) });
  });
  const image = problem.images || problem.words ? h("div", { class: "image" }) : null;
  const side = h("div", { class: "side" }, h("div", {}, h("label", { for: "sample" }, "Sample "), pick), image);
  // A map of words has its own width: where it does not fit it is moved under its frame, not shrunk.
  const worded = wordsOnMap(problem);
  const frame = worded ? h("div", { class: "map-frame", tabindex: 0, role: "region", "aria-label": "Attention map" }, map) : map;
  const kind = `attention${problem.words ? " words" : ""}${!worded && problem.T > 90 ? " long" : ""}`;
  body.replaceChildren(h("div", { class: kind },
    h("div", { class: "map-host" }, frame, readout), side, one));
  return { problem, pick, map, one, image, readout };
}

function drawAttention(view, state) {
  const { problem } = view;
  const run = DATA.runs[state.run];
  const detail = detailAt(run, state.snapshot);
  const maps = problem.samples.map((_, i) => attention(problem, i, detail.margins));
  view.pick.value = state.sample;
  const where = `snapshot ${detail.snapshot + 1}, ${whenText(run, detail.snapshot)}`;
  view.readout.textContent = `${where}: ${attentionText(problem, maps)}`;
  view.map.setAttribute("aria-label", `Attention map of ${run.label}. ${view.readout.textContent}`);
  paintMap(view, maps, state);
  paintSample(view, maps[state.sample], state);
}

function attentionText(problem, maps) {
  if (problem.faces) {
    const off = maps.reduce((most, { p }, i) => Math.max(most, sharesOff(problem, i, p)), 0);
    return `the farthest attention weight is ${number(off, 3)} from its predicted share.`;
  }
  const right = maps.filter(({ p }, i) => p[problem.optimal[i]] > 0.5).length;
  return `${right} of ${problem.kept} samples give more than half of their attention to the optimal token.`;
}

const MAP = { left: 34, top: 22 };

function paintMap({ problem, map }, maps, state) {
  const columns = problem.words ? Math.max(...problem.lengths) : problem.T;
  const worded = wordsOnMap(problem);
  const cell = worded ? [wordWidth(problem), 22]
    : [Math.max(4, Math.min(30, 330 / columns)), Math.max(7, Math.min(20, 440 / problem.kept))];
  const width = MAP.left + cell[0] * columns + 2;
  const height = MAP.top + cell[1] * problem.kept + 2;
  const ratio = window.devicePixelRatio || 1;
  map.width = width * ratio;
  map.height = height * ratio;
  map.style.width = `${width}px`;
  map.dataset.height = height;
  const pen = map.getContext("2d");
  pen.scale(ratio, ratio);
  const [heat, card, text, line, accent, muted] =
    ["--heat", "--card", "--text", "--line", "--accent", "--muted"].map(colour);
  pen.font = "11px system-ui, sans-serif";
  pen.fillStyle = muted;
  pen.textAlign = "center";
  const stride = Math.ceil(16 / cell[0]);
  for (let l = 0; l < columns; l += stride) pen.fillText(String(l), MAP.left + (l + 0.5) * cell[0], MAP.top - 7);
  pen.textAlign = "right";
  const skip = Math.ceil(11 / cell[1]);
  maps.forEach((_, i) => {
    if (i % skip === 0) pen.fillText(String(problem.samples[i]), MAP.left - 7, MAP.top + (i + 0.5) * cell[1] + 4);
  });
  maps.forEach(({ p, gaps }, i) => {
    for (let l = 0; l < p.length; l++) {
      const [x, y] = [MAP.left + l * cell[0], MAP.top + i * cell[1]];
      pen.fillStyle = line;
      pen.fillRect(x, y, ...cell);
      pen.fillStyle = card;
      pen.fillRect(x + 0.5, y + 0.5, cell[0] - 1, cell[1] - 1);
      pen.globalAlpha = p[l];
      pen.fillStyle = heat;
      pen.fillRect(x + 0.5, y + 0.5, cell[0] - 1, cell[1] - 1);
      pen.globalAlpha = 1;
      if (!worded || gaps[l] === Infinity) continue;
      pen.fillStyle = p[l] > 0.6 ? card : text;
      pen.textAlign = "center";
      pen.fillText(fitted(pen, visible(wordOf(problem, i, l)) || String(l), cell[0] - 8), x + cell[0] / 2, y + 15);
    }
    pen.lineWidth = 1.6;
    for (const l of keptTokens(problem, i)) {
      pen.strokeStyle = p[l] > 0.5 ? card : text;
      pen.beginPath();
      if (worded) pen.rect(MAP.left + l * cell[0] + 2.5, MAP.top + i * cell[1] + 2.5, cell[0] - 5, cell[1] - 5);
      else pen.arc(MAP.left + (l + 0.5) * cell[0], MAP.top + (i + 0.5) * cell[1], Math.max(2, Math.min(...cell) / 4), 0, 7);
      pen.stroke();
    }
  });
  pen.strokeStyle = accent;
  pen.lineWidth = 2.5;
  pen.strokeRect(MAP.left, MAP.top + state.sample * cell[1], columns * cell[0], cell[1]);
}

// Words are written into the cells of a map that stays within what can be scrolled and painted; beyond, they stand in
// the sentence and in the tables only.
function wordsOnMap(problem) {
  return Boolean(problem.words) && Math.max(...problem.lengths) * wordWidth(problem) <= 4000;
}

// Wide enough for the longest word, within reason.
function wordWidth(problem) {
  if (!problem.wordWidth) {
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = "11px system-ui, sans-serif";
    const widths = problem.words.flat().map((word) => pen.measureText(visible(word)).width);
    problem.wordWidth = Math.ceil(Math.max(30, Math.min(92, widths.reduce((a, b) => Math.max(a, b), 0) + 10)));
  }
  return problem.wordWidth;
}

function fitted(pen, word, width) {
  if (pen.measureText(word).width <= width) return word;
  let letters = Array.from(word);
  while (letters.length > 1 && pen.measureText(`${letters.join("")}…`).width > width) letters = letters.slice(0, -1);
  return `${letters.join("")}…`;
}

function paintSample({ problem, one, image }, { p, gaps }, state) {
  const i = state.sample;
  const scores = row(problem.scores, i);
  const kept = keptTokens(problem, i);
  const bars = Array.from(p, (value, l) => {
    const optimal = kept.includes(l);
    if (gaps[l] === Infinity) return null;
    return h("tr", { class: optimal ? "optimal" : "" },
      h("th", { scope: "row" }, `${l} `, h("bdi", {}, visible(wordOf(problem, i, l))), optimal ? " ◯" : ""),
      problem.images ? h("td", {}, patchImage(problem, i, l)) : null,
      h("td", { class: "bar" }, h("span", { style: `width:${(100 * value).toFixed(1)}%` }), h("b", {}, percent(value))),
      h("td", {}, number(scores[l], 3)), h("td", {}, l === problem.optimal[i] ? "–" : number(gaps[l], 3)));
  });
  const head = ["token", problem.images ? "patch" : null, "attention", problem.faces ? "predicted" : "score", "margin"].filter(Boolean);
  const table = h("table", { class: "tokens" },
    h("caption", {}, `Sample ${sampleText(problem, i)}: ${sampleAnswer(problem, i, p)}`),
    h("thead", {}, h("tr", {}, head.map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, bars.filter(Boolean)));
  if (image) image.replaceChildren(problem.images ? digitImage(problem, i, p) : sentenceOf(problem, i, p, gaps));
  one.replaceChildren(h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Tokens of the chosen sample" }, table));
}

function sampleAnswer(problem, i, p) {
  if (problem.faces) return `no attention weight is further than ${number(sharesOff(problem, i, p), 3)} from its predicted share`;
  return Math.max(...p) === p[problem.optimal[i]] ? "the optimal token gets the most attention" : "another token gets the most attention";
}

// The words in their order, tinted by attention.
function sentenceOf(problem, i, p, gaps) {
  const words = [];
  p.forEach((value, l) => {
    if (gaps[l] === Infinity) return;
    words.push(h("bdi", { class: keptTokens(problem, i).includes(l) ? "word optimal" : "word",
      style: `background:color-mix(in srgb, var(--accent) ${(45 * value).toFixed(1)}%, transparent)` },
    visible(wordOf(problem, i, l)) || `token ${l}`), " ");
  });
  return h("figure", { class: "sentence" },
    h("p", { tabindex: 0, role: "region", "aria-label": "Words of the chosen sample" }, words),
    h("figcaption", {}, problem.faces ? "Tint: attention. Frame: the words of the predicted face." : "Tint: attention. Frame: the optimal word."));
}

// The image, tinted by the attention on the patches that cover each pixel.
function digitImage(problem, i, p) {
  const size = 224;
  const canvas = h("canvas", { class: "digit", role: "img", width: size, height: size,
    "aria-label": `Image of digit ${problem.digits[i]}; the patch with most attention is outlined` });
  const pen = canvas.getContext("2d");
  const light = new Float64Array(64);
  problem.corners.forEach(([r, c], l) => {
    for (let k = 0; k < 16; k++) light[(r + (k >> 2)) * 8 + c + (k & 3)] += p[l];
  });
  const pixels = row(problem.images, i);
  const unit = size / 8;
  for (let k = 0; k < 64; k++) {
    const grey = Math.round((pixels[k] / 16) * 255);
    const cell = [(k % 8) * unit, Math.floor(k / 8) * unit, unit, unit];
    pen.fillStyle = `rgb(${grey},${grey},${grey})`;
    pen.fillRect(...cell);
    pen.fillStyle = `rgba(40,130,220,${0.45 * Math.min(1, light[k])})`;
    pen.fillRect(...cell);
  }
  const outline = (l, color, dash, inset) => {
    const [r, c] = problem.corners[l];
    pen.strokeStyle = color;
    pen.lineWidth = 3;
    pen.setLineDash(dash);
    pen.strokeRect(c * unit + inset, r * unit + inset, 4 * unit - 2 * inset, 4 * unit - 2 * inset);
  };
  outline(p.indexOf(Math.max(...p)), "#56b4e9", [], 2);
  outline(problem.optimal[i], "#f0a030", [5, 4], 5);
  return h("figure", { class: "digit-host" }, canvas,
    h("figcaption", {}, "Blue tint: attention. Blue frame: the patch with most of it. Orange, dashed: the optimal patch."));
}

function patchImage(problem, i, l) {
  const canvas = h("canvas", { class: "patch", width: 4, height: 4, "aria-hidden": "true" });
  const pen = canvas.getContext("2d");
  const pixels = row(problem.images, i);
  const [r, c] = problem.corners[l];
  for (let k = 0; k < 16; k++) {
    const grey = Math.round((pixels[(r + (k >> 2)) * 8 + c + (k & 3)] / 16) * 255);
    pen.fillStyle = `rgb(${grey},${grey},${grey})`;
    pen.fillRect(k & 3, k >> 2, 1, 1);
  }
  return canvas;
}
