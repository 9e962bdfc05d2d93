// Formats whose codes name the values of a table: NF4 and IQ4_NL.

import { absmax, countBelow, midpoints, ratio } from "./bits.js";
import { encodeBySearch } from "./scale_search.js";
import { chosenScale } from "./scales.js";

export const NF4_VALUES = Float32Array.of(
  -1,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1,
);
export const IQ4_VALUES = Float32Array.of(
  -127,
  -104,
  -83,
  -65,
  -49,
  -35,
  -22,
  -10,
  1,
  13,
  25,
  38,
  53,
  69,
  89,
  113,
);
const NF4_MIDPOINTS = midpoints(NF4_VALUES);
const IQ4_MIDPOINTS = midpoints(IQ4_VALUES);

/**
 * @param {Float32Array} weights
 * @param {GroupCodec} format
 * @returns {EncodedGroup}
 */
export function encodeNF4(weights, format) {
  const scale = chosenScale(format, absmax(weights));
  const codes = Array.from(weights, (w) => countBelow(NF4_MIDPOINTS, ratio(w, scale)));
  return { scale, codes, values: codes.map((q) => NF4_VALUES[q]) };
}

/** @type {import("./scale_search.js").ScaleSearch} */
const IQ4_SEARCH = {
  levels: {
    nearest: (r) => IQ4_VALUES[countBelow(IQ4_MIDPOINTS, r)],
    code: (v) => IQ4_VALUES.indexOf(v),
  },
  ends: [-127, 113],
  ratio: 1.072,
  count: 16,
  first: 0.6,
  tail: 3,
};

/** @type {Record<string, Omit<Codec, "name">>} */
export const NONLINEAR = {
  IQ4_NL: { bits: 4, size: 32, bytes: 18, encode: (w) => encodeBySearch(w, IQ4_SEARCH) },
};
