// The stages of one dot product, drawn: memory, registers, activations, sums, scales, total.

import { h } from "../lib/dom.js";
import { format, percent } from "../lib/format.js";
import { value } from "../lib/table.js";
import { amounts, bars, growing, lanes, register } from "./lanes.js";

export const UNIT = 32;

const LANES = { avx512: 16, avx2: 8 }; // 32-bit lanes of a register; 4 on other machines

const HOW = {
  avx512:
    "One instruction (vpdpbusd) multiplies the four pairs of every lane and adds them to its 32 bits.",
  avx2: "The pairs of a lane are multiplied and added to 16 bits (vpmaddubsw), two of these to its 32 (vpmaddwd).",
  baseline: "Codes are widened to 16 bits; pairs are multiplied and added to 32 (pmaddwd).",
};

export const STEPS = {
  integers: [
    ["memory", "memory"],
    ["registers", "registers"],
    ["activations", "activations"],
    ["sums", "32-bit sums"],
    ["scales", "scales"],
    ["total", "total"],
    ["bytes", "bytes"],
  ],
  floats: [
    ["memory", "memory"],
    ["registers", "registers"],
    ["activations", "activations"],
    ["sums", "sums"],
    ["total", "total"],
    ["bytes", "bytes"],
  ],
};

export function kindOf(one) {
  return one.codes ? "integers" : "floats";
}

export function note(...parts) {
  return h("p", { class: "told" }, parts);
}

const hex = (byte) => byte.toString(16).padStart(2, "0");

const bitsOf = (one) => one.bits_per_weight;

function memory({ plot, one, chosen }) {
  const { block } = one;
  const whole = `The row’s ${one.columns} weights take ${one.row_bytes} bytes, ${format(bitsOf(one), 4)} bits each.`;
  if (!block) return [note(`${whole} A block of this format is the whole row.`)];
  const own = block.own[chosen] ?? [],
    shared = own.length ? Math.max(...own.map((bit) => block.owners[bit])) : 0;
  const cells = Array.from(block.bytes, (byte, i) => {
    const bits = own.filter((bit) => bit >> 3 === i).map((bit) => bit & 7);
    const scale = block.owners.subarray(8 * i, 8 * i + 8).some((n) => n > 8);
    return {
      text: hex(byte),
      bits,
      kind: scale ? "scale" : "stored",
      name: `byte ${i}: ${hex(byte)}, ${scale ? "of scales" : "of codes"}`,
    };
  });
  return [
    lanes(plot, `The ${cells.length} bytes of the block, as they lie in memory`, cells, {
      bits: 8,
      start: "b",
    }),
    note(
      `${whole} These ${cells.length} bytes hold ${block.weights} of them: `,
      h("i", { class: "swatch s-stored" }),
      "codes",
      cells.some((c) => c.kind === "scale")
        ? [" and ", h("i", { class: "swatch s-scale" }), "scales that they share"]
        : "",
      own.length
        ? [
            ". Underlined: the ",
            h("b", {}, `${own.length} bit${own.length > 1 ? "s" : ""}`),
            ` of column ${
              one.first + chosen
            }${shared > 1 ? `, some of which ${shared} weights share` : ""}.`,
          ]
        : ". This weight has no bits of its own here.",
    ),
  ];
}

function registers({ plot, one, chosen, pick, row }) {
  const count = LANES[one.variant] ?? 4,
    signed = one.zero_point === 0;
  return [
    lanes(
      plot,
      "32 codes, unpacked to 8 bits each",
      Array.from(one.codes, (q, i) => ({
        text: q,
        kind: "code",
        name: `column ${one.first + i}: code ${q}`,
      })),
      { bits: 8, frame: 32, chosen, pick, start: "q" },
    ),
    register(plot, count, row % count),
    note(
      `${bytesOf(one)} bytes have become 32: every code has 8 bits now, four codes to a lane of 32 bits, eight registers. The other ` +
        `${count - 1} lanes of a register are the rows beside this one: ${count} rows are multiplied at once. `,
      h(
        "span",
        { class: "formula" },
        `code ${one.codes[chosen]}`,
        signed ? "" : ` − zero point ${one.zero_point} = ${one.codes[chosen] - one.zero_point}`,
      ),
    ),
  ];
}

function bytesOf(one) {
  return format((one.weights.length * bitsOf(one)) / 8, 3);
}

function activations({ plot, one, chosen, pick }) {
  const largest = Math.max(...Array.from(one.x, Math.abs)),
    x = one.x[chosen],
    q = one.activation_codes[chosen];
  return [
    bars(plot, "32 activations as float32", one.x, chosen),
    lanes(
      plot,
      "The same, rounded to 8 bits",
      Array.from(one.activation_codes, (a, i) => ({
        text: minus(a),
        kind: "act",
        name: `column ${one.first + i}: ${a}`,
      })),
      { bits: 8, frame: 32, chosen, pick, start: "a" },
    ),
    note(
      "The activations come as float32 and are rounded once, for all rows: the largest of these 32, ",
      format(largest, 4),
      ", becomes ±127, so their scale is ",
      h("b", {}, value("activation-scale", one.activation_scale)),
      ". ",
      h(
        "span",
        { class: "formula" },
        `${format(x, 4)} ∕ ${format(one.activation_scale, 4)} → ${minus(q)}, which stands for ${format(
          q * one.activation_scale,
          4,
        )}`,
      ),
    ),
  ];
}

function sums({ plot, one, chosen }) {
  const products = Array.from(one.codes, (q, i) => (q - one.zero_point) * one.activation_codes[i]);
  const groups = one.dots.length,
    each = products.length / groups;
  return [
    bars(plot, "32 products of integers", products, chosen, minus),
    lanes(
      plot,
      "Their sums, in 32 bits",
      Array.from(one.dots, (n, g) => ({ text: minus(n), kind: "sum", name: `sum ${g + 1}: ${n}` })),
      { bits: 32, start: "n" },
    ),
    note(
      `${minus(one.codes[chosen] - one.zero_point)} × ${minus(one.activation_codes[chosen])} = `,
      h("b", {}, minus(products[chosen])),
      `. ${HOW[one.variant] ?? ""} `,
      one.zero_point
        ? `The zero point is taken off beforehand, by ` +
            `starting at −${one.zero_point} × the sum of the activations: ${Array.from(one.starts, minus).join(" and ")}. `
        : "",
      `${groups === 1 ? "The sum of all 32" : `The sums of each ${each}, which have a scale of their own,`} `,
      groups === 1 ? "is " : "are ",
      one.dots.length === 1
        ? h("b", {}, value("dot", one.dots[0], minus(one.dots[0])))
        : [
            h("b", {}, value("dot", one.dots[0], minus(one.dots[0]))),
            " and ",
            h("b", {}, value("dot-2", one.dots[1], minus(one.dots[1]))),
          ],
      ": exact, nothing has been rounded since the activations were.",
    ),
  ];
}

function scales({ one, t }) {
  const before = one.unit ? one.totals[one.unit - 1] : 0;
  const parts = Array.from(one.dots, (n, g) =>
    h(
      "span",
      { class: "formula" },
      g ? "+ " : "",
      `${minus(n)} × `,
      value(`scale${g ? "-2" : ""}`, one.scales[g], format(one.scales[g], 5)),
      " × ",
      value("activation-scale", one.activation_scale, format(one.activation_scale, 5)),
      ` = ${format(n * one.scales[g] * one.activation_scale, 6)}`,
    ),
  );
  const least = one.minimums
    ? Array.from(one.minimums, (m, g) =>
        h(
          "span",
          { class: "formula" },
          "+ ",
          value(`minimum${g ? "-2" : ""}`, m, format(m, 5)),
          " × ",
          format(one.activation_sums[g], 5),
          ` = ${format(m * one.activation_sums[g], 6)}`,
        ),
      )
    : [];
  return [
    h(
      "p",
      { class: "steps-of" },
      parts,
      least,
      h(
        "span",
        { class: "formula strong" },
        `total: ${format(before, 6)} → `,
        value("total", one.totals[one.unit], format(one.totals[one.unit], 6)),
      ),
    ),
    note(
      `Sum × the scale of the weights × the scale of the activations, in float32, once for all ${
        one.codes.length / one.dots.length
      } weights that share a scale.${
        least.length
          ? " The block’s minimum is the same for all its weights, so it is multiplied once, with the " +
            "sum of the activations."
          : ""
      }${one.format !== t.format ? ` The row was written in ${one.format} for this.` : ""}`,
    ),
  ];
}

function total({ plot, one, unit }) {
  const off = Math.abs(one.result - one.exact),
    rounded = one.codes ? "8-bit activations" : "rounding in float32";
  return [
    growing(plot, one.totals, one.unit, unit),
    note(
      `Unit after unit the total grows, in one order always: after ${one.totals.length} units it is `,
      h("b", {}, value("result", one.result, format(one.result, 7))),
      ", bit for bit what the product itself returns. With the same weights and nothing rounded " +
        "it would be ",
      value("exact", one.exact, format(one.exact, 7)),
      `: ${rounded} moved it by ${format(off, 3)}`,
      one.exact ? `, ${percent(off / Math.abs(one.exact), 2)}.` : ".",
    ),
  ];
}

function moved({ plot, one }) {
  const n = one.columns,
    wide = one.codes ? 1 : 4;
  return [
    amounts(plot, [
      ["weights, from memory, for this row alone", one.row_bytes, ""],
      ["the same in registers, where they are multiplied", n * wide, "second"],
      [
        `activations ${one.codes ? "with their scales" : ""}, in cache, read once for all rows`,
        one.codes ? n + 4 * one.totals.length : 4 * n,
        "ghost",
      ],
      ["the result", 4, ""],
    ]),
    note(
      `${n} products for ${one.row_bytes} bytes of memory, ${format(n / one.row_bytes, 3)} for each: when one token is generated ` +
        "every weight is fetched for a single product, so memory sets the speed. A prompt uses what was unpacked for all its tokens, " +
        "and then arithmetic does.",
    ),
  ];
}

function widened({ plot, one, chosen, pick }) {
  const kept = one.kept_as === one.format;
  return [
    lanes(
      plot,
      "32 weights as float32",
      Array.from(one.weights, (w, i) => ({
        text: format(w, 3),
        kind: "code",
        name: `column ${one.first + i}: ${format(w)}`,
      })),
      { bits: 32, chosen, pick, start: "q" },
    ),
    note(
      kept
        ? one.format === "F32"
          ? "They are float32 already, and multiplied as they are."
          : `Each ${one.format} becomes the float32 of the same value, in registers: exact.`
        : `zeropoint has no kernel for ${one.format}: the matrix is decoded to float32 when ` +
            "the model is loaded, and then takes 4 bytes a weight.",
    ),
  ];
}

function floats({ plot, one, chosen, pick }) {
  return [
    lanes(
      plot,
      "32 activations as float32",
      Array.from(one.x, (x, i) => ({
        text: format(x, 3),
        kind: "act",
        name: `column ${one.first + i}: ${format(x)}`,
      })),
      { bits: 32, chosen, pick, start: "a" },
    ),
    note("They stay float32: with weights that are floats nothing is rounded to integers."),
  ];
}

function chain({ plot, one, chosen }) {
  const sum = one.chains.at(-1),
    before = one.unit ? one.totals[one.unit - 1] : 0;
  return [
    bars(plot, "The sum after each product", one.chains, chosen),
    note(
      `Product after product, in the order of the columns, is added to a float32: after this one it is `,
      h("b", {}, value("chain", one.chains[chosen])),
      ", after all ",
      value("dot", sum),
      `, which is added to the total: ${format(before, 6)} → `,
      value("total", one.totals[one.unit], format(one.totals[one.unit], 6)),
      one.variant === "baseline"
        ? ". Each step rounds twice: this " + "instruction set has no fused multiply-add."
        : ". Each step rounds once (fused multiply-add).",
    ),
  ];
}

export const STAGES = {
  integers: { memory, registers, activations, sums, scales, total, bytes: moved },
  floats: { memory, registers: widened, activations: floats, sums: chain, total, bytes: moved },
};

function minus(n) {
  return String(n).replace("-", "−");
}
