"use strict";
// Runs of steps: gap to each certified norm against the margin, and the speed of the margin, with what limits either.

const gapFigure = {
  id: "gap",
  title: "Where the optimisers end: gap against margin",
  wide: true,
  across: 2,
  columns: ["snapshot", "step", "least margin", "margin per step"],
  absent: (state) => !runsOf(state.problem).some((run) => run.steps),
  lede: () =>
    "Gap: norm over margin and certified least norm, minus 1. Compare optimisers at equal margin, not after equal steps: a rate only " +
    "moves a run along its curve. In the norm that a rule minimises the gap of one matrix W falls like 1 ⁄ margin, the grey slope; " +
    "elsewhere it levels off. Dotted: the margin log(1 ⁄ eps) at which a gradient is as small as eps, and the speeds above which memory never forgets.",
  panels: (state) => [...normsOf(state).map((norm) => gapPanel(state, norm)), speedPanel(state)],
  note: (state) => {
    const names = [...new Set(runsOf(state.problem).filter((run) => run.steps).map((run) => `${ruleOf(run)}: ${run.method}`))];
    return [`${names.join("; ")}.`, negativeNote(state)].filter(Boolean).join(" ");
  },
  rows: (run) => {
    const [steps, margin, speed] = [column(run, "iteration"), column(run, "margin"), speedOf(run)];
    return run.steps ? Array.from({ length: run.snapshots }, (_, k) => [k, steps[k], margin[k], speed[k]]) : [];
  },
};

function gapPanel(state, norm) {
  const svm = DATA.problems[state.problem].svm[norm];
  const least = svm && svm.upper !== null ? svm.lower : NaN;
  const curves = ruleCurves(state, (run) => column(run, `norm_${norm}`)?.map((value) => value / least - 1));
  return {
    title: `gap, ${DATA.norms[norm].label}`, xLabel: "least margin", x: "log", y: "log", norm, focus: norm === state.norm, curves,
    guides: slopeGuide(curves), marks: limits(state, "margin").map(({ at, words }) => ({ x: at, name: words })),
    rules: limits(state, "gap").filter((limit) => limit.norm === norm).map(({ at, words }) => ({ y: at, name: words, style: "elsewhere" })),
    describe: `Norm over margin and the certified ${svm ? svm.least : "least"}, minus 1, one curve per optimiser.`,
    empty: Number.isFinite(least) ? "No run has positive margins." : "No certified SVM value.",
  };
}

function speedPanel(state) {
  return {
    title: "growth of the margin a step", xLabel: "least margin", x: "log", y: "log", curves: ruleCurves(state, speedOf),
    marks: limits(state, "margin").map(({ at, words }) => ({ x: at, name: words })),
    rules: limits(state, "speed").map(({ at, words }) => ({ y: at, name: words, style: "elsewhere" })),
    describe: "Between one snapshot and the next.", empty: "No run of steps has a growing margin.",
  };
}

// A colour and a name for each optimiser; flows keep those of their weights, for comparison.
function ruleCurves(state, values) {
  const rules = [...new Set(runsOf(state.problem).filter((run) => run.steps).map((run) => run.method))];
  return runsOf(state.problem).flatMap((run) => {
    const ys = values(run);
    if (!ys || (!run.steps && values === speedOf)) return [];
    const word = run.steps ? `rule-${rules.indexOf(run.method) % 8}` : run.word;
    const name = run.steps ? ruleOf(run) : "flow";
    return [{ run: run.index, word, name, xs: column(run, "margin"), ys, chosen: run.index === state.run }];
  });
}

function ruleOf(run) {
  return run.rule.split(":")[0] || run.method;
}

function speedOf(run) {
  const [steps, margin] = [column(run, "iteration"), column(run, "margin")];
  return margin.map((value, k) => (k ? (value - margin[k - 1]) / (steps[k] - steps[k - 1]) : NaN));
}

function limits(state, kind) {
  const found = new Map();
  for (const run of runsOf(state.problem)) {
    for (const limit of run.thresholds) if (limit.kind === kind) found.set(limit.words, limit);
  }
  return [...found.values()];
}

// Through the last point of the chosen run, or of the first that has one, over the two decades before.
function slopeGuide(curves) {
  for (const curve of [...curves.filter((c) => c.chosen), ...curves]) {
    let last = curve.xs.length - 1;
    while (last >= 0 && !(curve.xs[last] > 0 && curve.ys[last] > 0)) last--;
    if (last < 0) continue;
    const [x, y] = [curve.xs[last], curve.ys[last]];
    return [{ xs: [x / 100, x], ys: [y * 100, y], name: "slope −1" }];
  }
  return [];
}
