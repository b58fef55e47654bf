"use strict";
// R - 1 of every norm against the margin, with the predicted powers.

const ratioFigure = {
  id: "ratio",
  title: "How far from each SVM: R − 1",
  wide: true,
  across: 2,
  columns: ["snapshot", "least margin", "R−1 nuclear", "R−1 Frobenius", "R−1 l1", "R−1 l2"],
  lede: () =>
    "R = N(W) N*(G) ⁄ (margin × Σ weights) needs only the run's own weights W and force G. It is an upper bound: W over its " +
    "margin is within the factor R of the least norm N, whatever any solver says. Only the norm a flow minimises goes to R = 1; " +
    "the others level off. Greyed: differences that are rounding.",
  panels: (state) => normsOf(state).map((norm) => ({
    title: `R − 1, ${DATA.norms[norm].label}`,
    xLabel: "least margin", x: "log", y: "log", norm, focus: norm === state.norm,
    curves: runCurves(state, "margin", `gap_${norm}`),
    guides: powerGuides(state, norm), rounding: DATA.rounding,
    describe: `Certified relative distance to the ${DATA.norms[norm].label} SVM; grey: the predicted power.`,
    empty: "No run has positive margins and weights here.",
  })),
  note: (state) => {
    const powers = oneRunPerWord(state).filter((run) => run.power)
      .map((run) => `${WORDS[run.word].short}: margin to the power ${number(-run.power, 3)} (${run.power_source})`);
    return [powers.length ? `Predicted powers, grey, placed at the last snapshot above rounding: ${powers.join("; ")}. ${DATA.powerSentence}` : "", negativeNote(state)]
      .filter(Boolean).join(" ");
  },
  rows: (run) => snapshotRows(run, ["margin", "gap_nuclear", "gap_frobenius", "gap_l1", "gap_l2"]),
};

// A line of the predicted slope through the run's last point above rounding, over the last part of its way.
function powerGuides(state, norm) {
  const guides = [];
  for (const run of oneRunPerWord(state)) {
    const gap = column(run, `gap_${norm}`);
    if (run.norm !== norm || !run.power || !gap) continue;
    const margin = column(run, "margin");
    let last = gap.length - 1;
    // Where R − 1 is rounding it follows no law.
    const sound = (k) => gap[k] > 1e-11 && margin[k] > 0;
    while (last > 0 && !sound(last)) last--;
    if (!sound(last)) continue;
    const start = Math.max(margin[last] * 1e-4, 1);
    guides.push({ xs: [start, margin[last]], ys: [gap[last] * (start / margin[last]) ** -run.power, gap[last]] });
  }
  return guides;
}
