"use strict";
// The page of a study: one chosen cell, its curves among those of its problem, its seeds and their commands.

const ENDS = { f: "failed", t: "trapped", u: "undecided", m: "minimal loss" };
const page = { state: { problem: 0, cell: 0 } };

function shown() {
  return DATA.problems[page.state.problem];
}

// Medians of all cells; of the chosen one the band of 10 to 90 % and the predicted power too.
function specOf(panel) {
  const { cells } = shown();
  const curves = panel.curves.map((curve) => {
    const cell = cells[curve.cell];
    return {
      run: curve.cell, word: cell.word, name: cell.brief, xs: curve.margin, ys: curve.median,
      chosen: curve.cell === page.state.cell, label: cell.words, runs: curve.runs,
    };
  });
  const chosen = panel.curves.find((curve) => curve.cell === page.state.cell);
  return {
    title: panel.title, xLabel: "margin", x: "log", y: "log", height: 260, right: 112, curves,
    bands: chosen ? [{ xs: chosen.margin, low: chosen.low, high: chosen.high, word: cells[chosen.cell].word }] : [],
    guides: guideOf(panel, chosen),
    describe: "Medians over the runs that reached each mark.",
  };
}

// The predicted power through the last mark of the chosen cell; for the gap of optimisers the slope -1.
function guideOf(panel, chosen) {
  const power = panel.slope ? 1 : chosen && chosen.power;
  const curve = chosen || panel.curves[0];
  if (!power) return [];
  const [x, y] = [curve.margin.at(-1), curve.median.at(-1)];
  const start = Math.max(curve.margin[0], x / 10);
  return [{ xs: [start, x], ys: [y * (x / start) ** power, y], name: panel.slope ? "slope −1" : "predicted" }];
}

function drawPanels() {
  const host = find("panels");
  const { panels, cells } = shown();
  host.replaceChildren(...panels.map(() => h("div", { class: "panel-host" })));
  panels.forEach((panel, k) => {
    const spec = specOf(panel);
    drawPanel(host.children[k], spec, {
      hover: (curve, at, event) => tip(event, `${curve.label} · margin ${number(curve.xs[at], 4)} · ${panel.title} ${number(curve.ys[at], 4)}, median of ${curve.runs[at]}`),
      leave: hideTip,
      pick: (curve) => choose(page.state.problem, curve.run),
      set: () => {},
      zoom: drawPanels,
    });
  });
  find("none").hidden = panels.length > 0;
  const optimisers = cells.some((cell) => cell.steps);
  find("lede").textContent = `${shown().title}. Lines are medians, thick and with its 10–90 % band the chosen cell; ` +
    (optimisers ? "marks of an optimiser are drawn at the margin of its median run." : "beside them model, width and scale; grey: the predicted power of the chosen cell, through its last mark.");
}

function drawSeeds() {
  const cell = shown().cells[page.state.cell];
  find("chosen").textContent = `${shown().title}: ${cell.words}`;
  find("lists").replaceChildren(...Object.entries(ENDS).flatMap(([letter, words]) => {
    const seeds = cell.seeds.filter((seed, k) => cell.ends[k] === letter);
    if (!seeds.length) return [];
    return [h("p", { class: "seeds" }, h("b", {}, `${words} (${seeds.length}): `),
      ...seeds.map((seed) => h("button", { type: "button", onclick: () => give(cell, seed) }, String(seed))))];
  }));
  find("command").textContent = commandOf(cell, cell.seeds[0]);
}

function commandOf(cell, seed) {
  return cell.command.replaceAll("{seed}", seed);
}

function give(cell, seed) {
  const output = find("command");
  output.textContent = commandOf(cell, seed);
  const range = document.createRange();
  range.selectNodeContents(output);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  if (navigator.clipboard) navigator.clipboard.writeText(output.textContent).catch(() => {});
}

function choose(problem, cell) {
  page.state = { problem, cell };
  find("problem").value = String(problem);
  options(find("cell"), shown().cells.map((one) => one.words));
  find("cell").value = String(cell);
  const place = shown().cells[cell].place;
  for (const field of document.querySelectorAll("button[data-cell]")) {
    field.setAttribute("aria-pressed", String(Number(field.dataset.cell) === place));
  }
  drawPanels();
  drawSeeds();
  tellBar();
  tellScrolls();
}

function start() {
  wireTheme();
  wireBar();
  wireScrolls();
  document.documentElement.dataset.ready = "yes";
  if (!DATA.problems.length) {
    for (const name of ["curves", "seeds"]) find(name).hidden = true;
    document.querySelector(".controls").hidden = true;
    return;
  }
  options(find("problem"), DATA.problems.map((problem) => problem.title));
  find("problem-field").hidden = DATA.problems.length < 2;
  find("problem").addEventListener("change", (event) => choose(Number(event.target.value), 0));
  find("cell").addEventListener("change", (event) => choose(page.state.problem, Number(event.target.value)));
  for (const field of document.querySelectorAll("button[data-cell]")) {
    field.addEventListener("click", () => {
      const place = Number(field.dataset.cell);
      const problem = DATA.problems.findIndex((one) => one.cells.some((cell) => cell.place === place));
      choose(problem, DATA.problems[problem].cells.findIndex((cell) => cell.place === place));
    });
  }
  choose(0, 0);
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== width) drawPanels();
    width = innerWidth;
  });
}

start();
