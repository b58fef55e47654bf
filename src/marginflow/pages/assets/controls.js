"use strict";
// What the controls of every page share: elements by their id, lists of choices, and the words beside the pointer.

const find = (id) => document.getElementById(id);

function options(select, labels) {
  select.replaceChildren(...labels.map((label, k) => h("option", { value: String(k) }, label)));
}

function tip(event, text) {
  const box = find("tip");
  box.textContent = text;
  box.hidden = false;
  box.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - box.offsetWidth - 8))}px`;
  box.style.top = `${event.clientY + 16}px`;
}

function hideTip() {
  find("tip").hidden = true;
}

// A box whose inside is wider or higher than itself says so below it, whatever the system does with scroll bars.
function tellScrolls() {
  for (const box of document.querySelectorAll(".scroll, .map-frame")) {
    if (!box.checkVisibility()) continue;
    const wide = box.scrollWidth > box.clientWidth + 1;
    const high = box.scrollHeight > box.clientHeight + 1;
    let said = box.nextElementSibling;
    if (!said || !said.classList.contains("scrolls")) {
      said = h("p", { class: "scrolls" });
      box.after(said);
    }
    said.textContent = wide && high ? "Wider and longer than shown: scroll inside." : wide ? "Wider than shown: scroll sideways." : "Longer than shown: scroll inside.";
    said.hidden = !(wide || high);
  }
}

function wireScrolls() {
  tellScrolls();
  addEventListener("resize", tellScrolls);
  document.addEventListener("toggle", tellScrolls, true);
}

// On a phone the bar is one line that says what is chosen, and a press opens its lists.
function wireBar() {
  const bar = document.querySelector(".controls");
  const more = h("button", { type: "button", class: "more", "aria-expanded": "false" });
  more.addEventListener("click", () => {
    more.setAttribute("aria-expanded", String(bar.classList.toggle("open")));
  });
  bar.prepend(more);
  tellBar();
}

function tellBar() {
  const more = document.querySelector(".more");
  if (!more) return;
  const chosen = [...document.querySelectorAll(".controls .field:not([hidden]) select")].slice(0, 3);
  more.textContent = chosen.map((select) => select.selectedOptions[0]?.textContent || "").join(" · ");
  more.setAttribute("aria-label", `Choices: ${more.textContent}`);
}
