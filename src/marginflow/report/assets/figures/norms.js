"use strict";
// Norm over margin with the certified SVM values: the abstract's contrast.

const normsFigure = {
  id: "norms",
  title: "Norm over margin comes down to a certified line",
  wide: true,
  across: 2,
  columns: ["snapshot", "least margin", "nuclear/margin", "Frobenius/margin", "l1/margin", "l2/margin"],
  lede: (state) => {
    const problem = DATA.problems[state.problem];
    if (onlyTraps(state)) {
      return `${problem.label}: no run here ${problem.faces ? "is proved to reach" : "reaches"} the minimal loss. Drawn of the chosen run: norm over the ` +
        `lead of ${DATA.runs[state.run].final.whose}, and the certified least norm for those (solid).`;
    }
    const elsewhere = Object.values(problem.svm).some((svm) => Object.keys(svm.elsewhere).length);
    const weights = problem.faces
      ? "drawn is W less the part that stays finite. No weights that are level inside the predicted faces and lead out of them"
      : "no weights that separate the tokens";
    return `${problem.label}: ${weights} lie below the solid line, the certified least norm.` +
      (elsewhere ? " Dotted: this norm of the other SVM's solution, where a run that minimises the other norm should end." : "");
  },
  panels: (state) => {
    const problem = DATA.problems[state.problem];
    if (onlyTraps(state)) return trapPanels(state);
    return normsOf(state).map((norm) => {
      const curves = runCurves(state, "margin", `norm_${norm}`);
      const svm = problem.svm[norm];
      const rules = [];
      if (svm && svm.upper !== null) {
        rules.push({ y: svm.lower, y2: svm.upper, name: svm.least, style: "svm" });
      }
      for (const [other, value] of Object.entries(svm ? svm.elsewhere : {})) {
        if (Math.abs(value / svm.upper - 1) > 1e-3 && rules.every((rule) => Math.abs(rule.y / value - 1) > 0.01)) {
          rules.push({ y: value, name: number(value, 5), style: "elsewhere" });
        }
      }
      return {
        title: `${DATA.norms[norm].label} norm ⁄ least margin`, xLabel: "least margin", x: "log", y: "linear",
        norm, focus: norm === state.norm, curves, rules, right: 88, domainY: endDomain(curves, rules), height: 240,
        describe: svm && svm.upper !== null
          ? `Certified SVM value in ${svm.bounds}.` : "No certified SVM value.",
        empty: "No run has positive margins.",
      };
    });
  },
  note: (state) => (onlyTraps(state) ? "" : negativeNote(state)),
  rows: (run) => snapshotRows(run, ["margin", "norm_nuclear", "norm_frobenius", "norm_l1", "norm_l2"]),
};

// Nothing reached the minimal loss, and the chosen run is on tokens or faces of its own: it has an SVM of its own.
function onlyTraps(state) {
  return Boolean(column(DATA.runs[state.run], "lead")) && runsOf(state.problem).every((run) => run.status !== "minimal_loss");
}

function trapPanels(state) {
  const run = DATA.runs[state.run];
  return run.norms.map((norm) => {
    const xs = column(run, "lead");
    const curves = [{ run: run.index, word: run.word, name: WORDS[run.word].short, xs, ys: column(run, `own_${norm}`), chosen: true }];
    const least = norm === run.norm ? run.final.own_least : null;
    const rules = least === null ? [] : [{ y: least.value, name: least.name, style: "svm" }];
    return {
      title: `${DATA.norms[norm].label} norm ⁄ lead`, xLabel: "lead over worse tokens", x: "log", y: "linear", norm,
      focus: norm === state.norm, curves, rules, right: 88, domainY: endDomain(curves, rules), height: 240,
      describe: `Of ${run.final.whose}.`, empty: "The lead is never positive.",
    };
  });
}

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
