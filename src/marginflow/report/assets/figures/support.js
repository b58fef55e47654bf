"use strict";
// Constraint margins and weights: which tokens support the solution.

const supportFigure = {
  id: "support",
  title: "Which tokens support the solution",
  columns: (problem) => [...placeHeads(problem), ...(problem.words ? [problem.faces ? "reference word" : "optimal word"] : []),
    "margin", "margin / least", "share of the run's force", "share of the SVM's dual", "SVM margin"],
  lede: (state) => {
    const svm = svmOf(state);
    return "Filled: the run's constraint margins and the share of the force each token exerts, at the chosen snapshot. " +
      (svm && svm.dual ? `Hollow: the certified ${DATA.norms[state.norm].label} SVM. At a solution every point lies on margin 1 or on share 0.`
        : `The ${DATA.norms[state.norm].label} SVM has no certified solution to compare with.`);
  },
  absent: (state) => (DATA.runs[state.run].detail ? "" : DATA.runs[state.run].detail_note),
  draw: (body, state, actions) => {
    const view = { move: (now) => drawSupport(body, now, actions) };
    return view;
  },
  note: (state) => {
    const problem = DATA.problems[state.problem];
    return problem.kept < problem.n ? `Shown for the ${problem.kept} of ${problem.n} samples of least final margin, to keep the file small.` : "";
  },
  rows: (run, problem) => supportRows(run, problem, run.index === page.state.run ? page.state.snapshot : run.snapshots - 1, page.state.norm),
};

function svmOf(state) {
  return DATA.problems[state.problem].svm[state.norm];
}

function supportRows(run, problem, snapshot, norm) {
  const detail = detailAt(run, snapshot);
  if (!detail) return [];
  const { samples, tokens } = constraintsOf(problem);
  const svm = problem.svm[norm];
  const [dual, margins] = svm && svm.dual ? [unpack(svm.dual), unpack(svm.margins)] : [null, null];
  const { led, least } = ledTokens(problem, detail);
  const rows = led.map((c) => [c, detail.margins[c]]).map(([c, margin]) => ({
    margin, share: detail.dual[c],
    cells: [
      ...sampleCells(problem, samples[c]), ...tokenCells(problem, samples[c], tokens[c]),
      ...(problem.words ? [wordOf(problem, samples[c], problem.optimal[samples[c]])] : []),
      margin, least > 0 ? margin / least : NaN, detail.dual[c], dual ? dual[c] : NaN, margins ? margins[c] : NaN,
    ],
  }));
  return rows.sort((a, b) => b.share - a.share || a.margin - b.margin).map(({ cells }) => cells);
}

// Tokens inside a face are level with its reference and support nothing: those that must be led, and their least lead.
function ledTokens(problem, detail) {
  const led = Array.from(unpack(problem.led)).flatMap((asked, c) => (asked ? [c] : []));
  return { led, least: led.reduce((low, c) => Math.min(low, detail.margins[c]), Infinity) };
}

function drawSupport(body, state, actions) {
  const run = DATA.runs[state.run];
  const problem = DATA.problems[state.problem];
  const detail = detailAt(run, state.snapshot);
  const { samples, tokens } = constraintsOf(problem);
  const { led, least } = ledTokens(problem, detail);
  const over = least > 0 ? least : 1;
  const svm = svmOf(state);
  const own = led.map((c) => ({ c, x: detail.margins[c] / over, y: detail.dual[c] }));
  const [shares, margins] = svm && svm.dual ? [unpack(svm.dual), unpack(svm.margins)] : [null, null];
  const theirs = shares ? led.map((c) => ({ c, x: margins[c], y: shares[c] })) : [];
  const shown = [...own, ...(least > 0 ? theirs : [])];
  const xs = shown.map((p) => p.x).sort((a, b) => a - b);
  // The far margins matter least: show 1 to the 80th percentile, at least up to 3.
  const far = least > 0 ? Math.max(xs[Math.floor(0.8 * (xs.length - 1))], 3) : xs.at(-1);
  const width = Math.max(260, body.clientWidth || 360);
  const height = 280;
  const x = least > 0 ? makeScale("linear", [0.9, far], [46, width - 14])
    : makeScale("stretch", extent([xs], "stretch"), [46, width - 14]);
  const top = Math.max(...shown.map((p) => p.y), 1e-9);
  const y = makeScale("linear", [-0.06 * top, 1.08 * top], [height - 38, 26]);
  const where = whenText(run, detail.snapshot);
  const svg = s("svg", { class: "panel", viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
    "aria-label": `Share of force against margin for ${own.length} constraints of ${run.label} at ${where}` });
  svg.append(s("text", { class: "panel-title", x: 2, y: 14 }, `share of the force, ${where}`));
  const frame = { left: 46, right: 14, top: 26, bottom: 38 };
  frameAxes(svg, x, y, least > 0 ? "constraint margin ⁄ least margin" : "constraint margin (some are not positive)", width, height, frame);
  const point = (p, cls, shape) => {
    if (p.x > far) return;
    const dot = shape(x(p.x), y(p.y));
    dot.setAttribute("class", cls);
    const name = `sample ${sampleText(problem, samples[p.c])}, ${tokenText(problem, samples[p.c], tokens[p.c])}`;
    dot.append(s("title", {}, `${name}: margin ${number(p.x, 5)}, share ${number(p.y, 4)}`));
    dot.addEventListener("click", () => actions.set({ sample: samples[p.c] }));
    svg.append(dot);
  };
  for (const p of own) {
    const chosen = samples[p.c] === state.sample ? "chosen" : "";
    point(p, `support-dot word-${run.word} ${chosen}`, (cx, cy) => s("circle", { cx, cy, r: 4 }));
  }
  if (least > 0) for (const p of theirs) {
    point(p, "support-svm", (cx, cy) => s("path", { d: `M${cx},${cy - 6}l6,6l-6,6l-6,-6z` }));
  }
  const hidden = own.filter((p) => p.x > far).length;
  if (hidden) svg.append(s("text", { class: "muted", x: width - 14, y: 40, "text-anchor": "end" }, `${hidden} more to the right`));
  body.replaceChildren(svg);
}

function frameAxes(svg, x, y, title, width, height, pad) {
  for (const tick of y.ticks(26)) {
    svg.append(s("line", { class: "grid", x1: pad.left, x2: width - pad.right, y1: y(tick.v), y2: y(tick.v) }));
    svg.append(s("text", { class: "tick-text", x: pad.left - 6, y: y(tick.v) + 4, "text-anchor": "end" }, tick.text));
  }
  for (const tick of x.ticks(46)) {
    svg.append(s("text", { class: "tick-text", x: x(tick.v), y: height - pad.bottom + 17, "text-anchor": "middle" }, tick.text));
  }
  svg.append(s("line", { class: "base", x1: pad.left, x2: width - pad.right, y1: height - pad.bottom, y2: height - pad.bottom }));
  svg.append(s("text", { class: "axis-title", x: width - pad.right, y: height - 5, "text-anchor": "end" }, title));
}
