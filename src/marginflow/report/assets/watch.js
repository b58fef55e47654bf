"use strict";
// The page of records: curves over steps, a map of heads by records, spectra, all of one head and one record.

const page = { state: { record: 0, head: 0, at: 0, figure: 0 }, hosts: [], panels: [], pending: null };

function current() {
  return DATA.records[page.state.record];
}

function layerOf(record, head) {
  return record.layers.findIndex((layer) => layer.heads.includes(head));
}

// (R,) of one figure of one head; of several heads their mean.
function series(record, figure, heads) {
  const values = unpack(record.values[figure]);
  const count = record.names.length;
  return record.step.map((_, k) => {
    let total = 0;
    for (const head of heads) total += values[k * count + head];
    return total / heads.length;
  });
}

function curvesOf(record, figure) {
  const { head } = page.state;
  const own = layerOf(record, head);
  const curves = record.layers.flatMap((layer, k) => (k === own || record.layers.length > 40 ? [] : [{
    run: -1 - k, word: "other", xs: record.step, ys: series(record, figure, layer.heads), name: record.layers.length > 6 ? "" : layer.short,
    label: `${layer.name}, mean of ${layer.heads.length}`,
  }]));
  for (const other of record.layers[own].heads) {
    curves.push({
      run: other, word: "kq", xs: record.step, ys: series(record, figure, [other]), chosen: other === head,
      name: other === head ? record.names[other].slice(record.names[other].lastIndexOf(".") + 1) : "", label: record.names[other],
    });
  }
  return curves;
}

function specs(record) {
  const common = { xLabel: "step", x: "stretch", height: 220 };
  const loss = record.loss.map((value) => (value === null ? NaN : value));
  const positive = loss.every((value) => Number.isNaN(value) || value > 0);
  const found = [{
    ...common, title: "loss", y: positive ? "log" : "linear", describe: "The loss that was handed in with each record.",
    curves: [{ run: page.state.head, word: "kq", xs: record.step, ys: loss, chosen: true, name: "", label: "loss" }],
    empty: "No loss was handed in.",
  }];
  DATA.figures.forEach((figure, k) => {
    if (figure.panel) {
      found.push({
        ...common, title: figure.label, y: figure.log ? "log" : "linear", curves: curvesOf(record, k),
        ...markOf(record, k, figure.mark),
        describe: figure.says, empty: figure.probe ? "Logits were not seen." : "Nothing to draw here.",
      });
    }
  });
  found.push(spectrum(record));
  return found;
}

// The rule of a mark with room for its name; none far above every curve, which would be pressed flat.
function markOf(record, figure, mark) {
  const values = Array.from(unpack(record.values[figure])).filter((value) => Number.isFinite(value));
  const [low, high] = extent([values], "linear") || [0, 0];
  if (mark === null || high < 0.2 * mark) return {};
  return { rules: [{ y: mark, name: `mark ${mark}`, style: "elsewhere" }], domainY: [Math.min(low, 0.9 * mark), Math.max(high, 1.2 * mark)] };
}

// Sizes of the map: cells, and the names at its left.
function mapSizes(record) {
  const longest = Math.max(...record.layers.map((layer) => layer.short.length));
  return {
    size: record.names.length > 64 ? 8 : 16,
    wide: Math.max(12, Math.min(26, Math.floor(900 / record.step.length))),
    left: 20 + 7 * longest,
  };
}

function spectrum(record) {
  const { head, at } = page.state;
  const width = record.components[head];
  const all = unpack(record.singular);
  const per = record.singular.s[2];
  const values = (k) => Array.from({ length: width }, (_, j) => all[(k * record.names.length + head) * per + j]);
  const xs = Array.from({ length: width }, (_, j) => j + 1);
  return {
    title: `singular values of W at step ${record.step[at]}`, xLabel: "component", x: "linear", y: "log", height: 220,
    curves: [
      { run: -99, word: "other", xs, ys: values(0), name: "start", label: "at the first record" },
      { run: -98, word: "kq", xs, ys: values(at), chosen: true, name: "now", label: `at step ${record.step[at]}` },
    ],
    describe: "Of the chosen head at the chosen record, beside those at the first record.", still: true,
  };
}

function drawPanels() {
  const record = current();
  const host = find("panels");
  const list = specs(record);
  while (host.children.length < list.length) host.append(h("div", { class: "panel-host" }));
  page.panels = list.map((spec, k) => drawPanel(host.children[k], spec, {
    hover: (curve, at, event) => {
      tip(event, `${curve.label} · ${spec.xLabel} ${number(curve.xs[at], 6)} · ${spec.title} ${number(curve.ys[at], 5)}`);
      if (!spec.still) update({ at });
    },
    leave: hideTip,
    pick: (curve, at) => {
      if (spec.still) return;
      const layer = record.layers[-1 - curve.run];
      update({ at, head: curve.run >= 0 ? curve.run : layer.heads[0] });
    },
    set: () => {},
    zoom: () => drawPanels(),
  }));
  const own = record.layers[layerOf(record, page.state.head)];
  find("lede").textContent = `Thick: head ${record.names[page.state.head]}; thin: the other heads of its layer (${own.heads.length} in all); grey, dashed: means of other layers. Steps are linear near 0 and logarithmic further on.`;
  movePanels();
}

function movePanels() {
  for (const panel of page.panels) panel.move({ run: page.state.head, snapshot: page.state.at });
}

function drawMap() {
  const record = current();
  const { figure, head, at } = page.state;
  const values = unpack(record.values[figure]);
  const count = record.names.length;
  const finite = Array.from(values).filter((value) => Number.isFinite(value));
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const { size, wide, left } = mapSizes(record);
  const map = s("svg", { class: "heat", width: left + wide * record.step.length + 8, height: 24 + size * count + 4, role: "img" });
  map.setAttribute("aria-label", `${DATA.figures[figure].label} of ${count} heads at ${record.step.length} records; the table below has the numbers`);
  const every = Math.ceil(44 / wide);
  record.step.forEach((step, k) => {
    if (k % every === 0) map.append(s("text", { x: left + wide * (k + 0.5), y: 14, "text-anchor": "middle" }, String(step)));
  });
  record.layers.forEach((layer) => {
    const top = 24 + size * layer.heads[0];
    map.append(s("text", { x: left - 8, y: top + 11, "text-anchor": "end" }, layer.short));
    map.append(s("line", { class: "gap", x1: left - 4, x2: left - 4, y1: top + 1, y2: 24 + size * (layer.heads.at(-1) + 1) - 1 }));
  });
  for (let k = 0; k < record.step.length; k++) {
    for (let i = 0; i < count; i++) {
      const value = values[k * count + i];
      if (!Number.isFinite(value)) continue;
      const share = high > low ? (value - low) / (high - low) : 0.5;
      map.append(s("rect", {
        x: left + wide * k, y: 24 + size * i, width: wide - 1, height: size - 1, "data-k": k, "data-i": i,
        fill: `color-mix(in srgb, var(--heat) ${(6 + 94 * share).toFixed(1)}%, var(--card))`,
      }));
    }
  }
  map.append(s("rect", { class: "here", x: left + wide * at - 1, y: 23 + size * head, width: wide + 1, height: size + 1 }));
  map.addEventListener("click", (event) => {
    const { k, i } = event.target.dataset;
    if (k !== undefined) update({ at: Number(k), head: Number(i) });
  });
  map.addEventListener("mousemove", (event) => {
    const { k, i } = event.target.dataset;
    if (k === undefined) hideTip();
    else tip(event, `${record.names[i]}, step ${record.step[k]}: ${number(values[k * count + Number(i)], 4)}`);
  });
  map.addEventListener("mouseleave", hideTip);
  const frame = find("map-frame");
  frame.replaceChildren(map);
  frame.scrollLeft = left + wide * (at + 2) - frame.clientWidth;
  find("legend").textContent = finite.length
    ? `${DATA.figures[figure].label}, from ${number(low, 4)} to ${number(high, 4)}: the darker, the larger. Columns are records, rows are heads.`
    : "Logits were not seen: there is nothing to show of this figure.";
}

function moveMap() {
  const box = find("map-frame").querySelector(".here");
  const record = current();
  const { size, wide, left } = mapSizes(record);
  box.setAttribute("x", left + wide * page.state.at - 1);
  box.setAttribute("y", 23 + size * page.state.head);
}

function drawTable() {
  const record = current();
  const { head, at } = page.state;
  const columns = DATA.figures.map((figure, k) => series(record, k, [head]));
  const rows = record.step.map((step, k) => h("tr", { class: k === at ? "chosen" : null },
    h("th", { scope: "row" }, String(step)), h("td", {}, number(record.loss[k], 5)), ...columns.map((column) => h("td", {}, number(column[k], 4)))));
  const top = ["step", "loss", ...DATA.figures.map((figure) => figure.label)].map((name) => h("th", { scope: "col" }, name));
  find("table").replaceChildren(h("table", {}, h("caption", {}, `Head ${record.names[head]}`), h("thead", {}, h("tr", {}, ...top)), h("tbody", {}, ...rows)));
}

function update(patch) {
  const before = page.state;
  const now = { ...before, ...patch };
  if (Object.keys(now).every((key) => now[key] === before[key])) return;
  page.state = now;
  page.whole = page.whole || now.record !== before.record || now.head !== before.head;
  if (page.pending) cancelAnimationFrame(page.pending);
  page.pending = requestAnimationFrame(() => {
    page.pending = null;
    const whole = page.whole;
    page.whole = false;
    if (whole || now.figure !== before.figure) draw();
    else follow();
  });
}

function follow() {
  showControls();
  movePanels();
  const host = find("panels");
  drawPanel(host.children[host.children.length - 1], spectrum(current()), { hover() {}, leave() {}, pick() {}, set() {}, zoom() {} });
  moveMap();
  drawTable();
}

function draw() {
  showControls();
  drawPanels();
  drawMap();
  drawTable();
  tellScrolls();
}

function showControls() {
  const record = current();
  const { head, at, figure } = page.state;
  const layer = layerOf(record, head);
  if (find("layer").dataset.record !== String(page.state.record)) {
    find("layer").dataset.record = page.state.record;
    options(find("layer"), record.layers.map((one) => one.name));
    find("head").dataset.layer = "";
  }
  if (find("head").dataset.layer !== String(layer)) {
    find("head").dataset.layer = layer;
    find("head").replaceChildren(...record.layers[layer].heads.map((i) => h("option", { value: String(i) }, record.names[i].slice(record.names[i].lastIndexOf(".") + 1))));
  }
  find("record").value = String(page.state.record);
  find("layer").value = String(layer);
  find("head").value = String(head);
  find("figure").value = String(figure);
  tellBar();
  find("step").max = record.step.length - 1;
  find("step").value = at;
  const text = `step ${record.step[at]}, loss ${number(record.loss[at], 4)}`;
  find("step").setAttribute("aria-valuetext", `record ${at + 1} of ${record.step.length}: ${text}`);
  find("now").textContent = `${at + 1}/${record.step.length} · ${text}`;
}

function start() {
  wireTheme(draw);
  options(find("record"), DATA.records.map((record) => record.source));
  find("record-field").hidden = DATA.records.length < 2;
  options(find("figure"), DATA.figures.map((figure) => figure.label));
  find("record").addEventListener("change", (event) => update({ record: Number(event.target.value), head: 0, at: DATA.records[event.target.value].step.length - 1 }));
  find("layer").addEventListener("change", (event) => update({ head: current().layers[event.target.value].heads[0] }));
  find("head").addEventListener("change", (event) => update({ head: Number(event.target.value) }));
  find("figure").addEventListener("change", (event) => update({ figure: Number(event.target.value) }));
  find("step").addEventListener("input", (event) => update({ at: Number(event.target.value) }));
  find("csv").addEventListener("click", () => {
    const record = current();
    const rows = record.step.flatMap((step, k) => record.names.map((name, i) =>
      [step, record.loss[k], name, ...DATA.figures.map((_, j) => Number(unpack(record.values[j])[k * record.names.length + i].toPrecision(8)))]));
    download("record.csv", ["step", "loss", "head", ...DATA.figures.map((figure) => figure.label)], rows);
  });
  page.state.at = current().step.length - 1;
  page.state.figure = DATA.figures.findIndex((figure) => figure.label === "effective rank");
  draw();
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== width) draw();
    width = innerWidth;
  });
  wireBar();
  wireScrolls();
  document.documentElement.dataset.ready = "yes";
}

start();
