// Small floats under a scale: FP8, FP6, FP4, and FP4 whose −0 stands for another value.

import { absmax, f32, halvingSum, ratio } from "./bits.js";
import { decodeFloat, encodeFloat, FLOATS } from "./floats.js";
import { chosenScale } from "./scales.js";

const FP4 = FLOATS.FP4_E2M1;
const NEGATIVE_ZERO = 8; // the code of −0 in FP4_E2M1

/**
 * Encode weights as codes of a float type under a scale.
 * @param {Float32Array} weights
 * @param {number} scale
 * @param {FloatType} element
 * @returns {EncodedGroup}
 */
export function encodeFloats(weights, scale, element) {
  const codes = Array.from(weights, (w) => encodeFloat(element, ratio(w, scale)));
  return { scale, codes, values: codes.map((q) => decodeFloat(element, q)) };
}

/**
 * @param {Float32Array} weights
 * @param {GroupCodec} format
 */
export function encodeScaledFloats(weights, format) {
  const element = /** @type {FloatType} */ (format.element);
  return encodeFloats(weights, chosenScale(format, absmax(weights) / element.max), element);
}

/**
 * FP4 without −0: its code stands for a special value, whose sign a group may choose.
 * @param {Float32Array} weights
 * @param {GroupCodec} format
 * @returns {EncodedGroup}
 */
export function encodeWithoutNegativeZero(weights, format) {
  const scale = chosenScale(format, absmax(weights) / FP4.max);
  const ratios = Float32Array.from(weights, (w) => ratio(w, scale));
  const value = /** @type {number} */ (format.special);
  const special = f32(format.both ? betterSign(ratios, value) : value);
  const codes = Array.from(ratios, (r) => codeWithSpecial(r, special));
  const values = codes.map((q) => (q === NEGATIVE_ZERO ? special : decodeFloat(FP4, q)));
  return { scale, codes, values, special };
}

/**
 * @param {number} r
 * @param {number} special
 */
function codeWithSpecial(r, special) {
  let code = encodeFloat(FP4, r);
  if (code === NEGATIVE_ZERO) code = 0; // a small negative number rounds to −0, whose code has another meaning
  const error = Math.abs(f32(r - decodeFloat(FP4, code)));
  return Math.abs(f32(r - special)) < error ? NEGATIVE_ZERO : code;
}

/**
 * @param {Float32Array} ratios
 * @param {number} special
 */
function betterSign(ratios, special) {
  const gain = (/** @type {number} */ value) =>
    halvingSum(
      Array.from(ratios, (r) => {
        const error = f32(r - decodeFloat(FP4, encodeFloat(FP4, r)));
        return Math.max(error ** 2 - f32(r - value) ** 2, 0);
      }),
    );
  return gain(-special) > gain(special) ? -special : special;
}
