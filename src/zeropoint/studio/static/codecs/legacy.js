// ggml's formats of 32 weights with one float16 scale: Q4_0, Q5_0 and Q8_0.

import { clip, rint } from "./bits.js";
import { encodeBySearch } from "./scale_search.js";

/** @typedef {import("./scale_search.js").ScaleSearch} ScaleSearch */

/**
 * @param {number} low
 * @param {number} high
 */
function integerLevels(low, high) {
  return {
    nearest: (/** @type {number} */ r) => rint(clip(r, low, high)),
    code: (/** @type {number} */ v) => v,
  };
}

/** @type {ScaleSearch} */
const Q4_0 = {
  levels: integerLevels(-8, 7),
  ends: [-8, 7],
  ratio: 1.1,
  count: 12,
  first: 0.6,
  tail: 3,
};

/** @type {ScaleSearch} */
const Q5_0 = {
  levels: integerLevels(-16, 15),
  ends: [-16, 15],
  ratio: 1.056,
  count: 20,
  first: 0.6,
  tail: 3,
};

/** @type {ScaleSearch} */
const Q8_0 = {
  levels: integerLevels(-127, 127),
  ends: [127],
  ratio: 1.0075,
  count: 24,
  first: 0.85,
  tail: 0,
  unsigned: true,
};

/** @param {ScaleSearch} search */
const encoder = (search) => (/** @type {Float32Array} */ w) => encodeBySearch(w, search);

/** @type {Record<string, Omit<Codec, "name">>} */
export const LEGACY = {
  Q4_0: { bits: 4, size: 32, bytes: 18, encode: encoder(Q4_0) },
  Q5_0: { bits: 5, size: 32, bytes: 22, encode: encoder(Q5_0) },
  Q8_0: { bits: 8, size: 32, bytes: 34, encode: encoder(Q8_0) },
};
