"use strict";
// Norm over margin with the certified SVM values: the abstract's contrast.

const normsFigure = {
  id: "norms",
  title: "Which norm is least: norm over margin",
  wide: true,
  across: 2,
  columns: ["snapshot", "least margin", "nuclear/margin", "Frobenius/margin", "l1/margin", "l2/margin"],
  lede: () =>
    "Every set of weights that separates the tokens lies on or above the solid line, the certified SVM value of that norm. " +
    "Separate K and Q come down to the nuclear line, one matrix W to the Frobenius line, diagonal k and q to the l1 line. " +
    "Dotted: this norm of the other SVM solutions, where the other runs should end.",
  panels: (state) => {
    const problem = DATA.problems[state.problem];
    return normsOf(state).map((norm) => {
      const curves = runCurves(state, "margin", `norm_${norm}`);
      const svm = problem.svm[norm];
      const rules = [];
      const label = DATA.norms[norm].label;
      if (svm && svm.upper !== null) {
        rules.push({ y: svm.lower, y2: svm.upper, name: `certified ${label} SVM: ${number(svm.upper, 6)}`, style: "svm" });
      }
      for (const [other, value] of Object.entries(svm ? svm.elsewhere : {})) {
        if (Math.abs(value / svm.upper - 1) > 1e-3 && rules.every((rule) => Math.abs(rule.y / value - 1) > 0.01)) {
          rules.push({ y: value, name: `of the ${DATA.norms[other].label} SVM: ${number(value, 6)}`, style: "elsewhere" });
        }
      }
      return {
        title: `${DATA.norms[norm].label} norm ⁄ least margin`, xLabel: "least margin", x: "log", y: "linear",
        norm, focus: norm === state.norm, curves, rules, domainY: endDomain(curves, rules), height: 250,
        describe: svm && svm.upper !== null
          ? `Certified SVM value between ${number(svm.lower, 8)} and ${number(svm.upper, 8)}.` : "No certified SVM value.",
        empty: "No run has positive margins.",
      };
    });
  },
  note: negativeNote,
  rows: (run) => snapshotRows(run, ["margin", "norm_nuclear", "norm_frobenius", "norm_l1", "norm_l2"]),
};

// Early values can be a thousand times larger: show where the curves end, let them enter from above.
function endDomain(curves, rules) {
  const ends = rules.flatMap((rule) => (rule.y2 === undefined ? [rule.y] : [rule.y, rule.y2]));
  for (const curve of curves) {
    for (let k = curve.ys.length - 1; k >= 0; k--) {
      if (Number.isFinite(curve.ys[k]) && curve.xs[k] > 0) {
        ends.push(curve.ys[k]);
        break;
      }
    }
  }
  if (!ends.length) return null;
  const lo = Math.min(...ends);
  const hi = Math.max(...ends);
  const room = Math.max(hi - lo, 0.15 * hi);
  return [Math.max(0, lo - 0.15 * room), hi + 0.45 * room];
}
