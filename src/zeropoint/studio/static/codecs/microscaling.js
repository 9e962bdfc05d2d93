// Formats whose scale is one byte: the MX formats (a power of two) and NVFP4 (a small float).

import { absmax, clip, cutGroups, exponentOf, f32, ratio, rint } from "./bits.js";
import { decodeFloat, encodeFloat, FLOATS } from "./floats.js";
import { WeightGroup } from "./scale_search.js";
import { encodeFloats } from "./scaled_floats.js";
import { powerOfTwo, storedScale } from "./scales.js";

const E2M1_DOUBLED = Float32Array.of(0, 1, 2, 3, 4, 6, 8, 12);

/**
 * @param {Float32Array} weights
 * @param {GroupCodec} format
 */
export function encodeMX(weights, format) {
  const element = /** @type {FloatType} */ (format.element);
  return encodeFloats(weights, powerOfTwo(weights, element.maxExponent), element);
}

/**
 * @param {Float32Array} weights
 * @returns {EncodedGroup}
 */
export function encodeMXINT8(weights) {
  const scale = powerOfTwo(weights, 0);
  const codes = Array.from(weights, (w) => clip(rint(f32(ratio(w, scale) * 64)), -127, 127) + 0);
  return { scale, codes, values: codes.map((q) => q / 64) };
}

/** Twice the values of FP4_E2M1, as ggml has them: all are whole numbers. */
const doubledLevels = {
  /** @param {number} r */
  nearest(r) {
    const magnitude = Math.min(Math.abs(r), 12);
    const exponent = magnitude < 4 ? 1 : exponentOf(magnitude);
    const step = 2 ** (exponent - 1);
    const level = rint(magnitude / step) * step;
    return r < 0 || Object.is(r, -0) ? -level : level;
  },
  /** @param {number} v */
  code: (v) => E2M1_DOUBLED.indexOf(Math.abs(v)) + (v < 0 ? 8 : 0),
};

/**
 * The candidate with the least error; candidates are [byte of the scale, scale in the group's units].
 * @param {WeightGroup} group
 * @param {[number, number][]} candidates
 */
function searchByte(group, candidates) {
  let least = Infinity;
  let byte = 0;
  let chosen = 0;
  for (const [candidate, scale] of candidates) {
    const error = group.error(scale, doubledLevels);
    if (error < least) [least, byte, chosen] = [error, candidate, scale];
  }
  const values = group.levels(chosen, doubledLevels);
  return { byte, codes: values.map(doubledLevels.code), values: values.map((v) => v + 0) };
}

/** @param {Float32Array} weights */
function encodeMXFP4(weights) {
  const group = new WeightGroup(weights);
  const peak = Math.abs(group.peak);
  const exponent = group.exponent + (peak > 0 ? clip(exponentOf(peak) + 1, -125, 126) : -125);
  const candidates = [0, 1, 2, 3, 4, 5, 6, 7].map((less) => {
    const byte = clip(exponent + 125 - less, 0, 252);
    return /** @type {[number, number]} */ ([byte, f32(2 ** (byte - 128 - group.exponent))]);
  });
  const best = searchByte(group, candidates);
  return { ...best, scale: 2 ** (best.byte - 128) };
}

const HALF_UE4M3 = Float32Array.from({ length: 127 }, (_, code) => {
  const exponent = (code >> 3) & 15;
  const mantissa = code & 7;
  return ((exponent ? 1 : 0) + mantissa / 8) * 2 ** (Math.max(exponent, 1) - 8);
});

/** @param {Float32Array} weights */
function encodeNVFP4(weights) {
  const group = new WeightGroup(weights);
  const needed = f32(f32(Math.abs(group.peak) * 2 ** group.exponent) / 12);
  let middle = 0;
  while (middle < 126 && HALF_UE4M3[middle + 1] <= needed) middle++;
  /** @type {[number, number][]} */
  const candidates = [[0, 0]];
  for (let less = 0; less < 24; less++) {
    const byte = clip(middle + 7 - less, 1, 126);
    candidates.push([byte, f32(HALF_UE4M3[byte] * 2 ** -group.exponent)]);
  }
  const best = searchByte(group, candidates);
  return { ...best, scale: HALF_UE4M3[best.byte] };
}

/**
 * NVFP4 with one more float32 scale for the whole tensor.
 * @returns {Codec}
 */
export function nvfp4Tensor() {
  const e4m3 = FLOATS.FP8_E4M3;
  const e2m1 = FLOATS.FP4_E2M1;
  const encodeAll = (/** @type {Float32Array} */ weights) => {
    const shared = storedScale(4)(absmax(weights) / (448 * 6));
    const units = Float32Array.from(weights, (w) => ratio(w, shared));
    return cutGroups(units, 16).map((group) => {
      const wanted = absmax(group) / 6;
      const code = Math.max(encodeFloat(e4m3, wanted), wanted > 0 ? 1 : 0);
      const own = decodeFloat(e4m3, code);
      return { ...encodeFloats(group, own, e2m1), scale: f32(shared * own) };
    });
  };
  return { name: "NVFP4_TENSOR", bits: 4, size: 16, bytes: 9, sharedBytes: 4, encodeAll };
}

/** @type {Record<string, Omit<Codec, "name">>} */
export const MICROSCALING = {
  MXFP4: { bits: 4, size: 32, bytes: 17, encode: encodeMXFP4 },
  NVFP4: { bits: 4, size: 16, bytes: 9, encode: encodeNVFP4 },
};
