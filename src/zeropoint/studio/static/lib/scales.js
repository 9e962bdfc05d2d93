// Scales: from the numbers of data to pixels, and back.

/**
 * x ↦ pixels, linear; scale.from is the inverse.
 * @param {number[]} domain its two ends
 * @param {number[]} pixels
 * @returns {Scale}
 */
export function linear([d0, d1], [r0, r1]) {
  const scale = (/** @type {number} */ x) => r0 + ((x - d0) / (d1 - d0 || 1)) * (r1 - r0);
  scale.from = (/** @type {number} */ r) => d0 + ((r - r0) / (r1 - r0 || 1)) * (d1 - d0);
  scale.ticks = (n = 5) => ticks(d0, d1, n);
  return scale;
}

/**
 * x ↦ pixels, logarithmic.
 * @param {number[]} domain its two ends
 * @param {number[]} pixels
 * @returns {Scale}
 */
export function logarithmic([d0, d1], pixels) {
  const inner = linear([Math.log10(d0), Math.log10(d1)], pixels);
  const scale = (/** @type {number} */ x) => inner(Math.log10(Math.max(x, 1e-300)));
  scale.from = (/** @type {number} */ r) => 10 ** inner.from(r);
  scale.ticks = (n = 6) => {
    const [low, high] = [Math.ceil(Math.log10(d0) - 1e-9), Math.floor(Math.log10(d1) + 1e-9)];
    const step = Math.max(1, Math.ceil((high - low) / n));
    const found = [];
    for (let power = low; power <= high; power += step) found.push(10 ** power);
    if (found.length > 2) return found;
    const finer = [];
    for (let power = low - 1; power <= high; power++) {
      for (const digit of [1, 2, 5]) finer.push(Number((digit * 10 ** power).toPrecision(3)));
    }
    const inside = finer.filter((x) => x >= d0 && x <= d1);
    return inside.length > 1 ? inside : ticks(d0, d1, 4);
  };
  return scale;
}

/**
 * Round numbers between two ends, about n of them.
 * @param {number} low
 * @param {number} high
 * @param {number} [n]
 */
export function ticks(low, high, n = 5) {
  if (!(high > low)) return [low];
  const rough = (high - low) / n,
    power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough * 0.999) ?? 10);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) {
    found.push(Number((k * step).toPrecision(12)));
  }
  return found;
}
