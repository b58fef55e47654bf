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
  columns: ["snapshot", "log10 t", "drift", "misalignment", "epsilon", "delta"],
  lede: () =>
    "ε and δ (Lyu and Li's approximate KKT point) going to 0 do not prove the least norm: they vanish at bad KKT points too. " +
    "Only R tells the two apart.",
  panels: (state) => BALANCE.map(([name, title, describe]) => ({
    title, describe, floor: 1e-17, xLabel: "log₁₀ t", x: "stretch", y: "log", curves: runCurves(state, "log10_time", name),
    empty: name === "drift" ? "No drift here." : "Not defined here.",
  })),
  rows: (run) => snapshotRows(run, ["log10_time", "drift", "alignment", "epsilon", "delta"]),
};
