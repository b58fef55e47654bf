"use strict";
// The conserved quantity, alignment, and the approximate KKT residuals.

const BALANCE = [
  ["drift", "drift of K′K − Q′Q, relative", "Zero for the exact flow; what is seen is the integrator's error and rounding."],
  ["alignment", "misalignment of W and its force", "0 when W and the force share singular spaces, at most 1."],
  ["epsilon", "ε: distance from stationarity", "Goes to 0 at KKT points, also at ones that are not optimal."],
  ["delta", "δ: complementary slackness", "Goes to 0 at KKT points, also at ones that are not optimal."],
];

const balanceFigure = {
  id: "balance",
  title: "Conservation, alignment and KKT residuals",
  wide: (state) => DATA.problems[state.problem].plane !== null,
  columns: ["snapshot", "log10 t", "step", "drift", "misalignment", "epsilon", "delta"],
  lede: () =>
    "ε and δ (Lyu and Li's approximate KKT point) going to 0 do not prove the least norm: they vanish at bad KKT points too. " +
    "Only R tells the two apart. Greyed: values that are rounding.",
  // Runs with a time and runs of steps have no axis in common: those like the chosen one are drawn.
  panels: (state) => BALANCE.map(([name, title, describe]) => {
    const clock = clockOf(DATA.runs[state.run]);
    return {
      title, describe, floor: 1e-17, rounding: name === "drift" ? 0 : DATA.rounding, xLabel: clock.label, x: clock.kind, y: "log",
      curves: runCurves(state, clock.name, name, (run) => run.steps === DATA.runs[state.run].steps),
      empty: name === "drift" ? "No drift here." : "Not defined here.",
    };
  }),
  note: (state) => (DATA.problems[state.problem].faces
    ? "ε and δ are of runs whose rows each go to one token: the multipliers of equalities have any sign." : ""),
  rows: (run) => snapshotRows(run, ["log10_time", "iteration", "drift", "alignment", "epsilon", "delta"]),
};
