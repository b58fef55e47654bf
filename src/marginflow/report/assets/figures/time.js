"use strict";
// Excess and least margin against log10 t, with the predicted law beside them; of runs of steps, against the steps.

const timeFigure = {
  id: "time",
  title: "Loss and margin over time",
  wide: true,
  columns: ["snapshot", "log10 t", "step", "least margin", "log10 excess", "predicted log10 excess", "excess / predicted"],
  lede: (state) => {
    const runs = runsOf(state.problem);
    if (runs.every((run) => run.steps)) return "Steps have no time: the axis counts them. No law of the flow is drawn beside them.";
    const law = DATA.runs[state.run].law;
    const axis = "The axis is log₁₀ t, never t: t itself leaves the range of floating point at log₁₀ t = 308.";
    const steps = runs.some((run) => run.steps) ? " Runs of steps have no time and are drawn against their steps, below." : "";
    return (law ? `${axis} Grey: the predicted law ${law}, from the certified SVM value alone; nothing is fitted.`
      : `${axis} No law is drawn for the chosen run: ${DATA.runs[state.run].no_law}.`) + steps;
  },
  panels: (state) => {
    const runs = runsOf(state.problem);
    return [...(runs.some((run) => !run.steps) ? timePanels(state) : []), ...(runs.some((run) => run.steps) ? stepPanels(state) : [])];
  },
  rows: (run) => snapshotRows(run, ["log10_time", "iteration", "margin", "log10_excess", "law", "law_ratio"]),
};

function timePanels(state) {
  const timed = (run) => !run.steps;
  const guides = (name) => oneRunPerWord(state).filter((run) => timed(run) && column(run, name))
    .map((run) => ({ xs: column(run, "log10_time"), ys: column(run, name) }));
  const common = { xLabel: "log₁₀ t", x: state.timeAxis, height: 250 };
  return [
    {
      ...common, title: "log₁₀ (loss − minimal loss)", y: state.timeAxis,
      curves: runCurves(state, "log10_time", "log10_excess", timed), guides: guides("law"),
      describe: "Measured excess, with the predicted law in grey.",
    },
    {
      ...common, ...marginWords(state), y: state.timeAxis, curves: runCurves(state, "log10_time", "margin", timed),
    },
    {
      ...common, title: "excess ÷ predicted law", y: "log", domainY: [0.1, 10],
      curves: runCurves(state, "log10_time", "law_ratio", timed).map(settled), rules: [{ y: 1 }],
      describe: "From where it stays within a factor 10; tends to 1 where the law holds.", empty: "No run reached the minimal loss.",
    },
  ];
}

// Early the ratio is as large as it likes, which draws strokes across the panel: from where it stays in.
function settled(curve) {
  let first = curve.ys.length;
  while (first > 0 && !(curve.ys[first - 1] < 0.1 || curve.ys[first - 1] > 10)) first--;
  return { ...curve, ys: Array.from(curve.ys, (value, k) => (k < first ? NaN : value)) };
}

function stepPanels(state) {
  const common = { xLabel: "steps", x: "log", y: "stretch", height: 250 };
  const curves = (name) => ruleCurves(state, (run) => (run.steps ? column(run, name) : null))
    .map((curve) => ({ ...curve, xs: column(DATA.runs[curve.run], "iteration") }));
  return [
    { ...common, title: "log₁₀ (loss − minimal loss)", curves: curves("log10_excess"), describe: "Measured excess." },
    {
      ...common, ...marginWords(state), curves: curves("margin"),
    },
  ];
}

function marginWords(state) {
  if (DATA.problems[state.problem].faces) {
    return { title: "least lead out of the predicted faces", describe: "Negative while some row prefers a token outside." };
  }
  return { title: "least margin of the optimal tokens", describe: "Negative while some sample prefers another token." };
}

function snapshotRows(run, names) {
  const columns = names.map((name) => column(run, name));
  return Array.from({ length: run.snapshots }, (_, k) => [k, ...columns.map((c) => (c ? c[k] : NaN))]);
}
