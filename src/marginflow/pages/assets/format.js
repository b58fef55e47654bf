"use strict";
// Numbers and text for people. Nothing here ever makes HTML out of a string.

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

function superscript(k) {
  return (k < 0 ? "⁻" : "") + String(Math.abs(k)).replace(/\d/g, (digit) => SUPERSCRIPTS[digit]);
}

// 1234567 -> 1.23457×10⁶; a dash where there is no number.
function number(value, digits = 5) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.floor(Math.log10(Math.abs(value)));
  if (size >= -3 && size < 5) {
    const text = value.toPrecision(digits);
    const plain = text.includes("e") ? String(Number(text)) : text;
    return (plain.includes(".") ? plain.replace(/\.?0+$/, "") : plain).replace("-", "−");
  }
  let [mantissa, exponent] = value.toExponential(Math.max(0, digits - 1)).split("e");
  if (mantissa.includes(".")) mantissa = mantissa.replace(/\.?0+$/, "");
  const power = `10${superscript(Number(exponent))}`;
  return (mantissa === "1" ? power : `${mantissa}×${power}`).replace("-", "−");
}

function percent(p) {
  if (p >= 0.9995) return "100 %";
  if (p < 0.0005) return p < 1e-6 ? "≈ 0 %" : "< 0.1 %";
  return `${(100 * p).toFixed(p < 0.1 ? 1 : 0)} %`;
}

// An element with attributes and children; strings become text nodes.
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

// The colour of a CSS variable as a canvas understands it: light-dark() resolved for the theme in use.
function colour(name) {
  const probe = document.getElementById("probe");
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

function csvField(value) {
  const text = value === null || value === undefined || Number.isNaN(value) ? "" : String(value);
  // A spreadsheet would run a text that starts like a formula; numbers keep their sign.
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function download(name, header, rows) {
  const text = [header, ...rows].map((cells) => cells.map(csvField).join(",")).join("\r\n") + "\r\n";
  const link = h("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
