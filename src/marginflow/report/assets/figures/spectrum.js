"use strict";
// Singular values of W over the margin, those of the SVM's support told apart from the rest.

const spectrumFigure = {
  id: "spectrum",
  title: "Singular values of W",
  wide: true,
  columns: ["snapshot", "least margin", "index", "singular value / margin", "support of the SVM"],
  lede: (state) => {
    const run = DATA.runs[state.run];
    return run.rank === null
      ? `None is marked as support or off-support for the chosen run: ${run.no_law || "the rank of its SVM is not certified"}.`
      : "Thick: the singular values that the SVM solution of the run's own norm keeps (its certified rank, in the title). " +
        "Thin and dashed: the others, which the theory lets vanish only as a power of the margin." +
        (DATA.problems[state.problem].faces ? " Of W less the part that stays finite." : "");
  },
  panels: (state) => oneRunPerWord(state).filter((run) => run.singular).map((run) => {
    const reached = run.final.margin > 0;
    const scale = reached ? column(run, "margin") : column(run, clockOf(run).name);
    return {
      title: `${run.label}: singular value${reached ? " ⁄ margin" : ""}${run.rank === null ? "" : `, ${run.rank} thick`}`, yName: `singular value${reached ? " ⁄ margin" : ""}`,
      xLabel: reached ? "least margin" : clockOf(run).label, x: reached ? "log" : clockOf(run).kind, y: "log", height: 260, dot: 2.4,
      curves: spectrumCurves(run, scale, state), guides: reached ? spectrumGuides(run) : [],
      describe: "One curve per singular value.",
    };
  }),
  note: (state) => {
    const run = DATA.runs[state.run];
    if (!run.spectrum_power) return run.spectrum_note || "";
    return `${run.label}: the slowest off-support value is predicted to fall like the margin to the power ${number(-run.spectrum_power, 3)} (grey). ${run.spectrum_note || ""}`;
  },
  rows: (run) => {
    if (!run.singular) return [];
    const margin = column(run, "margin");
    return Array.from({ length: run.snapshots }, (_, k) => Array.from(row(run.singular, k), (value, j) =>
      [k, margin[k], j + 1, value, run.rank === null ? "undecided" : j < run.rank ? "yes" : "no"])).flat();
  },
};

function spectrumCurves(run, xs, state) {
  const array = unpack(run.singular);
  const width = array.shape[1];
  return Array.from({ length: width }, (_, j) => {
    const on = run.rank === null || j < run.rank;
    const name = run.rank === null ? null : j === 0 ? "support" : j === run.rank ? "rest" : null;
    return {
      run: run.index, word: run.word, name, xs, chosen: true, style: on ? "on" : "off",
      ys: Array.from({ length: run.snapshots }, (_, k) => array[k * width + j]),
    };
  });
}

function spectrumGuides(run) {
  const array = unpack(run.singular);
  const width = array.shape[1];
  if (!run.spectrum_power || run.rank === null || run.rank >= width) return [];
  const margin = column(run, "margin");
  const last = run.snapshots - 1;
  const [x, y] = [margin[last], array[last * width + run.rank]];
  const start = Math.max(1, x * 1e-4);
  return x > 0 && y > 0 ? [{ xs: [start, x], ys: [y * (start / x) ** -run.spectrum_power, y] }] : [];
}
