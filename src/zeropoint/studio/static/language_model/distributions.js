// Next-token distributions: probabilities, KL divergence, and the choice of a token.

/**
 * The logarithms of the probabilities of one row of logits, in nats.
 * @param {Float32Array} logits
 * @param {number} row
 * @param {number} size the vocabulary
 */
export function logProbabilities(logits, row, size) {
  const start = row * size;
  let highest = -Infinity;
  for (let i = 0; i < size; i++) highest = Math.max(highest, logits[start + i]);
  let total = 0;
  for (let i = 0; i < size; i++) total += Math.exp(logits[start + i] - highest);
  const shift = highest + Math.log(total);
  const result = new Float64Array(size);
  for (let i = 0; i < size; i++) result[i] = logits[start + i] - shift;
  return result;
}

/**
 * KL(reference ‖ quant) in nats.
 * @param {Float64Array} reference log probabilities
 * @param {Float64Array} quant
 */
export function divergence(reference, quant) {
  let sum = 0;
  for (let i = 0; i < reference.length; i++) {
    sum += Math.exp(reference[i]) * (reference[i] - quant[i]);
  }
  return Math.max(sum, 0);
}

/**
 * The index of the largest number; the first one of several.
 * @param {ArrayLike<number>} numbers
 */
export function indexOfLargest(numbers) {
  let best = 0;
  for (let i = 1; i < numbers.length; i++) if (numbers[i] > numbers[best]) best = i;
  return best;
}

/**
 * Choose a token at random with probabilities p^(1 ∕ temperature); the same seed and position give the same choice.
 * @param {Float64Array} logs log probabilities
 * @param {number} temperature
 * @param {number} seed
 * @param {number} position
 */
export function choose(logs, temperature, seed, position) {
  const weights = logs.map((x) => Math.exp(x / temperature));
  let rest = uniform(seed, position) * weights.reduce((a, b) => a + b, 0);
  for (let i = 0; i < weights.length; i++) {
    rest -= weights[i];
    if (rest < 0) return i;
  }
  return indexOfLargest(logs);
}

/**
 * A number in [0, 1) that depends on both arguments only (a hash by multiplication and shifts).
 * @param {number} seed
 * @param {number} position
 */
function uniform(seed, position) {
  let x = Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(position + 1, 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
  return ((x ^ (x >>> 15)) >>> 0) / 2 ** 32;
}
