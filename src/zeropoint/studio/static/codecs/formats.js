// What formats do to numbers, in JavaScript: the same bits as zeropoint.formats.
//
// A twin of Python's encoders, so that a page on a disk can quantize while a hand moves a slider.
// Tests hold both to each other on random weights and on every code. float32 arithmetic is
// Math.fround around every operation, in Python's order.

const f32 = Math.fround;
const LARGEST = 2 ** 126; // larger weights are stored as this, so that nothing decodes to infinity

// Number types -------------------------------------------------------------------------------

function floatType(name, exponentBits, mantissaBits, specials) {
  const bits = 1 + exponentBits + mantissaBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  const beyond = { none: 0, nan: 1, ieee: 2 ** mantissaBits }[specials];
  const maxCode = 2 ** (bits - 1) - 1 - beyond;
  const type = { name, exponentBits, mantissaBits, specials, bits, bias, maxCode };
  type.max = decodeFloat(type, maxCode);
  type.smallestNormal = 2 ** (1 - bias);
  type.smallest = 2 ** (1 - bias - mantissaBits);
  type.stepAtOne = 2 ** -mantissaBits;
  type.maxExponent = (maxCode >>> mantissaBits) - bias;
  return type;
}

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

/** The value of a code: NaN and infinity where the code says so. */
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

/** Round to a code: to nearest, ties to the even mantissa; beyond the largest it is the largest. */
export function encodeFloat(type, value) {
  const magnitude = Math.min(Math.abs(value), 2 * type.max);
  const lowest = 1 - type.bias;
  const exponent = exponentOf(Math.max(magnitude, type.smallestNormal));
  const steps = rint(scaleBy(magnitude, type.mantissaBits - exponent));
  const code = Math.min((exponent - lowest) * 2 ** type.mantissaBits + steps, type.maxCode);
  return (value < 0 || Object.is(value, -0) ? 2 ** (type.bits - 1) : 0) + code;
}

/** The next smaller and the next larger number that the type holds, or null at its ends. */
export function neighbours(type, code) {
  const half = 2 ** (type.bits - 1);
  // On the line of all codes, ±0 is one place: …, −2, −1, 0, 1, 2, …
  const place = code >= half ? half - code : code;
  const at = (p) => (Math.abs(p) > type.maxCode ? null : decodeFloat(type, p < 0 ? half - p : p));
  return [at(place - 1), at(place + 1)];
}

/** How many codes of a type mean a number of magnitude below `limit`, −0 counted. */
export function codesWithin(type, limit) {
  return 2 * placeOf(type, limit);
}

/** How many numbers x with low ≤ x < high a type holds. */
export function countBetween(type, low, high) {
  return placeOf(type, high) - placeOf(type, low);
}

function placeOf(type, x) {
  // The number of values below x, counted from 0: exact, because the codes are in order.
  if (x === 0) return 0;
  let code = encodeFloat(type, Math.abs(x));
  const value = decodeFloat(type, code);
  if (x > 0) return value < x ? code + 1 : code;
  return value <= -x ? -code : -code + 1;
}

function exponentOf(x) {
  // floor(log2 x) for x > 0, exactly
  view.setFloat64(0, x);
  const field = (view.getUint16(0) >> 4) & 2047;
  return field ? field - 1023 : exponentOf(x * 2 ** 60) - 60;
}

function scaleBy(x, power) {
  // x · 2^power, where 2^power alone could overflow
  const half = Math.trunc(power / 2);
  return x * 2 ** half * 2 ** (power - half);
}

const view = new DataView(new ArrayBuffer(8));

/** Round to the nearest whole number, ties to even. */
export function rint(x) {
  const floor = Math.floor(x),
    rest = x - floor;
  if (rest < 0.5) return floor;
  if (rest > 0.5) return floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

const clip = (x, low, high) => Math.min(Math.max(x, low), high);

// Tables -------------------------------------------------------------------------------------

export const NF4_VALUES = Float32Array.of(
  -1,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1,
);
export const IQ4_VALUES = Float32Array.of(
  -127,
  -104,
  -83,
  -65,
  -49,
  -35,
  -22,
  -10,
  1,
  13,
  25,
  38,
  53,
  69,
  89,
  113,
);
const E2M1_DOUBLED = Float32Array.of(0, 1, 2, 3, 4, 6, 8, 12);

function middles(table) {
  return Float32Array.from(table.subarray(1), (value, i) => f32(f32(value + table[i]) / 2));
}

function search(sorted, x) {
  // how many entries are below x
  let low = 0,
    high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < x) low = middle + 1;
    else high = middle;
  }
  return low;
}

// Plain formats: one scale by a rule ------------------------------------------------------------

/** (weights of a group, format) → {scale, zeroPoint?, codes, values} */
const RULES = {
  SYM(weights, format) {
    const highest = 2 ** (format.bits - 1) - 1;
    const scale = chosen(format, absmax(weights) / highest);
    const codes = Array.from(weights, (w) => clip(rint(ratio(w, scale)), -highest, highest) + 0);
    return { scale, codes, values: codes };
  },
  ASYM(weights, format) {
    const low = -(2 ** (format.bits - 1)),
      high = -low - 1;
    const smallest = weights.reduce((a, w) => Math.min(a, w), 0);
    const largest = weights.reduce((a, w) => Math.max(a, w), 0);
    const scale = chosen(format, (largest - smallest) / (high - low));
    const zeroPoint =
      format.given?.zeroPoint ?? clip(rint(low - (scale > 0 ? smallest / scale : 0)), low, high);
    const codes = Array.from(weights, (w) => clip(rint(ratio(w, scale)) + zeroPoint, low, high));
    return { scale, zeroPoint, codes, values: codes };
  },
  FLOAT(weights, format) {
    const scale = chosen(format, absmax(weights) / format.element.max);
    return floats(weights, scale, format.element);
  },
  NF4(weights, format) {
    const scale = chosen(format, absmax(weights));
    const codes = Array.from(weights, (w) => search(NF4_MIDDLES, ratio(w, scale)));
    return { scale, codes, values: codes.map((q) => NF4_VALUES[q]) };
  },
  M0(weights, format) {
    const scale = chosen(format, absmax(weights) / 6);
    const ratios = Float32Array.from(weights, (w) => ratio(w, scale));
    const special = f32(format.both ? betterSign(ratios, format.special) : format.special);
    const codes = Array.from(ratios, (r) => withSpecial(r, special));
    const values = codes.map((q) => (q === 8 ? special : decodeFloat(FLOATS.FP4_E2M1, q)));
    return { scale, codes, values, special };
  },
  MX(weights, format) {
    const scale = powerOfTwo(weights, format.element.maxExponent);
    return floats(weights, scale, format.element);
  },
  MXINT(weights) {
    const scale = powerOfTwo(weights, 0);
    const codes = Array.from(weights, (w) => clip(rint(f32(ratio(w, scale) * 64)), -127, 127) + 0);
    return { scale, codes, values: codes.map((q) => q / 64) };
  },
};
const NF4_MIDDLES = middles(NF4_VALUES);

/** The scale set by hand (see `withScale`), or the rule's, of a part `clip` of the range, as stored. */
function chosen(format, scale) {
  return format.given?.scale ?? format.stored(scale * (format.given?.clip ?? 1));
}

function floats(weights, scale, element) {
  const codes = Array.from(weights, (w) => encodeFloat(element, ratio(w, scale)));
  return { scale, codes, values: codes.map((q) => decodeFloat(element, q)) };
}

function absmax(weights) {
  return weights.reduce((a, w) => Math.max(a, Math.abs(w)), 0);
}

function ratio(w, scale) {
  return scale > 0 ? f32(w / scale) : 0;
}

/** Round a scale > 0 to the float16 or float32 it is stored as; it stays positive and finite. */
function storedScale(bytes) {
  const [max, least] = bytes === 2 ? [65504, 2 ** -24] : [3.4028234663852886e38, 2 ** -149];
  return (scale) => {
    if (!(scale > 0)) return 0;
    const cut = Math.min(scale, max);
    return Math.max(
      bytes === 2 ? decodeFloat(FLOATS.F16, encodeFloat(FLOATS.F16, cut)) : f32(cut),
      least,
    );
  };
}

function powerOfTwo(weights, valueExponent) {
  const largest = absmax(weights);
  return 2 ** (largest > 0 ? clip(exponentOf(largest) - valueExponent, -127, 127) : -127);
}

function withSpecial(r, special) {
  let code = encodeFloat(FLOATS.FP4_E2M1, r);
  if (code === 8) code = 0; // a small negative number rounds to −0, which is taken
  const usual = Math.abs(f32(r - decodeFloat(FLOATS.FP4_E2M1, code)));
  return Math.abs(f32(r - special)) < usual ? 8 : code;
}

function betterSign(ratios, special) {
  const gain = (value) =>
    halvingSum(
      Array.from(ratios, (r) => {
        const usual = f32(r - decodeFloat(FLOATS.FP4_E2M1, encodeFloat(FLOATS.FP4_E2M1, r)));
        return Math.max(usual ** 2 - f32(r - value) ** 2, 0);
      }),
    );
  return gain(-special) > gain(special) ? -special : special;
}

function halvingSum(terms) {
  while (terms.length > 1) {
    const half = Math.ceil(terms.length / 2);
    terms = terms.slice(0, half).map((t, i) => (half + i < terms.length ? t + terms[half + i] : t));
  }
  return terms[0];
}

// ggml's formats: the scale with the least error, searched as zeropoint's encoders do ---------------

function integers(low, high) {
  return { nearest: (r) => rint(clip(r, low, high)), code: (v) => v };
}

function tabled(table) {
  const between = middles(table);
  return { nearest: (r) => table[search(between, r)], code: (v) => table.indexOf(v) };
}

const doubled = {
  nearest(r) {
    const magnitude = Math.min(Math.abs(r), 12);
    const exponent = magnitude < 4 ? 1 : exponentOf(magnitude);
    const step = 2 ** (exponent - 1);
    const level = rint(magnitude / step) * step;
    return r < 0 || Object.is(r, -0) ? -level : level;
  },
  code: (v) => E2M1_DOUBLED.indexOf(Math.abs(v)) + (v < 0 ? 8 : 0),
};

const SEARCHES = {
  Q4_0: { levels: integers(-8, 7), ends: [-8, 7], ratio: 1.1, count: 12, first: 0.6, tail: 3 },
  Q5_0: {
    levels: integers(-16, 15),
    ends: [-16, 15],
    ratio: 1.056,
    count: 20,
    first: 0.6,
    tail: 3,
  },
  Q8_0: {
    levels: integers(-127, 127),
    ends: [127],
    ratio: 1.0075,
    count: 24,
    first: 0.85,
    tail: 0,
    unsigned: true,
  },
  IQ4_NL: {
    levels: tabled(IQ4_VALUES),
    ends: [-127, 113],
    ratio: 1.072,
    count: 16,
    first: 0.6,
    tail: 3,
  },
};

class Group {
  constructor(weights) {
    const at = weights.reduce((a, w, i) => (Math.abs(w) > Math.abs(weights[a]) ? i : a), 0);
    const largest = Math.abs(weights[at]);
    this.exponent = largest > 0 ? clip(exponentOf(largest) + 1, -125, 126) : -125;
    this.weights = Float32Array.from(weights, (w) => w * 2 ** -this.exponent);
    this.peak = this.weights[at];
  }

  error(scale, levels) {
    const inverse = reciprocal(scale);
    let total = 0;
    for (const w of this.weights) {
      const rest = f32(w - f32(scale * levels.nearest(f32(w * inverse))));
      total = f32(total + f32(rest * rest));
    }
    return total;
  }

  levels(scale, levels) {
    const inverse = reciprocal(scale);
    return Array.from(this.weights, (w) => levels.nearest(f32(w * inverse)));
  }
}

function reciprocal(scale) {
  return Math.abs(scale) >= 2 ** -120 ? f32(1 / scale) : 0;
}

function factors({ first, ratio, count, tail }) {
  const found = [];
  for (const [start, step, n] of [
    [first, ratio, count],
    [2.2, 1.8, tail],
  ]) {
    let factor = f32(start);
    for (let i = 0; i < n; i++) {
      found.push(factor);
      factor = f32(factor * f32(step));
    }
  }
  return found;
}

function searchScale(weights, how) {
  const group = new Group(weights),
    { levels } = how;
  const peak = how.unsigned ? Math.abs(group.peak) : group.peak;
  const best = { saved: 0, inverse: 0, scale: 0 };
  const improve = (inverse) => {
    let product = 0,
      square = 0;
    for (const w of group.weights) {
      const level = levels.nearest(f32(w * inverse));
      product = f32(product + f32(w * level));
      square = f32(square + f32(level * level));
    }
    const scale = square ? f32(product / square) : 0;
    const saved = f32(scale * product);
    if (saved > best.saved) Object.assign(best, { saved, inverse, scale });
  };
  for (const end of how.ends) {
    for (const factor of factors(how)) improve(f32(f32(end * factor) * reciprocal(peak)));
  }
  const centre = best.inverse,
    step = f32((how.ratio - 1) / 5);
  for (const fine of [-4, -3, -2, -1, 1, 2, 3, 4]) improve(f32(centre * f32(1 + f32(fine * step))));
  for (let i = 0; i < 2; i++) improve(reciprocal(best.scale));
  const bits = toF16(f32(best.scale * 2 ** group.exponent));
  const magnitude = bits & 0x7fff;
  const plain = toF16(f32(f32(peak / how.ends[0]) * 2 ** group.exponent));
  let chosen = bits,
    least = Infinity;
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

function toF16(x) {
  return encodeFloat(FLOATS.F16, x);
}

function inUnits(bits, group) {
  return f32(decodeFloat(FLOATS.F16, bits) * 2 ** -group.exponent);
}

function searchByte(group, candidates) {
  let least = Infinity,
    byte = 0,
    chosen = 0;
  for (const [candidate, scale] of candidates) {
    const error = group.error(scale, doubled);
    if (error < least) [least, byte, chosen] = [error, candidate, scale];
  }
  const values = group.levels(chosen, doubled);
  return { byte, codes: values.map(doubled.code), values: values.map((v) => v + 0) };
}

function encodeMXFP4(weights) {
  const group = new Group(weights),
    peak = Math.abs(group.peak);
  const exponent = group.exponent + (peak > 0 ? clip(exponentOf(peak) + 1, -125, 126) : -125);
  const candidates = [0, 1, 2, 3, 4, 5, 6, 7].map((less) => {
    const byte = clip(exponent + 125 - less, 0, 252);
    return [byte, f32(2 ** (byte - 128 - group.exponent))];
  });
  const found = searchByte(group, candidates);
  return { ...found, scale: 2 ** (found.byte - 128) };
}

const HALF_UE4M3 = Float32Array.from({ length: 127 }, (_, code) => {
  const exponent = (code >> 3) & 15,
    mantissa = code & 7;
  return ((exponent ? 1 : 0) + mantissa / 8) * 2 ** (Math.max(exponent, 1) - 8);
});

function encodeNVFP4(weights) {
  const group = new Group(weights);
  const needed = f32(f32(Math.abs(group.peak) * 2 ** group.exponent) / 12);
  let middle = 0;
  while (middle < 126 && HALF_UE4M3[middle + 1] <= needed) middle++;
  const candidates = [[0, 0]];
  for (let less = 0; less < 24; less++) {
    const byte = clip(middle + 7 - less, 1, 126);
    candidates.push([byte, f32(HALF_UE4M3[byte] * 2 ** -group.exponent)]);
  }
  const found = searchByte(group, candidates);
  return { ...found, scale: HALF_UE4M3[found.byte] };
}

// Names ----------------------------------------------------------------------------------------

const NAMED = {
  Q4_0: { bits: 4, size: 32, bytes: 18, encode: (w) => searchScale(w, SEARCHES.Q4_0) },
  Q5_0: { bits: 5, size: 32, bytes: 22, encode: (w) => searchScale(w, SEARCHES.Q5_0) },
  Q8_0: { bits: 8, size: 32, bytes: 34, encode: (w) => searchScale(w, SEARCHES.Q8_0) },
  IQ4_NL: { bits: 4, size: 32, bytes: 18, encode: (w) => searchScale(w, SEARCHES.IQ4_NL) },
  MXFP4: { bits: 4, size: 32, bytes: 17, encode: encodeMXFP4 },
  NVFP4: { bits: 4, size: 16, bytes: 9, encode: encodeNVFP4 },
};

/** Find a format by its name; null if these pages do not know it. */
export function findFormat(name) {
  if (NAMED[name]) return { name, ...NAMED[name] };
  if (["F32", "F16", "BF16"].includes(name)) {
    const element = FLOATS[name];
    const encode = (weights) => {
      const codes = Array.from(weights, (w) => encodeFloat(element, w));
      return { scale: 1, codes, values: codes.map((q) => decodeFloat(element, q)) };
    };
    return { name, bits: element.bits, size: 1, bytes: element.bits / 8, encode, alone: true };
  }
  if (name === "NVFP4_TENSOR") return nvfp4Tensor();
  if (name === "MXINT8") return grouped(name, "MXINT", 8, 32, 1);
  const mx = name === "MXFP4_OCP" ? "FP4_E2M1" : name.replace(/^MX/, "");
  if (name.startsWith("MX") && FLOATS[mx]) {
    return grouped(name, "MX", FLOATS[mx].bits, 32, 1, { element: FLOATS[mx] });
  }
  const found = /^(.+)_(G[1-9]\d{0,8}|ROW|TENSOR)$/.exec(name);
  if (!found) return null;
  const [, kind, share] = found;
  const size = share[0] === "G" ? Number(share.slice(1)) : 0; // 0: all of them
  const scaleBytes = size ? 2 : 4;
  const integer = /^INT([2-8])_(SYM|ASYM)$/.exec(kind);
  if (integer) {
    const extra = integer[2] === "ASYM" ? 1 : 0;
    return grouped(name, integer[2], Number(integer[1]), size, scaleBytes, {}, extra);
  }
  if (/^FP[864]_E\dM\d$/.test(kind) && FLOATS[kind]) {
    return grouped(name, "FLOAT", FLOATS[kind].bits, size, scaleBytes, { element: FLOATS[kind] });
  }
  if (kind === "NF4") return grouped(name, "NF4", 4, size, scaleBytes);
  const zero = /^FP4_E2M1_M0_(PM)?(-?\d{1,2}(?:\.\d{1,3})?)$/.exec(kind);
  if (!zero) return null;
  return grouped(name, "M0", 4, size, scaleBytes, { special: Number(zero[2]), both: !!zero[1] });
}

function grouped(name, rule, bits, size, scaleBytes, more = {}, extra = 0) {
  const format = { name, bits, size, rule, stored: storedScale(scaleBytes), ...more };
  format.bytesFor = (count) => scaleBytes + extra + Math.ceil((count * bits) / 8);
  format.bytes = size ? format.bytesFor(size) : 0;
  format.encode = (weights) =>
    RULES[rule](
      Float32Array.from(weights, (w) => clip(w, -LARGEST, LARGEST)),
      format,
    );
  return format;
}

function nvfp4Tensor() {
  const e4m3 = FLOATS.FP8_E4M3,
    e2m1 = FLOATS.FP4_E2M1;
  const encodeAll = (weights) => {
    const shared = storedScale(4)(absmax(weights) / (448 * 6));
    const units = Float32Array.from(weights, (w) => ratio(w, shared));
    return cut(units, 16).map((group) => {
      const wanted = absmax(group) / 6;
      const code = Math.max(encodeFloat(e4m3, wanted), wanted > 0 ? 1 : 0);
      const own = decodeFloat(e4m3, code);
      return { ...floats(group, own, e2m1), scale: f32(shared * own) };
    });
  };
  return { name: "NVFP4_TENSOR", bits: 4, size: 16, bytes: 9, sharedBytes: 4, encodeAll };
}

function cut(weights, size) {
  const groups = [];
  for (let at = 0; at < weights.length; at += size) groups.push(weights.subarray(at, at + size));
  return groups;
}

/**
 * Quantize a row of weights: {groups: [{first, scale, zeroPoint?, codes, values, special?}],
 * codes, decoded (Float32Array), bytes, bitsPerWeight}. The last group may be shorter.
 */
export function quantize(format, weights) {
  const row = Float32Array.from(weights);
  const size = format.size || row.length;
  const parts = format.encodeAll ? format.encodeAll(row) : cut(row, size).map(format.encode);
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
  const bytes =
    (format.size ? Math.ceil(row.length / size) * format.bytes : format.bytesFor(row.length)) +
    (format.sharedBytes ?? 0);
  return {
    groups,
    codes: groups.flatMap((g) => g.codes),
    decoded,
    bytes,
    bitsPerWeight: (8 * bytes) / row.length,
  };
}

/** Mean of |error / weight| over the weights that are not 0, and the mean squared error. */
export function errorsOf(weights, decoded) {
  let relative = 0,
    squared = 0,
    power = 0,
    count = 0;
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

/** The same format with a scale (and zero point) set by hand; plain formats with a rule only. */
export function withScale(format, given) {
  const changed = { ...format, given };
  changed.encode = (weights) => RULES[format.rule](Float32Array.from(weights), changed);
  return changed;
}

/** What each code of a group stands for, before the scale: [[code, value], …], ascending values. */
export function levelsOf(format, group) {
  let levels;
  const element = format.element ?? FLOATS.FP4_E2M1;
  const all = (type) =>
    Array.from({ length: 2 ** type.bits }, (_, q) => [q, decodeFloat(type, q)]).filter(
      ([, value]) => Number.isFinite(value) && !Object.is(value, -0),
    );
  const half = 2 ** (format.bits - 1);
  const between = (low, high) =>
    Array.from({ length: high - low + 1 }, (_, i) => [low + i, low + i]);
  if (format.rule === "ASYM") levels = between(-half, half - 1);
  else if (format.rule === "SYM") levels = between(1 - half, half - 1);
  else if (format.rule === "NF4") levels = Array.from(NF4_VALUES, (value, q) => [q, value]);
  else if (format.name === "IQ4_NL") levels = Array.from(IQ4_VALUES, (value, q) => [q, value]);
  else if (/^Q\d_0$/.test(format.name))
    levels = between(format.bits === 8 ? -127 : -half, half - 1);
  else if (format.name === "MXFP4" || format.name === "NVFP4") {
    levels = all(FLOATS.FP4_E2M1).map(([q, value]) => [q, 2 * value]);
  } else if (format.rule === "MXINT") levels = between(-127, 127).map(([q]) => [q, q / 64]);
  else {
    levels = all(element);
    if (format.rule === "M0") levels.push([8, group.special]);
  }
  return levels.sort((a, b) => a[1] - b[1]);
}

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

/** The full name of an offered format with groups of `size` weights (0: the whole row). */
export function fullName(kind, size) {
  return /^(MX|NV|Q\d|IQ)/.test(kind) ? kind : `${kind}_${size ? `G${size}` : "ROW"}`;
}
