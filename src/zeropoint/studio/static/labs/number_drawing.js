// The number lab's drawings: the bits, the formula, the neighbours to scale, the codes of FP4.

import { decodeFloat, FLOATS } from "../codecs/floats.js";
import { errorsOf, formatOf, quantize } from "../codecs/formats.js";
import { h, picture, s, widthOf } from "../lib/dom.js";
import { format } from "../lib/format.js";
import { linear } from "../lib/scales.js";
import { value } from "../lib/table.js";

const PARTS = ["sign", "exponent", "significand"];

/** Enough digits to distinguish neighbouring values. */
export function places(kind) {
  return Math.ceil((kind.mantissaBits + 1) * Math.log10(2)) + 2;
}

/** One button for each bit. */
export function bits(kind, code, setCode) {
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

export function formula(kind, code, stored) {
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

export function rowsOf(kind, code) {
  if (kind.table) {
    return kind.values.map((_v, q) => [
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

/** The neighbours on a line, to scale; the triangle is the number that was entered. */
export function line(plot, kind, code, exact) {
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

/** The 16 codes of FP4, and values that the second zero could stand for. */
export function codes(piece, reuse) {
  const e2m1 = FLOATS.FP4_E2M1;
  const names = ["FP4_E2M1_G16", "FP4_E2M1_M0_PM5_G16"];
  const weights = piece.values.slice(0, Math.floor(piece.values.length / 16) * 16);
  const [plain, reused] = names.map(
    (name) => errorsOf(weights, quantize(formatOf(name), weights).decoded).squared,
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
