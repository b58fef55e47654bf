"use strict";
// Several heads: each head's norm over its own least margin, beside its own certified line.

const headsFigure = {
  id: "heads",
  title: "Each head beside its own SVM",
  wide: true,
  across: 3,
  columns: (problem) => ["snapshot", ...(problem.heads || []).flatMap((_, h) => [`head ${h}: least margin`, `head ${h}: norm/margin`])],
  absent: (state) => !DATA.problems[state.problem].heads,
  lede: (state) => {
    const { own_selection: own, whose } = DATA.runs[state.run].final;
    return `The ${DATA.norms[state.norm].label} norm of a head’s own W over its own least ${own ? `lead (of ${whose}, the chosen run)` : "margin"}; solid: the ` +
      "certified least norm for that head alone. Heads share nothing but the loss: late each goes to its own SVM.";
  },
  panels: (state) => DATA.problems[state.problem].heads.map((least, h) => headPanel(state, least, h)),
  note: (state) => DATA.problems[state.problem].more_heads,
  rows: (run, problem) => {
    const columns = (problem.heads || []).flatMap((_, h) => [column(run, `head${h}_margin`), column(run, `head${h}_${run.norm}`)]);
    return Array.from({ length: run.snapshots }, (_, k) => [k, ...columns.map((values) => (values ? values[k] : NaN))]);
  },
};

// Of a run on tokens of its own, that run alone: its margins are leads over worse tokens, its line that of its tokens.
function headPanel(state, least, h) {
  const chosen = DATA.runs[state.run];
  const own = chosen.final.own_selection;
  const curves = runsOf(state.problem)
    .filter((run) => (own ? run === chosen : !run.final.own_selection) && column(run, `head${h}_${state.norm}`))
    .map((run) => ({
      run: run.index, word: run.word, name: WORDS[run.word].short, xs: column(run, `head${h}_margin`), ys: column(run, `head${h}_${state.norm}`),
      chosen: run === chosen,
    }));
  const line = own ? (state.norm === chosen.norm ? chosen.final.own_heads[h] : null) : least[state.norm];
  const rules = line ? [{ y: line.value, name: line.name, style: "svm" }] : [];
  const lead = own ? "lead" : "margin";
  return {
    title: `head ${h}: ${DATA.norms[state.norm].label} norm ⁄ ${lead}`, xLabel: `least ${lead} of head ${h}`, x: "log", y: "linear", curves, rules,
    right: 88, domainY: endDomain(curves, rules), height: 230,
    describe: line ? `Certified SVM value of this head in ${line.bounds}.` : "No certified SVM value of this head.",
    empty: "This head never has positive margins.",
  };
}
