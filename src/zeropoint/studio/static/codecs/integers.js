// Plain integers: INT2 to INT8, symmetric or with a zero point.

import { absmax, clip, ratio, rint } from "./bits.js";
import { chosenScale } from "./scales.js";

/**
 * @param {Float32Array} weights
 * @param {GroupCodec} format
 * @returns {EncodedGroup}
 */
export function encodeSymmetric(weights, format) {
  const highest = 2 ** (format.bits - 1) - 1;
  const scale = chosenScale(format, absmax(weights) / highest);
  const codes = Array.from(weights, (w) => clip(rint(ratio(w, scale)), -highest, highest) + 0);
  return { scale, codes, values: codes };
}

/**
 * @param {Float32Array} weights
 * @param {GroupCodec} format
 * @returns {EncodedGroup}
 */
export function encodeAsymmetric(weights, format) {
  const low = -(2 ** (format.bits - 1));
  const high = -low - 1;
  const smallest = weights.reduce((a, w) => Math.min(a, w), 0);
  const largest = weights.reduce((a, w) => Math.max(a, w), 0);
  const scale = chosenScale(format, (largest - smallest) / (high - low));
  const zeroPoint =
    format.given?.zeroPoint ?? clip(rint(low - (scale > 0 ? smallest / scale : 0)), low, high);
  const codes = Array.from(weights, (w) => clip(rint(ratio(w, scale)) + zeroPoint, low, high));
  return { scale, zeroPoint, codes, values: codes };
}
