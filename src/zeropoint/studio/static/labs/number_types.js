// The types of the number lab: floats, and tables under a scale.

import { decodeFloat, encodeFloat, neighbours } from "../codecs/floats.js";
import { formatOf, quantize } from "../codecs/formats.js";
import { IQ4_VALUES, NF4_VALUES } from "../codecs/nonlinear.js";

export const TABLES = {
  ...Object.fromEntries(
    [8, 6, 5, 4, 3, 2].map((bits) => [
      `INT${bits}`,
      {
        bits,
        format: `INT${bits}_SYM_ROW`,
        values: Array.from({ length: 2 ** bits }, (_, q) =>
          q < 2 ** (bits - 1) ? q : q - 2 ** bits,
        ),
      },
    ]),
  ),
  NF4: { bits: 4, format: "NF4_ROW", values: Array.from(NF4_VALUES) },
  IQ4_NL: { bits: 4, format: "IQ4_NL", values: Array.from(IQ4_VALUES) },
};

/** A float type with the methods that this page needs: decoding, encoding, neighbours. */
export function floatKind(type) {
  return {
    ...type,
    decode: (code) => decodeFloat(type, code),
    encode: (x) => encodeFloat(type, x),
    beside: (code) => neighbours(type, code),
  };
}

/** A table of values times the scale that these weights would have. */
export function tableKind(name, weights) {
  const { bits, format, values } = TABLES[name];
  const own = formatOf(format),
    row = format.endsWith("ROW") ? weights : weights.slice(0, own.size);
  const scale = quantize(own, row).groups[0].scale || 1;
  const numbers = values.map((v) => Math.fround(scale * v));
  const order = numbers.map((_, q) => q).sort((a, b) => numbers[a] - numbers[b]);
  const nearest = (x) =>
    order.reduce((a, q) => (Math.abs(numbers[q] - x) < Math.abs(numbers[a] - x) ? q : a));
  const at = (place) => (place >= 0 && place < order.length ? numbers[order[place]] : null);
  return {
    name,
    bits,
    scale,
    values,
    mantissaBits: bits,
    max: Math.max(...numbers),
    table: true,
    decode: (code) => numbers[code],
    encode: nearest,
    beside: (code) => [at(order.indexOf(code) - 1), at(order.indexOf(code) + 1)],
  };
}
