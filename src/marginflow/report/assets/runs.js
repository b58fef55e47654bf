"use strict";
// The runs and problems of the page.

const WORDS = DATA.words;

function column(run, name) {
  return run.columns[name] ? unpack(run.columns[name]) : null;
}

// Steps have iterations where a flow has log t.
function clockOf(run) {
  return run.steps ? { name: "iteration", label: "steps", kind: "log" } : { name: "log10_time", label: "log₁₀ t", kind: "stretch" };
}

function whenText(run, snapshot) {
  const { name } = clockOf(run);
  const value = column(run, name)[snapshot];
  return run.steps ? `step ${value}` : `log₁₀ t ${number(value, 4)}`;
}

// The runs of one problem, in the order given on the command line.
function runsOf(problem) {
  return DATA.runs.filter((run) => run.problem === problem);
}

// Margins (s_optimal - s_token; of faces, of their reference token) per token drawn at the stored snapshot nearest to `snapshot`.
function detailAt(run, snapshot) {
  if (!run.detail) return null;
  const stored = run.detail.snapshots;
  let best = 0;
  stored.forEach((s, k) => {
    if (Math.abs(s - snapshot) < Math.abs(stored[best] - snapshot)) best = k;
  });
  return { snapshot: stored[best], margins: row(run.detail.margins, best), dual: row(run.detail.dual, best) };
}

// Attention of one sample: softmax over its tokens, from margins against the optimal one, or the
// reference of its face. A token without a margin equals the optimal one in every feature, so its margin is 0; a token that does
// not exist (mask) has none.
function attention(problem, sample, margins) {
  const length = problem.lengths[sample];
  const exists = row(problem.mask, sample);
  const gaps = new Float64Array(length).map((_, l) => (exists[l] ? 0 : Infinity));
  const { samples, tokens } = constraintsOf(problem);
  for (let c = problem.starts[sample]; c < problem.starts[sample + 1]; c++) {
    if (samples[c] === sample) gaps[tokens[c]] = margins[c];
  }
  let least = Infinity;
  for (const gap of gaps) least = Math.min(least, gap);
  let total = 0;
  const p = gaps.map((gap) => Math.exp(least - gap));
  for (const value of p) total += value;
  return { p: p.map((value) => value / total), gaps };
}

// The tokens of a sample that keep a share at the least loss: its optimal token, or its face.
function keptTokens(problem, i) {
  if (!problem.faces) return [problem.optimal[i]];
  return Array.from(row(problem.members, i)).flatMap((member, l) => (member ? [l] : []));
}

// The largest distance of the attention of a sample from its predicted shares.
function sharesOff(problem, i, p) {
  const shares = row(problem.scores, i);
  return p.reduce((most, value, l) => Math.max(most, Math.abs(value - shares[l])), 0);
}

// What the data call a token or a sample; "" where they do not.
function wordOf(problem, i, l) {
  return problem.words ? problem.words[i][l] : "";
}

function calledOf(problem, i) {
  return problem.called ? problem.called[i] : "";
}

// White space that a tokeniser put into a word, made visible.
function visible(word) {
  return word.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replace(/^\s+|\s+$/g, (blank) => "␣".repeat(blank.length));
}

function tokenText(problem, i, l) {
  const word = wordOf(problem, i, l);
  return word ? `token ${l} “${visible(word)}”` : `token ${l}`;
}

function sampleText(problem, i) {
  const called = calledOf(problem, i);
  return called ? `${problem.samples[i]}: ${visible(called)}` : String(problem.samples[i]);
}

// Cells that name a sample or a token, and the heads of their columns: numbers, then names where the data have them.
function sampleCells(problem, i) {
  return problem.called ? [problem.samples[i], problem.called[i]] : [problem.samples[i]];
}

function tokenCells(problem, i, l) {
  return problem.words ? [l, wordOf(problem, i, l)] : [l];
}

function placeHeads(problem) {
  return ["sample", ...(problem.called ? ["sample name"] : []), "token", ...(problem.words ? ["word"] : [])];
}

function constraintsOf(problem) {
  return { samples: unpack(problem.sample), tokens: unpack(problem.token) };
}
