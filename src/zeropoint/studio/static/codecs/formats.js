// Quantization formats in JavaScript, identical bit for bit to zeropoint.formats.
//
// The same encoders as in Python, so that a page without a server can quantize while a slider moves.
// Tests compare the two on random weights and on every code.

import { clip, cutGroups, f32 } from "./bits.js";
import { decodeFloat, encodeFloat, FLOATS } from "./floats.js";
import { encodeAsymmetric, encodeSymmetric } from "./integers.js";
import { LEGACY } from "./legacy.js";
import { encodeMX, encodeMXINT8, MICROSCALING, nvfp4Tensor } from "./microscaling.js";
import { encodeNF4, IQ4_VALUES, NF4_VALUES, NONLINEAR } from "./nonlinear.js";
import { encodeScaledFloats, encodeWithoutNegativeZero } from "./scaled_floats.js";
import { storedScale } from "./scales.js";

const LARGEST_WEIGHT = 2 ** 126; // larger weights are stored as this one, so that nothing decodes to infinity

/** @type {Record<string, (weights: Float32Array, format: GroupCodec) => EncodedGroup>} */
const RULES = {
  SYM: encodeSymmetric,
  ASYM: encodeAsymmetric,
  FLOAT: encodeScaledFloats,
  NF4: encodeNF4,
  M0: encodeWithoutNegativeZero,
  MX: encodeMX,
  MXINT: encodeMXINT8,
};

const SEARCHED = { ...LEGACY, ...NONLINEAR, ...MICROSCALING };

/**
 * Find a format by its name; null if these pages do not support it.
 * @param {string} name
 * @returns {Codec | GroupCodec | null}
 */
export function findFormat(name) {
  if (SEARCHED[name]) return { name, ...SEARCHED[name] };
  if (["F32", "F16", "BF16"].includes(name)) return floatFormat(name);
  if (name === "NVFP4_TENSOR") return nvfp4Tensor();
  if (name === "MXINT8") return grouped({ name, rule: "MXINT", bits: 8, size: 32 }, 1);
  const mx = FLOATS[name === "MXFP4_OCP" ? "FP4_E2M1" : name.replace(/^MX/, "")];
  if (name.startsWith("MX") && mx) {
    return grouped({ name, rule: "MX", bits: mx.bits, size: 32, element: mx }, 1);
  }
  const match = /^(.+)_(G[1-9]\d{0,8}|ROW|TENSOR)$/.exec(name);
  if (!match) return null;
  const [, kind, share] = match;
  const size = share[0] === "G" ? Number(share.slice(1)) : 0; // 0: the whole row
  const rule = ruleOf(kind);
  // A zero point is one more byte.
  return rule && grouped({ name, size, ...rule }, (size ? 2 : 4) + (rule.rule === "ASYM" ? 1 : 0));
}

/**
 * The format of this name. Throws an Error for a format that these pages do not support.
 * @param {string} name
 */
export function formatOf(name) {
  const format = findFormat(name);
  if (format === null) throw new Error(`unknown format ${name}`);
  return format;
}

/**
 * The rule of a kind of format, such as INT4_SYM or NF4.
 * @param {string} kind
 * @returns {Pick<GroupCodec, "rule" | "bits" | "element" | "special" | "both"> | null}
 */
function ruleOf(kind) {
  const integer = /^INT([2-8])_(SYM|ASYM)$/.exec(kind);
  if (integer) return { rule: integer[2], bits: Number(integer[1]) };
  const element = FLOATS[kind];
  if (/^FP[864]_E\dM\d$/.test(kind) && element) {
    return { rule: "FLOAT", bits: element.bits, element };
  }
  if (kind === "NF4") return { rule: "NF4", bits: 4 };
  const zero = /^FP4_E2M1_M0_(PM)?(-?\d{1,2}(?:\.\d{1,3})?)$/.exec(kind);
  return zero && { rule: "M0", bits: 4, special: Number(zero[2]), both: !!zero[1] };
}

/**
 * @param {string} name
 * @returns {Codec}
 */
function floatFormat(name) {
  const element = FLOATS[name];
  const encode = (/** @type {Float32Array} */ weights) => {
    const codes = Array.from(weights, (w) => encodeFloat(element, w));
    return { scale: 1, codes, values: codes.map((q) => decodeFloat(element, q)) };
  };
  return { name, bits: element.bits, size: 1, bytes: element.bits / 8, encode, alone: true };
}

/**
 * A format with one scale for each group; `overhead` is the bytes of a group in addition to its codes.
 * @param {Omit<GroupCodec, "encode" | "stored" | "bytesFor" | "bytes">} layout
 * @param {number} overhead
 * @returns {GroupCodec}
 */
function grouped(layout, overhead) {
  const bytesFor = (/** @type {number} */ count) => overhead + Math.ceil((count * layout.bits) / 8);
  const scaleBytes = layout.rule === "ASYM" ? overhead - 1 : overhead;
  /** @type {GroupCodec} */
  const format = {
    ...layout,
    stored: storedScale(scaleBytes),
    bytesFor,
    bytes: layout.size ? bytesFor(layout.size) : 0,
    encode: (weights) => {
      const clipped = Float32Array.from(weights, (w) => clip(w, -LARGEST_WEIGHT, LARGEST_WEIGHT));
      return RULES[layout.rule](clipped, format);
    },
  };
  return format;
}

/**
 * Quantize a row of weights. The last group may be shorter.
 * @param {Codec} format
 * @param {ArrayLike<number>} weights
 * @returns {QuantizedRow}
 */
export function quantize(format, weights) {
  const row = Float32Array.from(weights);
  const size = format.size || row.length;
  const { encode } = format;
  const parts = encode
    ? cutGroups(row, size).map((group) => encode(group))
    : (format.encodeAll?.(row) ?? []);
  const decoded = new Float32Array(row.length);
  let first = 0;
  const groups = parts.map((part) => {
    const group = { ...part, first };
    part.values.forEach((value, i) => {
      decoded[first + i] = f32(part.scale * (value - (part.zeroPoint ?? 0)));
    });
    first += part.values.length;
    return group;
  });
  const bytes = bytesOf(format, row.length) + (format.sharedBytes ?? 0);
  return {
    groups,
    codes: groups.flatMap((g) => g.codes),
    decoded,
    bytes,
    bitsPerWeight: (8 * bytes) / row.length,
  };
}

/**
 * @param {Codec | GroupCodec} format
 * @param {number} count
 */
function bytesOf(format, count) {
  if (format.size || !("bytesFor" in format)) {
    return Math.ceil(count / format.size) * format.bytes;
  }
  return format.bytesFor(count);
}

/**
 * Mean of |error / weight| over the weights that are not 0, the mean squared error, and the squared
 * error as a fraction of the squared weights.
 * @param {ArrayLike<number>} weights
 * @param {ArrayLike<number>} decoded
 */
export function errorsOf(weights, decoded) {
  let relative = 0;
  let squared = 0;
  let power = 0;
  let count = 0;
  for (let i = 0; i < weights.length; i++) {
    const error = decoded[i] - weights[i];
    squared += error * error;
    power += weights[i] * weights[i];
    if (weights[i] !== 0) {
      relative += Math.abs(error / weights[i]);
      count += 1;
    }
  }
  return {
    relative: count ? relative / count : 0,
    squared: squared / weights.length,
    share: power ? squared / power : 0,
  };
}

/**
 * The same format with a scale (and zero point) set by hand; formats with a rule only.
 * @param {GroupCodec} format
 * @param {GivenScale} given
 * @returns {GroupCodec}
 */
export function withScale(format, given) {
  /** @type {GroupCodec} */
  const changed = {
    ...format,
    given,
    encode: (weights) => RULES[format.rule](Float32Array.from(weights), changed),
  };
  return changed;
}

/**
 * The value of each code of a group before scaling: [[code, value], …], in ascending order of values.
 * @param {Codec | GroupCodec} format
 * @param {EncodedGroup} group
 * @returns {[number, number][]}
 */
export function levelsOf(format, group) {
  return unsortedLevels(format, group).sort((a, b) => a[1] - b[1]);
}

/**
 * @param {Codec | GroupCodec} format
 * @param {EncodedGroup} group
 * @returns {[number, number][]}
 */
function unsortedLevels(format, group) {
  const { rule } = format;
  const element = ("element" in format && format.element) || FLOATS.FP4_E2M1;
  const half = 2 ** (format.bits - 1);
  if (rule === "ASYM") return integersBetween(-half, half - 1);
  if (rule === "SYM") return integersBetween(1 - half, half - 1);
  if (rule === "NF4") return Array.from(NF4_VALUES, (value, q) => [q, value]);
  if (rule === "MXINT") return integersBetween(-127, 127).map(([q]) => [q, q / 64]);
  if (format.name === "IQ4_NL") return Array.from(IQ4_VALUES, (value, q) => [q, value]);
  if (/^Q\d_0$/.test(format.name)) {
    return integersBetween(format.bits === 8 ? -127 : -half, half - 1);
  }
  if (format.name === "MXFP4" || format.name === "NVFP4") {
    return finiteLevels(FLOATS.FP4_E2M1).map(([q, value]) => [q, 2 * value]);
  }
  const levels = finiteLevels(element);
  if (rule === "M0" && group.special !== undefined) levels.push([8, group.special]);
  return levels;
}

/**
 * @param {number} low
 * @param {number} high
 * @returns {[number, number][]}
 */
function integersBetween(low, high) {
  return Array.from({ length: high - low + 1 }, (_, i) => [low + i, low + i]);
}

/**
 * @param {FloatType} type
 * @returns {[number, number][]}
 */
function finiteLevels(type) {
  return Array.from({ length: 2 ** type.bits }, (_, q) => pair(q, decodeFloat(type, q))).filter(
    ([, value]) => Number.isFinite(value) && !Object.is(value, -0),
  );
}

/**
 * @param {number} code
 * @param {number} value
 * @returns {[number, number]}
 */
const pair = (code, value) => [code, value];

/** The formats that pages offer, in the order of their menus. */
export const OFFERED = [
  "INT8_SYM",
  "INT8_ASYM",
  "INT6_SYM",
  "INT6_ASYM",
  "INT5_SYM",
  "INT5_ASYM",
  "INT4_SYM",
  "INT4_ASYM",
  "INT3_SYM",
  "INT3_ASYM",
  "INT2_SYM",
  "INT2_ASYM",
  "FP8_E4M3",
  "FP8_E5M2",
  "FP6_E2M3",
  "FP6_E3M2",
  "FP4_E2M1",
  "FP4_E2M1_M0_5",
  "FP4_E2M1_M0_PM5",
  "NF4",
  "MXFP8_E4M3",
  "MXFP6_E3M2",
  "MXFP4_OCP",
  "MXINT8",
  "NVFP4_TENSOR",
  "Q8_0",
  "Q5_0",
  "Q4_0",
  "IQ4_NL",
  "MXFP4",
  "NVFP4",
];

/**
 * The full name of an offered format with groups of `size` weights (0: the whole row).
 * @param {string} kind
 * @param {number} size
 */
export function fullName(kind, size) {
  return /^(MX|NV|Q\d|IQ)/.test(kind) ? kind : `${kind}_${size ? `G${size}` : "ROW"}`;
}
