// One dot product as the kernel computes it: memory → registers → 8-bit lanes → 32-bit sums → scales → total.

import {
  announce,
  button,
  choice,
  fact,
  figureParts,
  format,
  h,
  numbers,
  percent,
  range,
  select,
  value,
} from "../lib/draw.js";
import { elements, tensorPicker } from "../figures/loss/histogram.js";
import { amounts, bars, growing, lanes, register } from "./lanes.js";
import { source } from "../lib/tensor_picker.js";
import { tell } from "../lib/server.js";

const UNIT = 32;
const KEPT = 60; // products that were asked for
const LANES = { avx512: 16, avx2: 8 }; // of 32 bits in a register; 4 elsewhere
const HOW = {
  avx512:
    "One instruction (vpdpbusd) multiplies the four pairs of every lane and adds them to its 32 bits.",
  avx2: "The pairs of a lane are multiplied and added to 16 bits (vpmaddubsw), two of these to its 32 (vpmaddwd).",
  baseline: "Codes are widened to 16 bits; pairs are multiplied and added to 32 (pmaddwd).",
};
const STEPS = {
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

export function mount(figure, data, state) {
  const found = new Map(); // what was asked → its answer, an Error, or undefined while it is computed
  let told = "Reading the row …";
  const get = (t, words) => {
    const address = `/api/models/${data.id}/tensors/${t.index}/product`,
      key = address + JSON.stringify(words);
    if (!found.has(key)) {
      found.set(key, undefined);
      if (found.size > KEPT) found.delete(found.keys().next().value);
      let last = null;
      tell(address, words, (record) => {
        last = record;
        told = record.loading
          ? `${record.loading} is being loaded, once …`
          : record.waiting
            ? "Another request is being computed …"
            : told;
        if (record.result === undefined) show();
      })
        .then(
          () => last,
          (error) => error,
        )
        .then((answer) => {
          found.set(key, answer);
          figure.dataset.drawn = "";
          show();
        });
    }
    return found.get(key);
  };
  const controls = makeControls(data, state, () => show());
  let before = null;
  const show = figureParts(figure, controls.elements, (plot) => {
    const spot = controls.spot();
    const one = get(spot.t, controls.words(spot));
    controls.sync(spot, one instanceof Error ? null : one);
    if (!one && !before) return { plot: [h("p", { class: "note" }, told)], table: null };
    if (one instanceof Error)
      return { plot: [h("p", { class: "problem" }, one.message)], table: null };
    const shown = one ?? before; // the one before stays until the next is there
    before = shown;
    if (one) figure.dataset.drawn = `${spot.t.name} ${spot.row} ${spot.column} ${shown.format}`;
    const chosen = Math.min(spot.column - shown.first, shown.weights.length - 1);
    const view = {
      plot,
      one: shown,
      chosen: Math.max(chosen, 0),
      row: spot.row,
      t: spot.t,
      pick: (i) => controls.pick(shown.first + i),
      unit: (u) => controls.pick(u * UNIT),
    };
    const steps = STEPS[kindOf(shown)],
      now = stepOf(shown, controls.step());
    return {
      plot: [
        one ? null : h("p", { class: "note" }, told),
        steps
          .slice(0, now + 1)
          .map(([name, title], i) =>
            stage(i + 1, title, i === now, STAGES[kindOf(shown)][name](view)),
          ),
      ]
        .flat()
        .filter(Boolean),
      reading: readingOf(shown, spot),
      table: () => tableOf(shown),
    };
  });
}

function kindOf(one) {
  return one.codes ? "integers" : "floats";
}

function stepOf(one, step) {
  return Math.min(Math.max(Math.round(step), 0), STEPS[kindOf(one)].length - 1);
}

function makeControls(data, state, onChange) {
  const picker = tensorPicker(data, state, "tensor", onChange);
  const place = state.scope("weights", { row: 0, column: 0 }, onChange); // that of the Weights lab
  const at = state.scope(
    "multiply",
    { step: 0, format: "", kind: "token", token: "", seed: 1, text: "The capital of France is" },
    onChange,
  );
  const put = (changes) => at.set(changes, { push: true });
  const box = (label, name, hear) => {
    const made = numbers({ label, name, onChange: ([x]) => hear(Math.round(x)) });
    made.classList.remove("wide");
    return made;
  };
  const row = box("Row", "row", (x) => place.set({ row: x }, { push: true }));
  const column = box("Column", "column", (x) => place.set({ column: x }, { push: true }));
  const unit = range({
    label: "Unit of 32 columns",
    min: 0,
    max: 1,
    step: 1,
    name: "unit",
    onInput: (u) => place.set({ column: Math.round(u) * UNIT }),
    onDone: () => place.set({}, { push: true }),
  });
  const codes = select({
    label: "In the format",
    name: "format",
    options: [["", "that it has in the file"], ...data.formats.map((name) => [name, name])],
    onChange: (x) => put({ format: x }),
  });
  const kind = choice({
    label: "Multiplied with",
    name: "kind",
    options: [
      ["token", "a token’s embedding"],
      ["text", "what the model computes"],
      ["seed", "random numbers"],
    ],
    onChange: (x) => put({ kind: x }),
  });
  const words = (key, label, most) => {
    const input = h("input", {
      type: "text",
      "data-control": key,
      "aria-label": label,
      maxlength: most,
      spellcheck: "false",
      placeholder: key === "token" ? "the" : "",
    });
    input.addEventListener("change", () => put({ [key]: input.value }));
    const element = h("div", { class: "control" }, h("span", { class: "note" }, label), input);
    element.set = (x) => {
      if (document.activeElement !== input) input.value = x;
    };
    return element;
  };
  const token = words("token", "Token (or #number)", 256),
    text = words("text", "Text; its last token counts", 2000);
  const seed = box("Seed", "seed", (x) => put({ seed: Math.min(Math.max(x, 0), 2 ** 32 - 1) }));
  let steps = null;
  const jumps = h("div", { class: "control" });
  const back = button("← back", "back", () => go(-1)),
    next = button("next step →", "next", () => go(1));
  const go = (by) => {
    const names = STEPS[steps];
    const to = Math.min(Math.max(Math.round(at.get("step")) + by, 0), names.length - 1);
    put({ step: to });
    announce(`Step ${to + 1}: ${names[to][1]}`);
  };
  let jump = null;
  const spot = () => {
    const t = picker.current(),
      columns = t.shape.at(-1),
      rows = elements(t) / columns;
    const cut = (x, most) => Math.min(Math.max(Math.round(x), 0), most - 1);
    return { t, row: cut(place.get("row"), rows), column: cut(place.get("column"), columns) };
  };
  return {
    elements: [
      picker.control,
      row,
      column,
      unit,
      codes,
      kind,
      token,
      text,
      seed,
      h("div", { class: "control buttons full" }, back, next, jumps),
    ],
    spot,
    step: () => at.get("step"),
    pick: (x) => place.set({ column: x }),
    words: ({ row: r, column: c }) => ({
      row: r,
      unit: Math.floor(c / UNIT),
      format: at.get("format"),
      kind: at.get("kind"),
      token: at.get("token"),
      seed: at.get("seed"),
      text: at.get("text") || " ",
    }),
    sync({ t, row: r, column: c }, one) {
      picker.sync();
      row.set([r]);
      column.set([c]);
      unit.limit(Math.ceil(t.shape.at(-1) / UNIT) - 1);
      unit.set(Math.floor(c / UNIT));
      for (const [control, key] of [
        [codes, "format"],
        [kind, "kind"],
        [token, "token"],
        [text, "text"],
      ])
        control.set(at.get(key));
      seed.set([at.get("seed")]);
      for (const [control, name] of [
        [token, "token"],
        [text, "text"],
        [seed, "seed"],
      ])
        control.hidden = at.get("kind") !== name;
      const which = one ? kindOf(one) : (steps ?? "integers");
      if (which !== steps) {
        steps = which;
        jump = choice({
          label: "Step",
          name: "step",
          options: STEPS[which].map(([, name], i) => [i, name]),
          onChange: (x) => put({ step: Number(x) }),
        });
        jumps.replaceChildren(jump);
      }
      const now = Math.min(Math.max(Math.round(at.get("step")), 0), STEPS[steps].length - 1);
      jump.set(now);
      back.disabled = now === 0;
      next.disabled = now === STEPS[steps].length - 1;
    },
  };
}

function stage(number, title, now, parts) {
  return h(
    "section",
    {
      class: `stage ${now ? "now" : ""}`,
      "data-stage": title,
      "aria-current": now ? "step" : null,
    },
    h("h2", {}, h("span", {}, `${number} `), title),
    parts,
  );
}

function note(...parts) {
  return h("p", { class: "told" }, parts);
}

const hex = (byte) => byte.toString(16).padStart(2, "0");
const bitsOf = (one) => one.bits_per_weight;

// The stages ------------------------------------------------------------------------------------

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
          : `Each ${one.format} becomes the float32 ` + "of the same value, in registers: exact."
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

const STAGES = {
  integers: { memory, registers, activations, sums, scales, total, bytes: moved },
  floats: { memory, registers: widened, activations: floats, sums: chain, total, bytes: moved },
};

function minus(n) {
  return String(n).replace("-", "−");
}

function readingOf(one, { t, row }) {
  return [
    fact("the product", value("result", one.result, format(one.result, 7))),
    fact("without rounding", value("exact", one.exact, format(one.exact, 7))),
    fact("format", value("format", null, one.format)),
    fact("instruction set", value("variant", null, one.variant)),
    fact("units", value("units", one.totals.length)),
    source(
      `row ${row} of ${t.name}${one.format === t.format ? "" : `, written in ${one.format}`}, and ${one.told}`,
    ),
  ];
}

function tableOf(one) {
  if (!one.codes) {
    return [
      ["column", "weight", "activation", "sum so far"],
      Array.from(one.weights, (w, i) => [one.first + i, w, one.x[i], one.chains[i]]),
    ];
  }
  return [
    ["column", "weight", "code", "less zero point", "activation", "its code", "product"],
    Array.from(one.weights, (w, i) => [
      one.first + i,
      w,
      one.codes[i],
      one.codes[i] - one.zero_point,
      one.x[i],
      one.activation_codes[i],
      (one.codes[i] - one.zero_point) * one.activation_codes[i],
    ]),
  ];
}
