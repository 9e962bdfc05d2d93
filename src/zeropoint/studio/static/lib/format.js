// Formats numbers as text.

/**
 * A number as text: this many significant digits, a true minus sign (−), no trailing zeros.
 * @param {number | null | undefined} x
 * @param {number} [digits]
 */
export function format(x, digits = 4) {
  if (x === null || x === undefined || Number.isNaN(x)) return "–";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  if (x === 0) return Object.is(x, -0) ? "−0" : "0";
  const size = Math.abs(x);
  let text;
  if (size >= 1e6 || size < 1e-4) {
    const [mantissa, power] = size.toExponential(digits - 1).split("e");
    text = `${trim(mantissa)} × 10${superscript(Number(power))}`;
  } else {
    text = trim(
      size.toPrecision(digits).includes("e") ? String(Math.round(size)) : size.toPrecision(digits),
    );
  }
  return (x < 0 ? "−" : "") + text;
}

/** @param {string} text */
function trim(text) {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/**
 * A whole number as superscript.
 * @param {number} power
 */
export function superscript(power) {
  return String(power)
    .replace("-", "⁻")
    .replace(/\d/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(digit)]);
}

/**
 * A fraction as a percentage.
 * @param {number | null | undefined} x
 * @param {number} [digits]
 */
export function percent(x, digits = 1) {
  return x === null || x === undefined ? "–" : `${(100 * x).toFixed(digits)} %`.replace("-", "−");
}

/**
 * Bytes in GiB, MiB or KiB.
 * @param {number} count
 */
export function inBytes(count) {
  for (const [unit, size] of /** @type {[string, number][]} */ ([
    ["GiB", 2 ** 30],
    ["MiB", 2 ** 20],
    ["KiB", 2 ** 10],
  ])) {
    if (count >= size) return `${format(count / size, 3)} ${unit}`;
  }
  return `${count} bytes`;
}

/**
 * A count as short text: 268 M, 1.54 G.
 * @param {number} count
 */
export function inCount(count) {
  for (const [unit, size] of /** @type {[string, number][]} */ ([
    ["T", 1e12],
    ["G", 1e9],
    ["M", 1e6],
    ["k", 1e3],
  ])) {
    if (count >= size) return `${format(count / size, 3)} ${unit}`;
  }
  return String(count);
}
