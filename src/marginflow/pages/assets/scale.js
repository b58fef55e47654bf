"use strict";
// Axes: value -> pixel, and where to put ticks.

// kind: "linear", "log", or "stretch" (asinh: linear near 0, logarithmic far from it, any sign).
function makeScale(kind, domain, range) {
  const forward = { linear: (v) => v, log: Math.log10, stretch: Math.asinh }[kind];
  let [lo, hi] = domain.map(forward);
  if (!(hi > lo)) {
    lo -= 0.5;
    hi = lo + 1;
  }
  // Far outside the panel one pixel is as good as another, and SVG refuses numbers such as 1e+35.
  const clamp = (p) => Math.max(-20000, Math.min(20000, p));
  const map = (v) => clamp(range[0] + ((forward(v) - lo) / (hi - lo)) * (range[1] - range[0]));
  map.kind = kind;
  map.defined = (v) => Number.isFinite(v) && (kind !== "log" || v > 0);
  map.bounds = [lo, hi];
  map.range = range;
  map.ticks = (spacing) => thin(candidates(kind, lo, hi, Math.abs(range[1] - range[0]) / spacing), map, spacing);
  return map;
}

function candidates(kind, lo, hi, count) {
  if (kind === "linear") return linearTicks(lo, hi, count);
  if (kind === "log") return logTicks(lo, hi, count);
  const ticks = [{ v: 0, text: "0" }];
  // One notation on an axis: powers from 100 up where it reaches 1000.
  const far = Math.max(Math.abs(lo), Math.abs(hi)) >= Math.asinh(1000);
  for (let k = 0; k < 300; k++) {
    const v = 10 ** k;
    const text = k < (far ? 2 : 4) ? String(v) : `10${superscript(k)}`;
    if (Math.asinh(v) <= hi) ticks.push({ v, text });
    if (-Math.asinh(v) >= lo) ticks.unshift({ v: -v, text: `−${text}` });
  }
  return ticks.filter(({ v }) => Math.asinh(v) >= lo && Math.asinh(v) <= hi);
}

function linearTicks(lo, hi, count) {
  const raw = (hi - lo) / Math.max(2, count);
  const base = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((f) => f * base).find((value) => value >= raw);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const ticks = [];
  const most = Math.max(Math.abs(lo), Math.abs(hi));
  const large = most >= 1e5 || most < 1e-3;
  for (let k = Math.ceil(lo / step - 1e-9); k * step <= hi + 1e-9 * step && ticks.length < 50; k++) {
    const v = k * step;
    ticks.push({ v, text: large ? number(v, 3) : v.toFixed(digits).replace("-", "−") });
  }
  return ticks;
}

function logTicks(lo, hi, count) {
  if (hi - lo < 1) {
    return linearTicks(10 ** lo, 10 ** hi, Math.min(count, 4)).filter(({ v }) => v > 0);
  }
  if (hi - lo < 2) return partTicks(lo, hi);
  const step = Math.max(1, Math.ceil((hi - lo) / Math.max(2, count)));
  const ticks = [];
  for (let k = Math.ceil(lo - 1e-9); k <= hi + 1e-9; k++) {
    if (k % step === 0) ticks.push({ v: 10 ** k, text: k === 0 ? "1" : k === 1 ? "10" : `10${superscript(k)}` });
  }
  return ticks;
}

// Over less than two decades the powers of ten are too few: 1, 2 and 5 times each, in one notation.
function partTicks(lo, hi) {
  const plain = lo > -3.1 && hi < 3.1;
  const ticks = [];
  for (let k = Math.floor(lo); k <= hi; k++) {
    for (const f of [1, 2, 5]) {
      const v = f * 10 ** k;
      const power = `${f === 1 ? "" : `${f}×`}10${superscript(k)}`;
      const inside = Math.log10(v) >= lo - 1e-9 && Math.log10(v) <= hi + 1e-9;
      if (inside) ticks.push({ v, text: plain ? String(Number(v.toPrecision(1))) : power, first: f === 1 });
    }
  }
  return ticks;
}

// Drop ticks that would overlap their neighbour, keeping zero, whole decades and the far end first.
function thin(ticks, map, spacing) {
  const kept = [];
  const order = [...ticks].sort((a, b) => (a.v === 0 ? -1 : b.v === 0 ? 1 : Boolean(b.first) - Boolean(a.first) || Math.abs(b.v) - Math.abs(a.v)));
  for (const tick of order) {
    if (kept.every((other) => Math.abs(map(other.v) - map(tick.v)) >= spacing)) kept.push(tick);
  }
  return kept.sort((a, b) => a.v - b.v);
}

// Smallest and largest defined value of many arrays, with a margin for the eye.
function extent(arrays, kind, pad = 0.04) {
  let lo = Infinity;
  let hi = -Infinity;
  for (const array of arrays) {
    for (const v of array) {
      if (!Number.isFinite(v) || (kind === "log" && v <= 0)) continue;
      if (v < lo) lo = v;
      if (v > hi) hi = v;
    }
  }
  if (!(lo <= hi)) return null;
  if (kind === "log") {
    const room = Math.max(pad * (Math.log10(hi) - Math.log10(lo)), 0.02);
    return [10 ** (Math.log10(lo) - room), 10 ** (Math.log10(hi) + room)];
  }
  if (kind === "stretch") {
    const room = pad * (Math.asinh(hi) - Math.asinh(lo));
    return [Math.sinh(Math.asinh(lo) - room), Math.sinh(Math.asinh(hi) + room)];
  }
  const room = hi > lo ? pad * (hi - lo) : Math.max(Math.abs(hi) * 0.05, 0.01);
  return [lo - room, hi + room];
}
