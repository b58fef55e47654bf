"use strict";
// Problems in the plane: tokens of a sample, the direction of W z along the path, and the SVM's ray.

const planeFigure = {
  id: "plane",
  title: "In the plane: tokens, W z and the SVM ray",
  columns: ["snapshot", "sample", "(W z)_1 / |W|_F", "(W z)_2 / |W|_F"],
  lede: (state) =>
    "Circles: the tokens of the chosen sample, those that keep a share at the least loss ringed; attention picks the token that reaches farthest along W z. " +
    `Curve: W z ⁄ ‖W‖ along the path, the dot is the chosen snapshot. Dashed: the ray of the ${DATA.norms[state.norm].label} SVM solution.`,
  absent: (state) => {
    if (DATA.problems[state.problem].plane === null) return true;
    return DATA.runs[state.run].plane ? "" : "The path of this run is not stored, to keep the file small; report it on its own to see it.";
  },
  draw: (body, state) => ({ move: (now) => drawPlane(body, now) }),
  rows: (run, problem) => {
    if (!run.plane) return [];
    return Array.from({ length: run.snapshots }, (_, k) => {
      const line = row(run.plane, k);
      return problem.samples.map((name, i) => [k, name, line[2 * i], line[2 * i + 1]]);
    }).flat();
  },
};

function drawPlane(body, state) {
  const problem = DATA.problems[state.problem];
  const run = DATA.runs[state.run];
  const size = Math.min(420, Math.max(260, body.clientWidth || 360));
  const tokens = row(problem.plane, state.sample);
  const path = Array.from({ length: run.snapshots }, (_, k) => Array.from(row(run.plane, k).subarray(2 * state.sample, 2 * state.sample + 2)));
  const svm = svmOf(state);
  const ray = svm && svm.ray ? row(svm.ray, state.sample) : null;
  const points = Array.from({ length: problem.lengths[state.sample] }, (_, l) => [tokens[2 * l], tokens[2 * l + 1]]);
  const reach = 1.12 * Math.max(...points.flat().map(Math.abs), ...path.flat().map(Math.abs), 1e-9);
  const x = makeScale("linear", [-reach, reach], [14, size - 14]);
  const y = makeScale("linear", [-reach, reach], [size - 14, 14]);
  const svg = s("svg", { class: "panel plane", viewBox: `0 0 ${size} ${size}`, width: size, height: size, role: "img",
    "aria-label": `Tokens of sample ${problem.samples[state.sample]} in the plane and the direction of W z for ${run.label}` });
  svg.append(s("line", { class: "grid", x1: 14, x2: size - 14, y1: y(0), y2: y(0) }));
  svg.append(s("line", { class: "grid", x1: x(0), x2: x(0), y1: 14, y2: size - 14 }));
  for (const tick of x.ticks(60)) {
    if (tick.v === 0) continue;
    svg.append(s("text", { class: "tick-text", x: x(tick.v), y: y(0) + 15, "text-anchor": "middle" }, tick.text));
    svg.append(s("text", { class: "tick-text", x: x(0) - 6, y: y(tick.v) + 4, "text-anchor": "end" }, tick.text));
  }
  svg.append(s("text", { class: "axis-title", x: size - 14, y: y(0) - 7, "text-anchor": "end" }, "x₁"));
  svg.append(s("text", { class: "axis-title", x: x(0) + 7, y: 22 }, "x₂"));
  const scale = ray ? reach / Math.max(Math.abs(ray[0]), Math.abs(ray[1]), 1e-300) : 1;
  if (ray) {
    svg.append(s("line", { class: "ray", x1: x(0), y1: y(0), x2: x(ray[0] * scale), y2: y(ray[1] * scale) }));
  }
  svg.append(s("path", { class: `curve front word-${run.word}`, d: path.map((p, k) => `${k ? "L" : "M"}${x(p[0]).toFixed(1)},${y(p[1]).toFixed(1)}`).join("") }));
  points.forEach((p, l) => {
    const optimal = keptTokens(problem, state.sample).includes(l);
    svg.append(s("circle", { class: optimal ? "token optimal" : "token", cx: x(p[0]), cy: y(p[1]), r: optimal ? 7 : 4.5 },
      s("title", {}, `${tokenText(problem, state.sample, l)}${optimal ? (problem.faces ? ", in the predicted face" : ", optimal") : ""}`)));
    svg.append(s("text", { class: "token-name", x: x(p[0]) + 9, y: y(p[1]) - 6 }, visible(wordOf(problem, state.sample, l)) || `${l}`));
  });
  if (ray) {
    svg.append(s("text", { class: "rule-label", x: x(0.8 * ray[0] * scale), y: y(0.8 * ray[1] * scale) - 9, "text-anchor": "middle" }, "SVM ray"));
  }
  const now = path[state.snapshot];
  svg.append(s("line", { class: `query word-${run.word}`, x1: x(0), y1: y(0), x2: x(now[0]), y2: y(now[1]) }));
  svg.append(s("circle", { class: `dot word-${run.word}`, cx: x(now[0]), cy: y(now[1]), r: 5 }));
  body.replaceChildren(svg);
}
