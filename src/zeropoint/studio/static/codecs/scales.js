// How the scale of a group is chosen and stored, in formats with a rule for it.

import { absmax, clip, exponentOf, f32 } from "./bits.js";
import { decodeFloat, encodeFloat, FLOATS } from "./floats.js";

/**
 * The stored scale: set by hand, or given by the rule for a fraction `clip` of the range.
 * @param {GroupCodec} format
 * @param {number} scale
 */
export function chosenScale(format, scale) {
  return format.given?.scale ?? format.stored(scale * (format.given?.clip ?? 1));
}

/**
 * Round a scale > 0 to the float16 or float32 it is stored as; it stays positive and finite.
 * @param {number} bytes
 * @returns {(scale: number) => number}
 */
export function storedScale(bytes) {
  const [max, least] = bytes === 2 ? [65504, 2 ** -24] : [3.4028234663852886e38, 2 ** -149];
  return (scale) => {
    if (!(scale > 0)) return 0;
    const cut = Math.min(scale, max);
    const stored = bytes === 2 ? decodeFloat(FLOATS.F16, encodeFloat(FLOATS.F16, cut)) : f32(cut);
    return Math.max(stored, least);
  };
}

/**
 * The power of two that scales the largest weight to the exponent `valueExponent`.
 * @param {Float32Array} weights
 * @param {number} valueExponent
 */
export function powerOfTwo(weights, valueExponent) {
  const largest = absmax(weights);
  return 2 ** (largest > 0 ? clip(exponentOf(largest) - valueExponent, -127, 127) : -127);
}
