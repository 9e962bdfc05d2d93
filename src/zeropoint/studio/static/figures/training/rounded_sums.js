// Sums of a gradient that was rounded, to the nearest step or at random: no page is needed.

/**
 * Random numbers in [0, 1) that a seed decides (mulberry32).
 * @param {number} seed
 */
export function randomNumbers(seed) {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let word = Math.imul(state ^ (state >>> 15), 1 | state);
    word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word;
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * The running sums of a gradient, in steps of the format: exact, rounded to the nearest step (ties
 * to even), and rounded at random. Each list begins with 0.
 * @param {number} gradient
 * @param {number} count
 * @param {number} seed
 */
export function runningSums(gradient, count, seed) {
  const random = randomNumbers(seed),
    low = Math.floor(gradient),
    part = gradient - low;
  const nearest = part === 0.5 ? low + (low % 2) : Math.round(gradient);
  const sums = { exact: [0], nearest: [0], drawn: [0] };
  for (let i = 1; i <= count; i++) {
    sums.exact.push(gradient * i);
    sums.nearest.push(nearest * i);
    sums.drawn.push(sums.drawn[i - 1] + low + (random() < part ? 1 : 0));
  }
  return sums;
}
