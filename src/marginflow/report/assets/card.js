"use strict";
// A figure: heading, what it shows, panels, a table of the chosen run and the data of all runs as CSV.

// def: {id, title, lede(state), panels(state), across, columns, rows(run, problem), note(state), absent(state)}
//   columns: names of the table's columns, or a function of the problem; rows: one array per table row of one run.
function makeCard(def, host, actions) {
  const lede = h("p", { class: "lede" });
  const body = h("div", { class: def.draw ? "panels drawn" : "panels" });
  const note = h("p", { class: "note" });
  const table = h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Table: ${def.title}` });
  const details = h("details", {}, h("summary", {}, "Table of the chosen run"), table);
  const save = h("button", { type: "button", class: "csv" }, "CSV, all runs");
  save.setAttribute("aria-label", `Download CSV of all runs: ${def.title}`);
  const section = h(
    "section", { class: "card", id: `figure-${def.id}`, "aria-labelledby": `title-${def.id}` },
    h("h2", { id: `title-${def.id}` }, def.title), lede, body, note, h("div", { class: "foot" }, details, save),
  );
  host.append(section);
  let panels = [];
  let current = null;
  save.addEventListener("click", () => {
    const problem = DATA.problems[current.problem];
    const rows = runsOf(current.problem).flatMap((run) =>
      def.rows(run, problem).map((cells) => [run.label, run.word, run.seed, ...cells]));
    download(`${def.id}.csv`, ["run", "parameterisation", "seed", ...columnsOf(def, problem)], rows.map((r) => r.map(exact)));
  });
  details.addEventListener("toggle", () => fill());

  function fill() {
    if (!details.open || !current) return;
    const run = DATA.runs[current.run];
    const problem = DATA.problems[current.problem];
    const rows = def.rows(run, problem);
    table.replaceChildren(h(
      "table", {},
      h("caption", {}, `${run.label}${rows.length > 2000 ? " (first 2000 rows; the CSV has all)" : ""}`),
      h("thead", {}, h("tr", {}, columnsOf(def, problem).map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, rows.slice(0, 2000).map((cells) => h("tr", {}, cells.map((cell) =>
        h("td", {}, typeof cell === "string" ? cell : number(cell, 7)))))),
    ));
  }

  function draw(state) {
    current = state;
    const absent = def.absent ? def.absent(state) : "";
    section.hidden = absent === true;
    if (section.hidden) return;
    section.classList.toggle("wide", typeof def.wide === "function" ? def.wide(state) : Boolean(def.wide));
    lede.textContent = def.lede(state);
    note.textContent = absent || (def.note ? def.note(state) : "");
    note.hidden = !note.textContent;
    panels = [];
    if (def.draw) {
      panels = absent ? [] : [def.draw(body, state, actions)];
      if (absent) body.replaceChildren();
    } else {
      const specs = def.panels(state);
      while (body.children.length < specs.length) body.append(h("div", { class: "panel-host" }));
      while (body.children.length > specs.length) body.lastChild.remove();
      body.style.setProperty("--panels", Math.min(specs.length, def.across || specs.length));
      panels = specs.map((spec, k) => {
        const host = body.children[k];
        host.classList.toggle("focus", Boolean(spec.focus));
        return drawPanel(host, spec, { ...actions, zoom: () => draw(current) });
      });
    }
    fill();
    move(state);
  }

  function move(state) {
    current = state;
    for (const panel of panels) panel.move(state);
  }

  function reset() {
    for (const host of body.children) host.zoom = null;
  }
  return { draw, move, reset, section };
}

function columnsOf(def, problem) {
  return typeof def.columns === "function" ? def.columns(problem) : def.columns;
}

// float32 carries seven digits: write those and no invented ones.
function exact(value) {
  return typeof value === "number" && Number.isFinite(value) ? Number(value.toPrecision(8)) : value;
}

// One curve per run of the problem.
function runCurves(state, xName, yName, keep = () => true) {
  const curves = [];
  for (const run of runsOf(state.problem)) {
    const xs = column(run, xName);
    const ys = column(run, yName);
    if (!xs || !ys || !keep(run)) continue;
    curves.push({ run: run.index, word: run.word, name: WORDS[run.word].short, xs, ys, chosen: run.index === state.run });
  }
  return curves;
}

// The chosen run, and for every other parameterisation of the problem its first run.
function oneRunPerWord(state) {
  const chosen = DATA.runs[state.run];
  const out = [chosen];
  for (const run of runsOf(state.problem)) {
    if (!out.some((other) => other.word === run.word)) out.push(run);
  }
  return out.sort((a, b) => Object.keys(WORDS).indexOf(a.word) - Object.keys(WORDS).indexOf(b.word));
}

// Norms that have something to show: matrix norms always, diagonal norms where diagonal weights were trained.
function normsOf(state) {
  const names = new Set();
  for (const run of runsOf(state.problem)) for (const name of run.norms) names.add(name);
  return Object.keys(DATA.norms).filter((name) => names.has(name));
}

function negativeNote(state) {
  const hidden = runsOf(state.problem).filter((run) => !(run.final.margin > 0));
  if (!hidden.length) return "";
  const which = hidden.length === 1 ? hidden[0].label : `${hidden.length} runs`;
  return `Not drawn at snapshots with a margin at or below 0: ${which} end${hidden.length === 1 ? "s" : ""} there, so a ratio to the margin has no meaning.`;
}
