// Exact arithmetic that all codecs share. float32 arithmetic is Math.fround around every operation,
// in the order of Python's encoders.

export const f32 = Math.fround;

const view = new DataView(new ArrayBuffer(8));

/**
 * Round to the nearest whole number, ties to even.
 * @param {number} x
 */
export function rint(x) {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest < 0.5) return floor;
  if (rest > 0.5) return floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/**
 * @param {number} x
 * @param {number} low
 * @param {number} high
 */
export const clip = (x, low, high) => Math.min(Math.max(x, low), high);

/**
 * floor(log2 x) for x > 0, exactly.
 * @param {number} x
 * @returns {number}
 */
export function exponentOf(x) {
  view.setFloat64(0, x);
  const field = (view.getUint16(0) >> 4) & 2047;
  return field ? field - 1023 : exponentOf(x * 2 ** 60) - 60;
}

/**
 * x · 2^power, where 2^power alone could overflow.
 * @param {number} x
 * @param {number} power
 */
export function scaleBy(x, power) {
  const half = Math.trunc(power / 2);
  return x * 2 ** half * 2 ** (power - half);
}

/**
 * The largest magnitude of some weights; 0 for none.
 * @param {Float32Array} weights
 */
export function absmax(weights) {
  return weights.reduce((largest, w) => Math.max(largest, Math.abs(w)), 0);
}

/**
 * w / scale as float32; 0 where there is no scale.
 * @param {number} w
 * @param {number} scale
 */
export function ratio(w, scale) {
  return scale > 0 ? f32(w / scale) : 0;
}

/**
 * The values halfway between neighbours of a sorted table.
 * @param {Float32Array} table
 */
export function midpoints(table) {
  return Float32Array.from(table.subarray(1), (value, i) => f32(f32(value + table[i]) / 2));
}

/**
 * How many entries of a sorted table are below x.
 * @param {Float32Array} sorted
 * @param {number} x
 */
export function countBelow(sorted, x) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < x) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * The sum in the order of Python's encoders: the second half is added to the first, again and again.
 * @param {number[]} terms
 */
export function halvingSum(terms) {
  let left = terms;
  while (left.length > 1) {
    const half = Math.ceil(left.length / 2);
    const from = left;
    left = from.slice(0, half).map((t, i) => (half + i < from.length ? t + from[half + i] : t));
  }
  return left[0];
}

/**
 * Cut a row into groups of `size` weights; the last one may be shorter.
 * @param {Float32Array} weights
 * @param {number} size
 */
export function cutGroups(weights, size) {
  const groups = [];
  for (let at = 0; at < weights.length; at += size) groups.push(weights.subarray(at, at + size));
  return groups;
}
