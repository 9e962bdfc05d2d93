// Quantizes whole matrices to the integer formats of codecs/integers.js, with the same codes and scales.
//
// The codecs allocate arrays for each group. Here nothing is allocated, because a model of a million
// weights is quantized while a slider moves. Tests compare the codes with Python's.

import { exponentOf } from "../codecs/bits.js";
import { formatOf, fullName } from "../codecs/formats.js";

// Adding and subtracting this rounds a double to a whole number, ties to even.
const ROUND = 1.5 * 2 ** 52;
const MAX_HALF = 65504; // the largest finite float16
const MIN_EXPONENT = -14; // of float16

/**
 * How the weights are stored. 16 bits: as they are. `block`: the weights that share a scale; 0: a row.
 * @typedef {{ bits: number, symmetric: boolean, block: number }} Setting
 */

/** @typedef {import("./safetensors.js").Matrix} Matrix */

/**
 * The name of a setting's format, such as INT4_SYM_G32.
 * @param {Setting} setting
 */
export function formatName({ bits, symmetric, block }) {
  return fullName(`INT${bits}_${symmetric ? "SYM" : "ASYM"}`, block);
}

/**
 * Bits per weight of a matrix, with its scales and zero points.
 * @param {Setting} setting
 * @param {number} columns
 */
export function bitsPerWeight(setting, columns) {
  if (setting.bits === 16) return 16;
  const size = setting.block || columns;
  const format = /** @type {GroupCodec} */ (formatOf(formatName(setting)));
  return (8 * format.bytesFor(size)) / size;
}

/**
 * Quantize a matrix and write what its codes stand for into `decoded`, and the codes into `codes`.
 * @param {Matrix} matrix whose columns are a multiple of the block
 * @param {Setting} setting
 * @param {Float32Array} decoded
 * @param {Int8Array} codes
 */
export function quantizeMatrix(matrix, setting, decoded, codes) {
  const { values, columns } = matrix;
  const size = setting.block || columns;
  const half = 2 ** (setting.bits - 1);
  const high = half - 1;
  const low = setting.symmetric ? -high : -half;
  for (let first = 0; first < values.length; first += size) {
    let least = 0;
    let most = 0;
    for (let i = first; i < first + size; i++) {
      if (values[i] < least) least = values[i];
      else if (values[i] > most) most = values[i];
    }
    const reach = setting.symmetric ? Math.max(most, -least) / high : (most - least) / (high - low);
    const scale = setting.block ? nearestHalf(reach) : Math.fround(reach);
    const zero = setting.symmetric ? 0 : zeroPoint(least, scale, low, high);
    for (let i = first; i < first + size; i++) {
      const whole = scale > 0 ? Math.fround(values[i] / scale) + ROUND - ROUND : 0;
      const code = Math.min(Math.max(whole + zero, low), high);
      codes[i] = code;
      decoded[i] = scale * (code - zero);
    }
  }
}

/**
 * The code of weight 0.
 * @param {number} least the smallest weight, at most 0
 * @param {number} scale
 * @param {number} low
 * @param {number} high
 */
function zeroPoint(least, scale, low, high) {
  const place = low - (scale > 0 ? least / scale : 0);
  return Math.min(Math.max(place + ROUND - ROUND, low), high);
}

/**
 * A scale ≥ 0 as float16, ties to even; a scale > 0 stays positive.
 * @param {number} scale
 */
function nearestHalf(scale) {
  if (scale === 0) return 0;
  const cut = Math.min(scale, MAX_HALF);
  const step = 2 ** (Math.max(exponentOf(cut), MIN_EXPONENT) - 10);
  return Math.max(cut + ROUND * step - ROUND * step, 2 ** -24);
}
