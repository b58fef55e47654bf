// One click on a cell lists its seeds; one click on a seed copies the command that reruns it.
"use strict";
const cells = JSON.parse(document.getElementById("cells").textContent);
const panel = document.getElementById("rerun");
const words = { m: "minimal loss", t: "trapped", u: "undecided", f: "failed" };

function show(index) {
  const cell = cells[index];
  panel.replaceChildren();
  const title = document.createElement("strong");
  title.textContent = cell.label;
  const close = document.createElement("button");
  close.textContent = "close";
  close.addEventListener("click", () => { panel.hidden = true; });
  const line = document.createElement("p");
  line.append(title, " ", close);
  const list = document.createElement("div");
  list.className = "seeds";
  for (const letter of "ftum") {
    const seeds = cell.seeds.filter((seed, i) => cell.ends[i] === letter);
    if (seeds.length === 0) continue;
    const row = document.createElement("div");
    row.append(`${words[letter]}, seeds: `);
    for (const seed of seeds) {
      const button = document.createElement("button");
      button.textContent = seed;
      button.addEventListener("click", () => give(command(cell, seed)));
      row.append(button);
    }
    list.append(row);
  }
  const output = document.createElement("code");
  output.id = "command";
  output.setAttribute("aria-live", "polite");
  panel.append(line, list, output);
  panel.hidden = false;
  give(command(cell, cell.seeds[0]), false);
}

function command(cell, seed) {
  return cell.command.replaceAll("{seed}", seed);
}

function give(text, copy = true) {
  const output = document.getElementById("command");
  output.textContent = text;
  if (!copy) return;
  const range = document.createRange();
  range.selectNodeContents(output);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  if (navigator.clipboard) navigator.clipboard.writeText(text).catch(() => {});
}

for (const button of document.querySelectorAll("button[data-cell]")) {
  button.addEventListener("click", () => show(Number(button.dataset.cell)));
}
