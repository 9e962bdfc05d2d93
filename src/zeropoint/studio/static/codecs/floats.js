// Floating-point types: the values of their codes, and rounding to a code.

import { exponentOf, rint, scaleBy } from "./bits.js";

/**
 * @param {string} name
 * @param {number} exponentBits
 * @param {number} mantissaBits
 * @param {FloatType["specials"]} specials
 * @returns {FloatType}
 */
function floatType(name, exponentBits, mantissaBits, specials) {
  const bits = 1 + exponentBits + mantissaBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  const beyond = { none: 0, nan: 1, ieee: 2 ** mantissaBits }[specials];
  const maxCode = 2 ** (bits - 1) - 1 - beyond;
  const layout = { name, exponentBits, mantissaBits, specials, bits, bias, maxCode };
  return {
    ...layout,
    max: decodeFloat(layout, maxCode),
    smallestNormal: 2 ** (1 - bias),
    smallest: 2 ** (1 - bias - mantissaBits),
    stepAtOne: 2 ** -mantissaBits,
    maxExponent: (maxCode >>> mantissaBits) - bias,
  };
}

/** @type {Record<string, FloatType>} */
export const FLOATS = Object.fromEntries(
  [
    floatType("F32", 8, 23, "ieee"),
    floatType("F16", 5, 10, "ieee"),
    floatType("BF16", 8, 7, "ieee"),
    floatType("FP8_E4M3", 4, 3, "nan"),
    floatType("FP8_E5M2", 5, 2, "ieee"),
    floatType("FP6_E2M3", 2, 3, "none"),
    floatType("FP6_E3M2", 3, 2, "none"),
    floatType("FP4_E2M1", 2, 1, "none"),
  ].map((type) => [type.name, type]),
);

/**
 * The value of a code, which may be NaN or infinity.
 * @param {Pick<FloatType, "bits" | "maxCode" | "mantissaBits" | "specials" | "bias">} type
 * @param {number} code
 */
export function decodeFloat(type, code) {
  const half = 2 ** (type.bits - 1);
  const negative = code >= half;
  const magnitude = negative ? code - half : code;
  let value;
  if (magnitude > type.maxCode) {
    value = type.specials === "ieee" && magnitude === type.maxCode + 1 ? Infinity : NaN;
  } else {
    const exponent = Math.floor(magnitude / 2 ** type.mantissaBits);
    const mantissa = magnitude % 2 ** type.mantissaBits;
    const implied = exponent > 0 ? 2 ** type.mantissaBits : 0;
    value = (implied + mantissa) * 2 ** (Math.max(exponent, 1) - type.bias - type.mantissaBits);
  }
  return negative ? -value : value;
}

/**
 * Round to the nearest code, with ties to the even mantissa. Larger values become the largest one.
 * @param {FloatType} type
 * @param {number} value
 */
export function encodeFloat(type, value) {
  const magnitude = Math.min(Math.abs(value), 2 * type.max);
  const lowest = 1 - type.bias;
  const exponent = exponentOf(Math.max(magnitude, type.smallestNormal));
  const steps = rint(scaleBy(magnitude, type.mantissaBits - exponent));
  const code = Math.min((exponent - lowest) * 2 ** type.mantissaBits + steps, type.maxCode);
  return (value < 0 || Object.is(value, -0) ? 2 ** (type.bits - 1) : 0) + code;
}

/**
 * The next smaller and the next larger value of the type, or null at its ends.
 * @param {FloatType} type
 * @param {number} code
 * @returns {[number | null, number | null]}
 */
export function neighbours(type, code) {
  const half = 2 ** (type.bits - 1);
  // In the order of all codes, ±0 is one position: …, −2, −1, 0, 1, 2, …
  const place = code >= half ? half - code : code;
  const at = (/** @type {number} */ p) =>
    Math.abs(p) > type.maxCode ? null : decodeFloat(type, p < 0 ? half - p : p);
  return [at(place - 1), at(place + 1)];
}

/**
 * The number of codes whose value has a magnitude below `limit`, −0 included.
 * @param {FloatType} type
 * @param {number} limit
 */
export function codesWithin(type, limit) {
  return 2 * placeOf(type, limit);
}

/**
 * The number of values x of a type with low ≤ x < high.
 * @param {FloatType} type
 * @param {number} low
 * @param {number} high
 */
export function countBetween(type, low, high) {
  return placeOf(type, high) - placeOf(type, low);
}

/**
 * The number of values below x, relative to 0; exact, because the codes are in ascending order.
 * @param {FloatType} type
 * @param {number} x
 */
function placeOf(type, x) {
  if (x === 0) return 0;
  const code = encodeFloat(type, Math.abs(x));
  const value = decodeFloat(type, code);
  if (x > 0) return value < x ? code + 1 : code;
  return value <= -x ? -code : -code + 1;
}
