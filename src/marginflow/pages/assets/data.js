"use strict";
// What Python stored: plain JSON, with number arrays as base64 of little-endian typed arrays.

const KINDS = { f4: Float32Array, f8: Float64Array, u1: Uint8Array, u2: Uint16Array, i4: Int32Array };

// {k: kind, s: shape, b: base64} -> typed array with .shape. Decoded once, on first use.
function unpack(packed) {
  if (!packed) return null;
  if (packed.array) return packed.array;
  const text = atob(packed.b);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const array = new KINDS[packed.k](bytes.buffer);
  array.shape = packed.s;
  packed.array = array;
  delete packed.b;
  return array;
}

// Row i of a packed (rows, columns) array.
function row(packed, i) {
  const array = unpack(packed);
  const width = array.shape[1];
  return array.subarray(i * width, (i + 1) * width);
}

const DATA = JSON.parse(document.getElementById("data").textContent);
