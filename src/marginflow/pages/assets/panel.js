"use strict";
// One set of axes in SVG: curves, rules, guides, a cursor that follows the chosen snapshot, hover and zoom.

const EDGE = { left: 52, right: 62, top: 26, bottom: 38 };

// spec: {title, xLabel, yName, x: kind, y: kind, curves, rules, guides, height, describe, empty}
//   curves: [{run, word, name, xs, ys, style}]  one value per snapshot
//   rules:  [{y, y2, name, style}]              horizontal lines (or bands) with a name
//   guides: [{xs, ys, name}]                    predictions, drawn thin and grey
//   bands:  [{xs, low, high, word}]             what lies between two curves, tinted
//   rounding: the value below which differences are rounding: greyed
//   marks:  [{x, name}]                         vertical lines with a name
//   norm: the norm that a click on the title chooses
// on: {hover(run, snapshot), pick(run, snapshot), set(patch)}
//   right: pixels for names beside the axes, where rules have names
function drawPanel(host, spec, on) {
  const PAD = { ...EDGE, right: spec.right || EDGE.right };
  const width = Math.max(260, host.clientWidth || 360);
  const height = spec.height || 230;
  const visible = spec.curves.map((curve) => visiblePoints(curve, spec)).filter((curve) => curve.points.length);
  const svg = s("svg", {
    class: "panel", viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
    "aria-label": `${spec.title}. ${spec.describe || ""}`,
  });
  const title = s("text", { class: spec.norm ? "panel-title pick" : "panel-title", x: 2, y: 14 }, spec.title);
  if (spec.norm) {
    // The pointer must not also choose the nearest curve, as it does anywhere else in the panel.
    for (const kind of ["pointerdown", "pointerup"]) title.addEventListener(kind, (event) => event.stopPropagation());
    title.addEventListener("click", () => on.set({ norm: spec.norm }));
  }
  svg.append(title);
  host.replaceChildren(svg);
  const view = host.zoom || {};
  const rules = spec.rules || [];
  const domainX = view.x || extent(visible.map((c) => c.points.map((p) => p.x)), spec.x, 0.02);
  const ys = visible.map((c) => c.points.map((p) => p.y));
  const bands = spec.bands || [];
  const domainY = view.y || spec.domainY || extent([...ys, rules.map((r) => r.y), ...bands.flatMap((b) => [b.low, b.high])], spec.y, 0.06);
  if (!domainX || !domainY) {
    svg.append(s("text", { class: "muted", x: PAD.left, y: height / 2 }, spec.empty || "Nothing to draw here."));
    return { move() {} };
  }
  const x = makeScale(spec.x, domainX, [PAD.left, width - PAD.right]);
  const y = makeScale(spec.y, domainY, [height - PAD.bottom, PAD.top]);
  drawAxes(svg, x, y, spec, width, height, PAD);
  const clip = `clip-${(drawPanel.count = (drawPanel.count || 0) + 1)}`;
  svg.append(s("clipPath", { id: clip }, s("rect", {
    x: PAD.left, y: PAD.top - 3, width: width - PAD.left - PAD.right, height: height - PAD.top - PAD.bottom + 6,
  })));
  const plot = s("g", { "clip-path": `url(#${clip})` });
  svg.append(plot);
  const labels = [];
  for (const guide of spec.guides || []) {
    plot.append(s("path", { class: "guide", d: pathOf(zip(guide.xs, guide.ys, x, y), x, y) }));
  }
  if (spec.rounding) greyRounding(plot, spec.rounding, x, y);
  for (const band of bands) drawBand(plot, band, x, y);
  for (const rule of rules) drawRule(plot, rule, x, y);
  (spec.marks || []).forEach((mark, k) => drawMark(plot, mark, k, x, y));
  drawCurves(plot, labels, visible, x, y);
  for (const rule of rules) spec.right ? nameBeside(labels, rule, y) : nameInside(plot, rule, x, y);
  nameGuides(plot, spec.guides || [], x, y);
  drawLabels(svg, labels, width - PAD.right, height - PAD.bottom);
  const cursor = s("g", { class: "cursor" });
  svg.append(cursor);
  listen(svg, host, visible, x, y, spec, on);
  return {
    move(state) {
      cursor.replaceChildren();
      for (const curve of visible) {
        if (curve.run !== state.run) continue;
        const point = curve.points.find((p) => p.snapshot === state.snapshot);
        if (!point || !inside(point, x, y)) continue;
        if (!cursor.firstChild) {
          const px = x(point.x);
          cursor.append(s("line", { class: "cursor-line", x1: px, x2: px, y1: PAD.top, y2: height - PAD.bottom }));
        }
        cursor.append(s("circle", { class: `dot word-${curve.word}`, cx: x(point.x), cy: y(point.y), r: spec.dot || 4 }));
      }
    },
  };
}

function visiblePoints(curve, spec) {
  const points = [];
  for (let k = 0; k < curve.xs.length; k++) {
    const [px, py] = [curve.xs[k], curve.ys[k]];
    const fine = Number.isFinite(px) && Number.isFinite(py) && (spec.x !== "log" || px > 0) && (spec.y !== "log" || py > (spec.floor || 0));
    if (fine) points.push({ x: px, y: py, snapshot: k });
  }
  return { ...curve, points, xName: spec.xLabel, yName: spec.yName || spec.title };
}

function zip(xs, ys, x, y) {
  const points = [];
  xs.forEach((v, k) => x.defined(v) && y.defined(ys[k]) && points.push({ x: v, y: ys[k] }));
  return points;
}

function pathOf(points, x, y) {
  return points.map((p, k) => `${k ? "L" : "M"}${x(p.x).toFixed(1)},${y(p.y).toFixed(1)}`).join("");
}

function inside(point, x, y) {
  const within = (value, [a, b]) => value >= Math.min(a, b) - 3 && value <= Math.max(a, b) + 3;
  return within(x(point.x), x.range) && within(y(point.y), y.range);
}

function drawAxes(svg, x, y, spec, width, height, PAD) {
  const axes = s("g", { class: "axes" });
  for (const tick of y.ticks(26)) {
    const py = y(tick.v);
    axes.append(s("line", { class: "grid", x1: PAD.left, x2: width - PAD.right, y1: py, y2: py }));
    axes.append(s("text", { x: PAD.left - 6, y: py + 4, "text-anchor": "end" }, tick.text));
  }
  for (const tick of x.ticks(46)) {
    const px = x(tick.v);
    axes.append(s("line", { class: "tick", x1: px, x2: px, y1: height - PAD.bottom, y2: height - PAD.bottom + 4 }));
    axes.append(s("text", { x: px, y: height - PAD.bottom + 17, "text-anchor": "middle" }, tick.text));
  }
  axes.append(s("line", { class: "base", x1: PAD.left, x2: width - PAD.right, y1: height - PAD.bottom, y2: height - PAD.bottom }));
  axes.append(s("text", { class: "axis-title", x: width - PAD.right, y: height - 5, "text-anchor": "end" }, spec.xLabel));
  svg.append(axes);
}

function greyRounding(plot, below, x, y) {
  const [bottom, top] = y.range;
  const edge = Math.max(y(below), top);
  if (edge >= bottom - 2) return;
  plot.append(s("rect", { class: "rounding", x: x.range[0], y: edge, width: x.range[1] - x.range[0], height: bottom - edge }));
  if (bottom - edge > 14) plot.append(s("text", { class: "guide-label", x: x.range[0] + 6, y: edge + 13 }, "rounding"));
}

function drawBand(plot, band, x, y) {
  const ends = [...zip(band.xs, band.low, x, y), ...zip(band.xs, band.high, x, y).reverse()];
  if (ends.length > 2) plot.append(s("path", { class: `between word-${band.word}`, d: `${pathOf(ends, x, y)}Z` }));
}

function drawRule(plot, rule, x, y) {
  const py = y(rule.y);
  if (!y.defined(rule.y)) return;
  if (rule.y2 !== undefined && Math.abs(y(rule.y2) - py) > 1.5) {
    const top = Math.min(py, y(rule.y2));
    plot.append(s("rect", { class: "band", x: x.range[0], y: top, width: x.range[1] - x.range[0], height: Math.abs(y(rule.y2) - py) }));
  }
  plot.append(s("line", { class: `rule ${rule.style || ""}`, x1: x.range[0], x2: x.range[1], y1: py, y2: py }));
}

function drawMark(plot, mark, k, x, y) {
  const px = x(mark.x);
  if (px < x.range[0] || px > x.range[1]) return;
  const [bottom, top] = y.range;
  plot.append(s("line", { class: "rule elsewhere", x1: px, x2: px, y1: top, y2: bottom }));
  const left = px > (x.range[0] + x.range[1]) / 2;
  plot.append(s("text", { class: "rule-label", x: px + (left ? -5 : 5), y: bottom - 6 - 14 * k, "text-anchor": left ? "end" : "start" }, mark.name));
}

// Beside the axes, where it covers no curve.
function nameBeside(labels, rule, y) {
  if (!rule.name || !y.defined(rule.y)) return;
  const at = y(rule.y);
  if (at >= Math.min(...y.range) - 3 && at <= Math.max(...y.range) + 3) labels.push({ y: at, text: rule.name, cls: "rule-label" });
}

// A sentence has no room there: at the left, where curves are still far above, and below the line where none is above it.
function nameInside(plot, rule, x, y) {
  if (!rule.name || !y.defined(rule.y)) return;
  const at = y(rule.y) - 5 < y.range[1] + 10 ? y(rule.y) + 13 : y(rule.y) - 5;
  plot.append(s("text", { class: "rule-label", x: x.range[0] + 6, y: at }, rule.name));
}

// One word for all of them, beside the middle of the first that can be seen: right above or left below, since all fall.
function nameGuides(plot, guides, x, y) {
  for (const guide of guides) {
    const points = zip(guide.xs, guide.ys, x, y).map((p) => [x(p.x), y(p.y)]).filter(([px]) => px >= x.range[0] && px <= x.range[1]);
    if (points.length < 2) continue;
    const middle = (x.range[0] + x.range[1]) / 2;
    const [a, b] = [points[0], points.at(-1)];
    const at = points.length === 2 ? [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]
      : points.reduce((best, p) => (Math.abs(p[0] - middle) < Math.abs(best[0] - middle) ? p : best));
    const room = x.range[1] - at[0] > 70;
    const [dx, dy, anchor] = room ? [9, -9, "start"] : [-7, 15, "end"];
    plot.append(s("text", { class: "guide-label", x: at[0] + dx, y: Math.min(at[1] + dy, y.range[0] - 4), "text-anchor": anchor }, guide.name || "predicted"));
    return;
  }
}

// Runs that are not chosen become one faint path per kind: a hundred seeds stay a cloud, not a tangle.
function drawCurves(plot, labels, curves, x, y) {
  const clouds = {};
  const front = curves.filter((curve) => curve.chosen);
  for (const curve of curves) {
    if (!curve.chosen) clouds[curve.word] = (clouds[curve.word] || "") + pathOf(curve.points, x, y);
  }
  const few = curves.length <= 12;
  for (const [word, d] of Object.entries(clouds)) {
    plot.append(s("path", { class: `curve word-${word} ${few ? "few" : "cloud"}`, d }));
  }
  for (const curve of front) {
    plot.append(s("path", { class: `curve front word-${curve.word} ${curve.style || ""}`, d: pathOf(curve.points, x, y) }));
  }
  const named = new Set();
  for (const curve of [...front, ...curves]) {
    if (!curve.name || named.has(curve.name)) continue;
    const ends = curve.points.filter((p) => inside(p, x, y));
    if (!ends.length) continue;
    named.add(curve.name);
    labels.push({ y: y(ends.at(-1).y), text: curve.name, cls: `curve-label word-${curve.word} ${curve.style || ""}` });
  }
}

// Names at the right end of what they name, pushed apart where they would overlap.
function drawLabels(svg, labels, left, bottom) {
  labels.sort((a, b) => a.y - b.y);
  let last = EDGE.top - 14;
  for (const label of labels) {
    label.at = Math.max(label.y + 4, last + 13);
    last = label.at;
  }
  // Not below the axis either, where the numbers are.
  let floor = bottom + 4;
  for (const label of [...labels].reverse()) {
    label.at = Math.min(label.at, floor);
    floor = label.at - 13;
  }
  for (const label of labels) {
    svg.append(s("text", { class: label.cls, x: left + 5, y: label.at }, label.text));
  }
}

function listen(svg, host, curves, x, y, spec, on) {
  if (!curves.length) return;
  const place = (event) => {
    const box = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  };
  const nearest = (px, py) => {
    let best = null;
    let least = Infinity;
    for (const curve of curves) {
      for (const p of curve.points) {
        const distance = (x(p.x) - px) ** 2 + (0.6 * (y(p.y) - py)) ** 2 - (curve.chosen ? 60 : 0);
        if (distance < least) [best, least] = [{ curve, point: p }, distance];
      }
    }
    return best;
  };
  let start = null;
  let box = null;
  svg.addEventListener("pointermove", (event) => {
    const [px, py] = place(event);
    if (start && event.pointerType === "mouse") {
      box = box || svg.appendChild(s("rect", { class: "zoom" }));
      const [ax, ay] = start;
      box.setAttribute("x", Math.min(ax, px));
      box.setAttribute("y", Math.min(ay, py));
      box.setAttribute("width", Math.abs(px - ax));
      box.setAttribute("height", Math.abs(py - ay));
      return;
    }
    const found = nearest(px, py);
    if (found) on.hover(found.curve, found.point.snapshot, event);
  });
  svg.addEventListener("pointerleave", () => on.leave());
  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    // Not the dblclick event: the first click may choose another run, which draws a new svg under the pointer.
    const twice = event.timeStamp - (host.pressed || -1e9) < 400;
    host.pressed = event.timeStamp;
    if (twice && host.zoom) {
      host.zoom = null;
      on.zoom();
    } else start = place(event);
  });
  svg.addEventListener("pointerup", (event) => {
    const from = start;
    start = null;
    if (!from) return;
    const to = place(event);
    if (event.pointerType === "mouse" && Math.abs(to[0] - from[0]) > 12 && Math.abs(to[1] - from[1]) > 12) {
      host.zoom = { x: invert(x, from[0], to[0]), y: invert(y, from[1], to[1]) };
      on.zoom();
      return;
    }
    if (box) box.remove();
    box = null;
    const found = nearest(...to);
    if (found) on.pick(found.curve, found.point.snapshot);
  });
}

function invert(scale, a, b) {
  const back = { linear: (u) => u, log: (u) => 10 ** u, stretch: Math.sinh }[scale.kind];
  const [lo, hi] = scale.bounds;
  const at = (p) => lo + ((p - scale.range[0]) / (scale.range[1] - scale.range[0])) * (hi - lo);
  return [back(Math.min(at(a), at(b))), back(Math.max(at(a), at(b)))];
}
