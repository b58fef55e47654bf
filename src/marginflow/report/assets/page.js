"use strict";
// The page: one state (problem, run, snapshot, norm, sample), controls that change it, figures that follow it.

const FIGURES = [normsFigure, headsFigure, timeFigure, gapFigure, ratioFigure, spectrumFigure, attentionFigure, supportFigure, planeFigure, balanceFigure];

const page = { state: null, cards: [], pending: null };

function startPage() {
  const actions = {
    set: (patch) => update(patch),
    hover: (curve, snapshot, event) => {
      tipOf(curve, snapshot, event);
      if (curve.run === page.state.run) update({ snapshot });
      else update({ snapshot: sameTime(DATA.runs[curve.run], snapshot, DATA.runs[page.state.run]) });
    },
    leave: hideTip,
    pick: (curve, snapshot) => update({ run: curve.run, snapshot }),
  };
  // The first figure answers; it stands beside the answer, before any control.
  page.cards = FIGURES.map((def, k) => makeCard(def, document.getElementById(k ? "figures" : "first"), actions));
  wireControls();
  const asked = readHash();
  const run = DATA.runs[asked.run] || DATA.runs.find((one) => one.status === "minimal_loss") || DATA.runs[0];
  page.state = { problem: run.problem, run: run.index, snapshot: run.snapshots - 1, norm: run.norm, sample: 0, timeAxis: "stretch" };
  const inside = Number.isInteger(asked.snapshot) && asked.snapshot >= 0 && asked.snapshot < run.snapshots;
  if (inside) page.state.snapshot = asked.snapshot;
  redraw();
  wireBar();
  wireScrolls();
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== width) later(redraw);
    width = innerWidth;
  });
  document.documentElement.dataset.ready = "yes";
}

function readHash() {
  const pairs = new URLSearchParams(location.hash.slice(1));
  return { run: pairs.has("run") ? Number(pairs.get("run")) - 1 : -1, snapshot: pairs.has("snapshot") ? Number(pairs.get("snapshot")) - 1 : null };
}

function later(work) {
  if (page.pending) cancelAnimationFrame(page.pending);
  page.pending = requestAnimationFrame(() => {
    page.pending = null;
    work();
  });
}

// The snapshot of `to` nearest in log t to snapshot `k` of `from`; in steps, or, of a flow and steps, in margin.
function sameTime(from, k, to) {
  const name = from.steps === to.steps ? clockOf(to).name : "margin";
  const target = column(from, name)[k];
  const times = column(to, name);
  let best = 0;
  times.forEach((t, j) => {
    if (Math.abs(clock(t) - clock(target)) < Math.abs(clock(times[best]) - clock(target))) best = j;
  });
  return best;
}

// t = 0 is where log t is −∞; any time before the first one drawn will do.
function clock(t) {
  return Number.isFinite(t) ? Math.asinh(t) : -1e6;
}

function update(patch) {
  const before = page.state;
  const now = { ...before, ...patch };
  if (now.problem !== before.problem && patch.run === undefined) now.run = runsOf(now.problem)[0].index;
  const run = DATA.runs[now.run];
  now.problem = run.problem;
  if (now.run !== before.run) {
    if (patch.snapshot === undefined) now.snapshot = sameTime(DATA.runs[before.run], before.snapshot, run);
    if (patch.norm === undefined && run.norm !== DATA.runs[before.run].norm) now.norm = run.norm;
  }
  now.snapshot = Math.max(0, Math.min(run.snapshots - 1, now.snapshot));
  now.sample = Math.min(now.sample, DATA.problems[now.problem].kept - 1);
  page.state = now;
  const whole = ["problem", "run", "norm", "timeAxis"].some((key) => now[key] !== before[key]);
  if (now.problem !== before.problem) page.cards.forEach((card) => card.reset());
  page.whole = page.whole || whole;
  if (whole || now.snapshot !== before.snapshot || now.sample !== before.sample) {
    later(() => (page.whole ? redraw() : follow()));
    writeHash();
  }
}

// The address names what is shown, so that a link can be sent; Chromium limits how often it may change.
function writeHash() {
  clearTimeout(page.writing);
  page.writing = setTimeout(() => {
    history.replaceState(null, "", `#run=${page.state.run + 1}&snapshot=${page.state.snapshot + 1}`);
  }, 200);
}

function redraw() {
  page.whole = false;
  showControls();
  page.cards.forEach((card) => card.draw(page.state));
  tellScrolls();
}

function follow() {
  showControls();
  page.cards.forEach((card) => card.section.hidden || card.move(page.state));
}

function wireControls() {
  find("problem").addEventListener("change", (event) => update({ problem: Number(event.target.value) }));
  find("run").addEventListener("change", (event) => update({ run: Number(event.target.value) }));
  find("norm").addEventListener("change", (event) => update({ norm: event.target.value }));
  find("snapshot").addEventListener("input", (event) => update({ snapshot: Number(event.target.value) }));
  find("time-axis").addEventListener("change", (event) => update({ timeAxis: event.target.value }));
  wireTheme(redraw);
  // Paper is white and narrow: canvases hold pixels and panels are drawn for a width, so all are drawn again, and back.
  let screen = null;
  addEventListener("beforeprint", () => {
    screen = document.documentElement.dataset.theme || "";
    document.documentElement.dataset.theme = "light";
    document.documentElement.dataset.paper = "yes";
    document.querySelectorAll("details.fold").forEach((fold) => { fold.open = true; });
    redraw();
  });
  addEventListener("afterprint", () => {
    if (screen) document.documentElement.dataset.theme = screen;
    else delete document.documentElement.dataset.theme;
    delete document.documentElement.dataset.paper;
    redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => later(redraw));
  find("play").addEventListener("click", () => play());
  for (const button of document.querySelectorAll("button[data-run]")) {
    button.addEventListener("click", () => {
      update({ run: Number(button.dataset.run) });
      find("figures").scrollIntoView();
    });
  }
  find("problem").replaceChildren(...DATA.problems.map((problem, k) => h("option", { value: k }, problem.label)));
  find("problem-field").hidden = DATA.problems.length < 2;
}

// The chosen run from its start (or from where it stands) to its end, ten snapshots a second.
function play() {
  const button = document.getElementById("play");
  if (page.playing) {
    clearInterval(page.playing);
    page.playing = null;
    button.textContent = "▶";
    return;
  }
  const last = () => DATA.runs[page.state.run].snapshots - 1;
  if (page.state.snapshot >= last()) update({ snapshot: 0 });
  button.textContent = "❚❚";
  page.playing = setInterval(() => (page.state.snapshot >= last() ? play() : update({ snapshot: page.state.snapshot + 1 })), 100);
}

function showControls() {
  const { state } = page;
  const run = DATA.runs[state.run];
  find("problem").value = state.problem;
  const runs = runsOf(state.problem);
  if (find("run").dataset.problem !== String(state.problem)) {
    find("run").dataset.problem = state.problem;
    find("run").replaceChildren(...runs.map((r) => h("option", { value: r.index }, `${r.label}: ${r.word_of_status}`)));
    find("norm").dataset.names = "";
  }
  find("run").value = state.run;
  const names = normsOf(state);
  if (find("norm").dataset.names !== names.join()) {
    find("norm").dataset.names = names.join();
    find("norm").replaceChildren(...names.map((name) => h("option", { value: name }, DATA.norms[name].label)));
  }
  find("norm").value = state.norm;
  find("time-axis").closest(".field").hidden = runs.every((r) => r.steps);
  const slider = find("snapshot");
  slider.max = run.snapshots - 1;
  slider.value = state.snapshot;
  const text = `${whenText(run, state.snapshot)}, least margin ${number(column(run, "margin")[state.snapshot], 4)}`;
  slider.setAttribute("aria-valuetext", `snapshot ${state.snapshot + 1} of ${run.snapshots}: ${text}`);
  find("now").textContent = `${state.snapshot + 1}/${run.snapshots} · ${text}`;
  tellBar();
  for (const line of document.querySelectorAll("tr[data-run]")) {
    line.classList.toggle("chosen", Number(line.dataset.run) === state.run);
  }
}

function tipOf(curve, snapshot, event) {
  const run = DATA.runs[curve.run];
  tip(event, `${run.label} · ${curve.xName} ${number(curve.xs[snapshot], 5)} · ${curve.yName} ${number(curve.ys[snapshot], 6)}`);
}

startPage();
