// Number lab: one number, bit by bit, in any type; its neighbours to scale; −0 put to use.
//
// A float is sign, exponent and significand. Of the other types a code is a place in a table (for
// integers: the integer), times a scale, which is the one that the picked piece of a row would have.

import {
  FLOATS,
  IQ4_VALUES,
  NF4_VALUES,
  decodeFloat,
  encodeFloat,
  errorsOf,
  findFormat,
  neighbours,
  quantize,
} from "../codecs/formats.js";
import {
  announce,
  button,
  fact,
  figureParts,
  format,
  h,
  linear,
  numbers,
  picture,
  range,
  s,
  select,
  toggle,
  value,
  widthOf,
} from "../lib/draw.js";
import { piecePicker } from "../lib/tensor_picker.js";

const PARTS = ["sign", "exponent", "significand"];
const TABLES = {
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

/** A float type as this page uses types: codes to numbers, numbers to codes, neighbours. */
function floatKind(type) {
  return {
    ...type,
    decode: (code) => decodeFloat(type, code),
    encode: (x) => encodeFloat(type, x),
    beside: (code) => neighbours(type, code),
  };
}

/** A table times the scale that these weights would have. */
function tableKind(name, weights) {
  const { bits, format, values } = TABLES[name];
  const own = findFormat(format),
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

export function mount(figure, data, state) {
  const picker = piecePicker(data, state, () => show());
  const at = state.scope(
    figure.dataset.scope ?? "number",
    { type: figure.dataset.type ?? "F32", value: NaN, code: -1, reuse: false },
    () => show(),
  );
  const type = () =>
    TABLES[at.get("type")]
      ? tableKind(at.get("type"), picker.current().values)
      : floatKind(FLOATS[at.get("type")] ?? FLOATS.F32);
  const typed = () => {
    const found = at.get("value");
    return Number.isNaN(found) ? largestOf(picker.current().values) : found;
  };
  const code = () =>
    at.get("code") >= 0 && at.get("code") < 2 ** type().bits
      ? at.get("code")
      : type().encode(typed());
  const setCode = (next, push = true) => {
    const found = type().decode(next);
    at.set({ code: next, value: Number.isFinite(found) ? found : NaN }, { push });
    announce(`${format(found, 7)} in ${type().name}`);
  };
  const setValue = (next, push = false) => at.set({ value: next, code: -1 }, { push });

  const names = (all) => Object.keys(all).map((n) => [n, n.replace("_", " ")]);
  const typeMenu = select({
    label: "Type",
    name: "type",
    options: [
      ["Floats", names(FLOATS)],
      ["With a scale", names(TABLES)],
    ],
    onChange: (next) => at.set({ type: next, value: typed(), code: -1 }, { push: true }),
  });
  const box = numbers({ label: "Number", name: "number", onChange: ([x]) => setValue(x, true) });
  box.classList.remove("wide");
  const slider = range({
    label: "Magnitude, 2 to the",
    min: -30,
    max: 30,
    step: 0.01,
    name: "magnitude",
    onInput: (x) => setValue(Math.sign(typed() || 1) * 2 ** x),
  });
  const reuse = toggle({
    label: "put −0 to use as ±5",
    name: "reuse",
    onChange: (on) => at.set({ reuse: on }, { push: true }),
  });
  const step = (side) => {
    const next = type().beside(code())[side];
    if (next !== null) setCode(type().encode(next));
  };
  const controls = [
    typeMenu,
    box,
    slider,
    picker.control,
    h(
      "div",
      { class: "control buttons" },
      button("− next below", "below", () => step(0)),
      button("+ next above", "above", () => step(1)),
      button("a weight of the tensor", "reset", () => setValue(NaN, true)),
    ),
    reuse,
  ];

  const show = figureParts(figure, controls, (plot) => {
    const kind = type(),
      now = code(),
      stored = kind.decode(now);
    const exact = at.get("code") >= 0 ? stored : typed();
    typeMenu.set(kind.name);
    box.set([exact]);
    slider.set(Math.min(Math.max(Math.log2(Math.abs(exact) || 2 ** -30), -30), 30));
    picker.sync();
    reuse.set(at.get("reuse"));
    reuse.hidden = kind.name !== "FP4_E2M1";
    const error = stored - exact;
    const [below, above] = Number.isFinite(stored) ? kind.beside(now) : [null, null];
    const all = kind.name === "FP4_E2M1";
    return {
      plot: [
        bits(kind, now, setCode),
        formula(kind, now, stored),
        line(plot, kind, now, exact),
        all ? codes(picker.current(), at.get("reuse")) : null,
      ].filter(Boolean),
      reading: [
        fact("stored", value("stored", stored, digits(kind, stored))),
        fact("error", value("error", error)),
        fact("next below", value("below", below, format(below, places(kind)))),
        fact("next above", value("above", above, format(above, places(kind)))),
        kind.table
          ? fact("scale", value("scale", kind.scale, format(kind.scale, 6)))
          : fact("step here", value("step", stepAt(kind, now))),
        Math.abs(exact) > kind.max
          ? h(
              "p",
              { class: "note" },
              `${kind.name} ends at ${format(kind.max, 6)}: what is larger is stored as that.`,
            )
          : null,
      ].filter(Boolean),
      table: [["part", "bits", "meaning"], rowsOf(kind, now)],
    };
  });
}

/** Enough digits to tell neighbours apart. */
function places(kind) {
  return Math.ceil((kind.mantissaBits + 1) * Math.log10(2)) + 2;
}

function largestOf(values) {
  return values.reduce((a, x) => (Math.abs(x) > Math.abs(a) ? x : a), 0);
}

function stepAt(kind, code) {
  const magnitude = code % 2 ** (kind.bits - 1);
  const exponent = Math.max(Math.floor(magnitude / 2 ** kind.mantissaBits), 1);
  return 2 ** (exponent - kind.bias - kind.mantissaBits);
}

/** The decimal digits; those that the type can promise are underlined. */
function digits(kind, x) {
  if (!Number.isFinite(x) || x === 0) return format(x);
  const promised = Math.floor((kind.mantissaBits + 1) * Math.log10(2) - 1e-9);
  const text = format(x, 12);
  let seen = 0,
    end = 0,
    started = false;
  for (; end < text.length && seen < promised; end++) {
    if (/[1-9]/.test(text[end])) started = true;
    if (/\d/.test(text[end]) && started) seen += 1;
    if (text[end] === " ") break;
  }
  const promisedPart = h(
    "u",
    { title: `${promised} digits are safe in this type` },
    text.slice(0, end),
  );
  return h("span", {}, promisedPart, text.slice(end));
}

/** One button for each bit. */
function bits(kind, code, setCode) {
  const partOf = (place) =>
    kind.table
      ? place === kind.bits - 1 && kind.name.startsWith("INT")
        ? "sign"
        : "significand"
      : PARTS[place === kind.bits - 1 ? 0 : place >= kind.mantissaBits ? 1 : 2];
  const cells = Array.from({ length: kind.bits }, (_, i) => {
    const place = kind.bits - 1 - i,
      bit = Math.floor(code / 2 ** place) % 2;
    const part = partOf(place);
    return h(
      "button",
      {
        type: "button",
        class: `bit ${part}`,
        "aria-pressed": String(bit === 1),
        "data-mark": `bit${place}`,
        "data-bit": place,
        "aria-label": `${bit}: bit ${place}, ${part}`,
        onclick: () => setCode(code + (bit ? -1 : 1) * 2 ** place),
      },
      String(bit),
    );
  });
  if (kind.table)
    return h(
      "div",
      { class: "bit-row" },
      h(
        "span",
        { class: "bits" },
        cells,
        h(
          "span",
          { class: "bits-name", "aria-hidden": "true" },
          kind.name.startsWith("INT") ? "two’s complement" : "place in the table",
        ),
      ),
    );
  const start = kind.bits - kind.mantissaBits;
  const group = (name, members) =>
    h(
      "span",
      { class: `bits ${name}`, role: "group", "aria-label": name },
      members,
      h("span", { class: "bits-name", "aria-hidden": "true" }, name === "sign" ? "±" : name),
    );
  return h(
    "div",
    { class: "bit-row" },
    group("sign", cells.slice(0, 1)),
    group("exponent", cells.slice(1, start)),
    group("significand", cells.slice(start)),
  );
}

function fields(kind, code) {
  const magnitude = code % 2 ** (kind.bits - 1);
  return {
    negative: code >= 2 ** (kind.bits - 1),
    exponent: Math.floor(magnitude / 2 ** kind.mantissaBits),
    mantissa: magnitude % 2 ** kind.mantissaBits,
  };
}

function formula(kind, code, stored) {
  if (kind.table)
    return h(
      "p",
      { class: "formula" },
      h("span", { class: "exponent" }, format(kind.scale, 6)),
      " × ",
      h("span", { class: "significand" }, format(kind.values[code], 6)),
      ` = ${format(stored, 9)}`,
    );
  const { negative, exponent, mantissa } = fields(kind, code);
  if (!Number.isFinite(stored)) return h("p", { class: "formula" }, format(stored, 3));
  const power = Math.max(exponent, 1) - kind.bias;
  return h(
    "p",
    { class: "formula" },
    h("span", { class: "sign" }, negative ? "−" : "+"),
    " ",
    h("span", { class: "exponent" }, "2", h("sup", {}, format(power, 4))),
    " × ",
    h(
      "span",
      { class: "significand" },
      `(${exponent > 0 ? 1 : 0} + ${mantissa} ∕ ${2 ** kind.mantissaBits})`,
    ),
    ` = ${format(stored, 10)}`,
  );
}

function rowsOf(kind, code) {
  if (kind.table) {
    return kind.values.map((v, q) => [
      q === code ? "this code" : "code",
      q.toString(2).padStart(kind.bits, "0"),
      kind.decode(q),
    ]);
  }
  const { negative, exponent, mantissa } = fields(kind, code);
  const padded = (x, width) => x.toString(2).padStart(width, "0");
  return [
    ["sign", negative ? "1" : "0", negative ? "negative" : "positive"],
    [
      "exponent",
      padded(exponent, kind.exponentBits),
      `2^${Math.max(exponent, 1) - kind.bias}${exponent ? "" : " (subnormal: no leading 1)"}`,
    ],
    [
      "significand",
      padded(mantissa, kind.mantissaBits),
      `${mantissa} of ${2 ** kind.mantissaBits} steps`,
    ],
    ["value", "", kind.decode(code)],
    ["largest", "", kind.max],
    ["smallest above 0", "", kind.smallest],
  ];
}

/** The neighbours on a line, to scale; the number that was asked for is the triangle. */
function line(plot, kind, code, exact) {
  const width = widthOf(plot),
    height = 98;
  const stored = kind.decode(code);
  if (!Number.isFinite(stored)) return h("p", { class: "note" }, "This code is no number.");
  const seen = [stored];
  for (const side of [0, 1]) {
    let place = code;
    for (let i = 0; i < 4; i++) {
      const next = kind.beside(place)[side];
      if (next === null) break;
      seen[side ? "push" : "unshift"](next);
      place = kind.encode(next);
    }
  }
  const ends = [seen[0], seen.at(-1)];
  const x = linear(ends, [40, width - 40]);
  const group = s("g", { class: "line" }, s("line", { x1: 12, x2: width - 12, y1: 40, y2: 40 }));
  seen.forEach((v, i) => {
    const own = v === stored;
    group.append(
      s("line", {
        x1: x(v),
        x2: x(v),
        y1: own ? 22 : 30,
        y2: own ? 58 : 50,
        class: own ? "own" : "tick",
      }),
    );
    if (own || i === 0 || i === seen.length - 1) {
      const anchor = own ? "middle" : i === 0 ? "start" : "end",
        shift = own ? 0 : i === 0 ? -28 : 28;
      group.append(
        s(
          "text",
          { x: x(v) + shift, y: own ? 76 : 90, "text-anchor": anchor, class: own ? "own" : "" },
          format(v, places(kind)),
        ),
      );
    }
  });
  if (exact >= ends[0] && exact <= ends[1] && exact !== stored) {
    group.append(s("path", { d: `M${x(exact)} 38 l-6 -12 h12 z`, class: "asked" }));
  }
  return picture(
    width,
    height,
    `${format(stored, 9)} and its neighbours in ${kind.name}, to scale`,
    group,
  );
}

/** FP4's sixteen codes, and what the second zero could mean. */
function codes(piece, reuse) {
  const e2m1 = FLOATS.FP4_E2M1;
  const names = ["FP4_E2M1_G16", "FP4_E2M1_M0_PM5_G16"];
  const weights = piece.values.slice(0, Math.floor(piece.values.length / 16) * 16);
  const [plain, reused] = names.map(
    (name) => errorsOf(weights, quantize(findFormat(name), weights).decoded).squared,
  );
  const values = Array.from({ length: 16 }, (_, q) =>
    q === 8 && reuse ? "±5" : format(decodeFloat(e2m1, q)),
  );
  const count = new Set(values.map((text) => text.replace(/^−0$/, "0"))).size;
  return h(
    "div",
    { class: "codes" },
    h(
      "ol",
      { class: "code-list", "aria-label": "the sixteen codes of FP4" },
      values.map((text, q) =>
        h(
          "li",
          { class: q === 8 ? "special" : "" },
          h("small", {}, q.toString(2).padStart(4, "0")),
          text,
        ),
      ),
    ),
    h(
      "p",
      {},
      "Sixteen codes, ",
      value("distinct", count, String(count)),
      " different numbers. On the weights " +
        "picked above, in groups of 16, the mean squared error is ",
      value("fp4", plain),
      " with −0 and ",
      value("reused", reused),
      " when each group may call it +5 or −5: ",
      value("saved", 1 - reused / plain, `${format(100 * (1 - reused / plain), 3)} %`),
      " less.",
    ),
  );
}
