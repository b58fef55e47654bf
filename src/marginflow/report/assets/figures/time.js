"use strict";
// Excess and least margin against log10 t, with the predicted law beside them.

const timeFigure = {
  id: "time",
  title: "Loss and margin over time",
  wide: true,
  columns: ["snapshot", "log10 t", "least margin", "log10 excess", "predicted log10 excess", "excess / predicted"],
  lede: (state) => {
    const law = DATA.runs[state.run].law;
    const axis = "The axis is log₁₀ t, never t: t itself leaves the range of floating point at log₁₀ t = 308.";
    return law ? `${axis} Grey: the predicted law ${law}, from the certified SVM value alone; nothing is fitted.`
      : `${axis} No law is drawn for the chosen run: ${DATA.runs[state.run].no_law}.`;
  },
  panels: (state) => {
    const guides = (name) => oneRunPerWord(state).filter((run) => column(run, name))
      .map((run) => ({ xs: column(run, "log10_time"), ys: column(run, name) }));
    const common = { xLabel: "log₁₀ t", x: state.timeAxis, height: 250 };
    return [
      {
        ...common, title: "log₁₀ (loss − minimal loss)", y: state.timeAxis,
        curves: runCurves(state, "log10_time", "log10_excess"), guides: guides("law"),
        describe: "Measured excess, with the predicted law in grey.",
      },
      {
        ...common, title: "least margin of the optimal tokens", y: state.timeAxis,
        curves: runCurves(state, "log10_time", "margin"),
        describe: "Negative while some sample prefers another token.",
      },
      {
        ...common, title: "excess ÷ predicted law", y: "log", domainY: [0.1, 10],
        curves: runCurves(state, "log10_time", "law_ratio"), rules: [{ y: 1 }],
        describe: "Tends to 1 where the law holds.", empty: "No run reached the minimal loss.",
      },
    ];
  },
  rows: (run) => snapshotRows(run, ["log10_time", "margin", "log10_excess", "law", "law_ratio"]),
};

function snapshotRows(run, names) {
  const columns = names.map((name) => column(run, name));
  return Array.from({ length: run.snapshots }, (_, k) => [k, ...columns.map((c) => (c ? c[k] : NaN))]);
}
