// Quantizer lab: weights at the top, codes below them, decoded values at the bottom, joined by lines.

import {
  errorsOf,
  findFormat,
  formatOf,
  fullName,
  levelsOf,
  OFFERED,
  quantize,
  withScale,
} from "../codecs/formats.js";
import { button, choice, numbers, range, select } from "../lib/controls.js";
import { h } from "../lib/dom.js";
import { figureParts } from "../lib/figure.js";
import { format, percent } from "../lib/format.js";
import { fact, value } from "../lib/table.js";
import { piecePicker, source } from "../lib/tensor_picker.js";
import { draw, largest } from "./quantizer_drawing.js";

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const set = figure.dataset;
  const picker = piecePicker(data, state, () => show());
  const usual = {
    kind: set.kind ?? "INT4_SYM",
    group: Number(set.group ?? 0),
    count: 16,
    weights: [NaN],
    lean: Number(set.lean ?? 0),
    scale: 0,
    zero: NaN,
    clip: 1,
    outlier: 0,
  };
  const at = state.scope(set.scope ?? "quantizer", usual, () => show());
  const weights = () => {
    const own = at.get("weights");
    const typed = !Number.isNaN(own[0]);
    const found = Float32Array.from(
      typed ? own.slice(0, 64) : picker.current().values.slice(0, at.get("count")),
    );
    if (at.get("lean") && !typed) {
      const push = at.get("lean") * Math.max(...Array.from(found, Math.abs));
      for (let i = 0; i < found.length; i++) found[i] += push;
    }
    if (at.get("outlier")) found[Math.floor(found.length / 2)] = at.get("outlier") * largest(found);
    return found;
  };
  const setWeight = (i, x, push) => {
    const next = Array.from(weights(), (w) => Number(w.toPrecision(7)));
    next[i] = Number(x.toPrecision(4));
    at.set({ weights: next, outlier: 0 }, { push });
  };

  const controls = makeControls(at, picker, weights);
  const show = figureParts(figure, controls.elements, (plot) => {
    controls.sync();
    const w = weights(),
      made = encode(at, w),
      { found } = made;
    const errors = errorsOf(w, found.decoded),
      used = new Set(found.codes).size;
    const group = found.groups[0];
    return {
      plot: [draw(plot, at, w, made, setWeight)],
      reading: [
        fact("scale", value("scale", group.scale, format(group.scale, 9))),
        group.zeroPoint === undefined
          ? null
          : fact("zero point", value("zero", group.zeroPoint, format(group.zeroPoint))),
        fact("mean |error ∕ weight|", value("relative", errors.relative, percent(errors.relative))),
        fact("mean squared error", value("squared", errors.squared)),
        otherRule(at, w),
        fact(
          "bits per weight, with the scale",
          value("bits", found.bitsPerWeight, format(found.bitsPerWeight, 4)),
        ),
        Number.isNaN(at.get("weights")[0]) ? fromPiece(picker.current(), w.length, at) : null,
        h(
          "p",
          { class: "note" },
          `${equation(made.format)} — ${used} of ${levelsOf(made.format, group).length}` +
            ` levels in use${made.byHand ? "; the scale is set by hand" : ""}.`,
        ),
      ].filter(Boolean),
      table: [
        ["#", "weight", "code", "decoded", "error", "error ∕ weight"],
        Array.from(w, (x, i) => [
          i + 1,
          x,
          found.codes[i],
          found.decoded[i],
          found.decoded[i] - x,
          x ? (found.decoded[i] - x) / Math.abs(x) : 0,
        ]),
        `${w.length} weights in ${made.format.name}`,
      ],
    };
  });
}

/** The mean squared error of the same weights without a zero point, or with one. */
function otherRule(at, w) {
  const [, bits, rule] = /^INT(\d)_(A?SYM)$/.exec(at.get("kind")) ?? [];
  if (!rule) return null;
  const other = rule === "SYM" ? "ASYM" : "SYM";
  const made = findFormat(fullName(`INT${bits}_${other}`, at.get("group")));
  const { squared } = errorsOf(w, quantize(made ?? formatOf("INT4_SYM_ROW"), w).decoded);
  const name = other === "SYM" ? "the same without a zero point" : "the same with a zero point";
  return fact(name, value("squared-other", squared));
}

function fromPiece(piece, count, at) {
  const pushed = at.get("lean")
    ? `, all pushed to one side by ${format(at.get("lean"), 2)} times the largest`
    : "";
  return source(
    `the first ${count} weights of this piece: row ${piece.row} of ${piece.tensor}${pushed}`,
  );
}

function makeControls(at, picker, weights) {
  const group = (match) =>
    OFFERED.filter((kind) => match.test(kind)).map((kind) => [kind, kind.replaceAll("_", " ")]);
  const kind = select({
    label: "Format",
    name: "kind",
    options: [
      ["Integers", group(/^INT/)],
      ["Small floats", group(/^FP/)],
      ["Tables", group(/^NF/)],
      ["Microscaling", group(/^(MX[FI](P\d_|NT)|NVFP4_)/)],
      ["ggml", group(/^(Q|IQ|MXFP4$|NVFP4$)/)],
    ],
    onChange: (next) => at.set({ kind: next, scale: 0, zero: NaN }, { push: true }),
  });
  const size = choice({
    label: "Weights that share a scale",
    name: "group",
    options: [
      [0, "all"],
      [4, "4"],
      [8, "8"],
      [16, "16"],
      [32, "32"],
    ],
    onChange: (next) => at.set({ group: Number(next) }, { push: true }),
  });
  const count = range({
    label: "How many",
    min: 2,
    max: 64,
    step: 1,
    name: "count",
    onInput: (x) => at.set({ count: Math.round(x), weights: [NaN] }),
  });
  const list = numbers({
    label: "Your own weights",
    name: "weights",
    onChange: (next) => at.set({ weights: next, outlier: 0 }, { push: true }),
  });
  const clip = range({
    label: "Share of the range kept",
    min: 0.2,
    max: 1,
    step: 0.01,
    name: "clip",
    onInput: (x) => at.set({ clip: x, scale: 0 }),
  });
  const outlier = range({
    label: "Outlier, times the largest",
    min: 0,
    max: 20,
    step: 0.5,
    name: "outlier",
    onInput: (x) => at.set({ outlier: x }),
  });
  const scale = numbers({
    label: "Scale by hand",
    name: "scale",
    onChange: ([x]) => at.set({ scale: Math.max(x, 0) }, { push: true }),
  });
  const zero = numbers({
    label: "Zero point by hand",
    name: "zero",
    onChange: ([x]) => at.set({ zero: Math.round(x) }, { push: true }),
  });
  for (const short of [scale, zero]) short.classList.remove("wide");
  const reset = button("By the rule again", "reset", () =>
    at.set({ scale: 0, zero: NaN, clip: 1, outlier: 0, weights: [NaN] }, { push: true }),
  );
  const lean = range({
    label: "Push the weights to one side, times the largest",
    min: 0,
    max: 1,
    step: 0.05,
    name: "lean",
    onInput: (x) => at.set({ lean: x, weights: [NaN] }),
  });
  const tool = document.body.classList.contains("tool");
  const main = at.get("lean") ? [lean] : tool ? [kind, size, picker.control] : [kind];
  const rest = [kind, size, picker.control, list, count, lean, clip, outlier, scale, zero, reset];
  const more = h(
    "details",
    { class: "more" },
    h("summary", {}, "More options"),
    h(
      "div",
      { class: "controls" },
      rest.filter((control) => !main.includes(control)),
    ),
  );
  return {
    elements: [...main, more],
    sync() {
      const made = encode(at, weights()),
        first = made.found.groups[0];
      kind.set(at.get("kind"));
      size.set(at.get("group"));
      size.hidden = made.format.name === at.get("kind");
      picker.sync();
      list.set(Array.from(weights()));
      count.set(weights().length);
      clip.set(at.get("clip"));
      lean.set(at.get("lean"));
      outlier.set(at.get("outlier"));
      scale.set([first.scale]);
      zero.set([first.zeroPoint ?? 0]);
      for (const own of [scale, clip]) own.hidden = !made.ruled;
      zero.hidden = made.format.rule !== "ASYM";
    },
  };
}

/** Quantize with the settings of the controls: by the format's rule, or with a scale set by hand. */
function encode(at, weights) {
  const name = fullName(at.get("kind"), at.get("group"));
  const plain = findFormat(name) ?? formatOf("INT4_SYM_ROW");
  const ruled = ["SYM", "ASYM", "FLOAT", "NF4", "M0"].includes(plain.rule ?? "");
  /** @type {GivenScale} */
  const given = {};
  if (at.get("scale") > 0) given.scale = Math.fround(at.get("scale"));
  else if (at.get("clip") !== 1) given.clip = at.get("clip");
  if (!Number.isNaN(at.get("zero")) && plain.rule === "ASYM") {
    const half = 2 ** (plain.bits - 1);
    given.zeroPoint = Math.min(Math.max(at.get("zero"), -half), half - 1);
  }
  const byHand = ruled && Object.keys(given).length > 0;
  const format = byHand ? withScale(/** @type {GroupCodec} */ (plain), given) : plain;
  return { format, found: quantize(format, weights), ruled, byHand };
}

function equation(format) {
  if (format.rule === "ASYM") return "w = scale · (q − zero point)";
  return format.rule === "SYM" || /^Q\d/.test(format.name)
    ? "w = scale · q"
    : "w = scale · value(q)";
}
