// The scale with the least error, searched as zeropoint's encoders of ggml's formats do.

import { clip, exponentOf, f32 } from "./bits.js";
import { decodeFloat, encodeFloat, FLOATS } from "./floats.js";

/**
 * The values of codes before scaling: the nearest one, and its code.
 * @typedef {{ nearest: (r: number) => number, code: (value: number) => number }} Levels
 */

/**
 * The scales to try. `ends`: the levels that the largest weight may become; `first`, `ratio`
 * and `count`: factors on that, with `tail` more of them at the end; `unsigned`: the sign is ignored.
 * @typedef {{ levels: Levels, ends: number[], ratio: number, count: number, first: number,
 *   tail: number, unsigned?: boolean }} ScaleSearch
 */

/** A group of weights, scaled by a power of two to magnitudes below 1. */
export class WeightGroup {
  /** @param {Float32Array} weights */
  constructor(weights) {
    const at = weights.reduce((a, w, i) => (Math.abs(w) > Math.abs(weights[a]) ? i : a), 0);
    const largest = Math.abs(weights[at]);
    this.exponent = largest > 0 ? clip(exponentOf(largest) + 1, -125, 126) : -125;
    this.weights = Float32Array.from(weights, (w) => w * 2 ** -this.exponent);
    this.peak = this.weights[at];
  }

  /**
   * The squared error under a scale.
   * @param {number} scale
   * @param {Levels} levels
   */
  error(scale, levels) {
    const inverse = reciprocal(scale);
    let total = 0;
    for (const w of this.weights) {
      const rest = f32(w - f32(scale * levels.nearest(f32(w * inverse))));
      total = f32(total + f32(rest * rest));
    }
    return total;
  }

  /**
   * The level of each weight under a scale.
   * @param {number} scale
   * @param {Levels} levels
   */
  levels(scale, levels) {
    const inverse = reciprocal(scale);
    return Array.from(this.weights, (w) => levels.nearest(f32(w * inverse)));
  }
}

/** @param {number} scale */
function reciprocal(scale) {
  return Math.abs(scale) >= 2 ** -120 ? f32(1 / scale) : 0;
}

/** @param {ScaleSearch} search */
function factors({ first, ratio, count, tail }) {
  const list = [];
  for (const [start, step, n] of [
    [first, ratio, count],
    [2.2, 1.8, tail],
  ]) {
    let factor = f32(start);
    for (let i = 0; i < n; i++) {
      list.push(factor);
      factor = f32(factor * f32(step));
    }
  }
  return list;
}

/**
 * The least-squares scale over all tried roundings, before it is stored.
 * @param {WeightGroup} group
 * @param {ScaleSearch} search
 */
function bestScale(group, search) {
  const peak = search.unsigned ? Math.abs(group.peak) : group.peak;
  const best = { saved: 0, inverse: 0, scale: 0 };
  const improve = (/** @type {number} */ inverse) => {
    let product = 0;
    let square = 0;
    for (const w of group.weights) {
      const level = search.levels.nearest(f32(w * inverse));
      product = f32(product + f32(w * level));
      square = f32(square + f32(level * level));
    }
    const scale = square ? f32(product / square) : 0;
    const saved = f32(scale * product);
    if (saved > best.saved) Object.assign(best, { saved, inverse, scale });
  };
  for (const end of search.ends) {
    for (const factor of factors(search)) improve(f32(f32(end * factor) * reciprocal(peak)));
  }
  const centre = best.inverse;
  const step = f32((search.ratio - 1) / 5);
  for (const fine of [-4, -3, -2, -1, 1, 2, 3, 4]) improve(f32(centre * f32(1 + f32(fine * step))));
  for (let i = 0; i < 2; i++) improve(reciprocal(best.scale));
  return { peak, scale: best.scale };
}

/**
 * Encode a group with a float16 scale: the stored scale with the least error near the best one.
 * @param {Float32Array} weights
 * @param {ScaleSearch} search
 * @returns {EncodedGroup}
 */
export function encodeBySearch(weights, search) {
  const group = new WeightGroup(weights);
  const { levels } = search;
  const { peak, scale } = bestScale(group, search);
  const bits = toF16(f32(scale * 2 ** group.exponent));
  const magnitude = bits & 0x7fff;
  const plain = toF16(f32(f32(peak / search.ends[0]) * 2 ** group.exponent));
  let chosen = bits;
  let least = Infinity;
  for (const candidate of [
    bits,
    magnitude ? bits - 1 : bits,
    magnitude < 0x7bff ? bits + 1 : bits,
    plain,
  ]) {
    const error = group.error(inUnits(candidate, group), levels);
    if (error < least) [chosen, least] = [candidate, error];
  }
  const values = group.levels(inUnits(chosen, group), levels);
  return { scale: decodeFloat(FLOATS.F16, chosen), codes: values.map(levels.code), values };
}

/** @param {number} x */
function toF16(x) {
  return encodeFloat(FLOATS.F16, x);
}

/**
 * A stored scale in units of the group's power of two.
 * @param {number} bits
 * @param {WeightGroup} group
 */
function inUnits(bits, group) {
  return f32(decodeFloat(FLOATS.F16, bits) * 2 ** -group.exponent);
}
