// Quantizer lab: weights above, codes below, what they decode to at the bottom, joined by lines.

import {
  OFFERED,
  errorsOf,
  findFormat,
  fullName,
  levelsOf,
  quantize,
  withScale,
} from "../codecs/formats.js";
import {
  announce,
  button,
  choice,
  draggable,
  fact,
  figureParts,
  format,
  h,
  linear,
  numbers,
  percent,
  picture,
  range,
  roving,
  s,
  select,
  value,
  widthOf,
} from "../lib/draw.js";
import { piecePicker } from "../lib/tensor_picker.js";

const ROWS = { weights: 46, codes: 168, decoded: 290, height: 340 };

export function mount(figure, data, state) {
  const set = figure.dataset;
  const picker = piecePicker(data, state, () => show());
  const usual = {
    kind: set.kind ?? "INT4_SYM",
    group: Number(set.group ?? 0),
    count: 16,
    weights: [NaN],
    scale: 0,
    zero: NaN,
    clip: 1,
    outlier: 0,
  };
  const at = state.scope(set.scope ?? "quantizer", usual, () => show());
  const weights = () => {
    const own = at.get("weights");
    const found = Float32Array.from(
      Number.isNaN(own[0]) ? picker.current().values.slice(0, at.get("count")) : own.slice(0, 64),
    );
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
        fact("bits per weight", value("bits", found.bitsPerWeight, format(found.bitsPerWeight, 4))),
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
  const more = h(
    "details",
    { class: "more" },
    h("summary", {}, "More to turn"),
    h("div", { class: "controls" }, list, count, clip, outlier, scale, zero, reset),
  );
  return {
    elements: [kind, size, picker.control, more],
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
      outlier.set(at.get("outlier"));
      scale.set([first.scale]);
      zero.set([first.zeroPoint ?? 0]);
      for (const own of [scale, clip]) own.hidden = !made.ruled;
      zero.hidden = made.format.rule !== "ASYM";
    },
  };
}

/** Quantize as the controls say: by the format's rule, or with a scale set by hand. */
function encode(at, weights) {
  const name = fullName(at.get("kind"), at.get("group"));
  const plain = findFormat(name) ?? findFormat("INT4_SYM_ROW");
  const ruled = ["SYM", "ASYM", "FLOAT", "NF4", "M0"].includes(plain.rule);
  const given = {};
  if (at.get("scale") > 0) given.scale = Math.fround(at.get("scale"));
  else if (at.get("clip") !== 1) given.clip = at.get("clip");
  if (!Number.isNaN(at.get("zero")) && plain.rule === "ASYM") {
    const half = 2 ** (plain.bits - 1);
    given.zeroPoint = Math.min(Math.max(at.get("zero"), -half), half - 1);
  }
  const byHand = ruled && Object.keys(given).length > 0;
  const format = byHand ? withScale(plain, given) : plain;
  return { format, found: quantize(format, weights), ruled, byHand };
}

function equation(format) {
  if (format.rule === "ASYM") return "w = scale · (q − zero point)";
  return format.rule === "SYM" || /^Q\d/.test(format.name)
    ? "w = scale · q"
    : "w = scale · value(q)";
}

function largest(list) {
  return list.reduce((a, x) => Math.max(a, Math.abs(x)), 0) || 1;
}

function draw(plot, at, w, { format: kind, found, ruled }, setWeight) {
  const width = widthOf(plot);
  const reach = 1.08 * Math.max(largest(w), largest(found.decoded));
  const x = linear([-reach, reach], [24, width - 24]);
  const group = found.groups[0];
  const levels = levelsOf(kind, group),
    zero = group.zeroPoint ?? 0;
  const place = linear([0, levels.length - 1], [24, width - 24]);
  const at_ = new Map(levels.map(([code], i) => [code, place(i)]));
  const codeAt = (q) => at_.get(q) ?? at_.get(q - 2 ** (kind.bits - 1)) ?? place(0);
  const image = picture(
    width,
    ROWS.height,
    `${w.length} weights, their codes in ${kind.name} and what these ` + "decode to",
    guides(width, x, reach),
    levelMarks(x, levels, group, zero, codeAt),
  );
  usage(image, found.codes, codeAt, Math.min(22, (width - 48) / levels.length));
  const marks = Array.from(w, (v, i) => {
    const error = Math.abs(found.decoded[i] - v),
      one = found.groups.findIndex(
        (g, j) => i >= g.first && (j + 1 === found.groups.length || i < found.groups[j + 1].first),
      );
    const column = codeAt(found.codes[i]);
    image.append(
      s("path", {
        class: `join g${one % 6}`,
        d:
          `M${x(v)} ${ROWS.weights} ` +
          `C${x(v)} ${ROWS.weights + 60} ${column} ${ROWS.codes - 60} ${column} ${ROWS.codes} ` +
          `C${column} ${ROWS.codes + 60} ${x(found.decoded[i])} ${ROWS.decoded - 60} ` +
          `${x(found.decoded[i])} ${ROWS.decoded}`,
      }),
    );
    image.append(
      s("line", {
        class: "error",
        x1: x(v),
        x2: x(found.decoded[i]),
        y1: ROWS.decoded + 8,
        y2: ROWS.decoded + 8,
      }),
    );
    image.append(
      s("rect", {
        class: `decoded g${one % 6}`,
        x: x(found.decoded[i]) - 4,
        y: ROWS.decoded - 4,
        width: 8,
        height: 8,
      }),
    );
    const mark = s("circle", {
      class: `weight g${one % 6}`,
      cx: x(v),
      cy: ROWS.weights,
      r: 7,
      "data-mark": `w${i}`,
      role: "slider",
      "aria-label": `weight ${i + 1}`,
      "aria-valuenow": v,
      "aria-valuemin": -reach,
      "aria-valuemax": reach,
      "aria-valuetext":
        `${format(v)}, code ${found.codes[i]}, decodes to ${format(found.decoded[i])}, error ` +
        format(error, 3),
    });
    draggable(
      mark,
      (px) => setWeight(i, x.from(px), false),
      () => at.set({}, { push: true }),
    );
    return mark;
  });
  image.append(...marks);
  roving(marks, {
    onKey: (i, event) => {
      const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
      if (!by) return false;
      setWeight(i, w[i] + (by * reach) / (event.shiftKey ? 10 : 100), false);
      return true;
    },
  });
  if (ruled) image.append(...handles(at, x, kind, group, levels, zero, codeAt, place));
  return image;
}

function guides(width, x, reach) {
  const group = s("g", { class: "axis" });
  const rail = (y, name) =>
    group.append(
      s("line", { x1: 8, x2: width - 8, y1: y, y2: y, class: "rail" }),
      s("text", { x: 8, y: y - 18, class: "row-name" }, name),
    );
  rail(ROWS.weights, "weights");
  rail(ROWS.codes, "codes");
  rail(ROWS.decoded, "decoded");
  for (const tick of x.ticks(width > 500 ? 8 : 4)) {
    group.append(
      s("text", { x: x(tick), y: ROWS.decoded + 34, "text-anchor": "middle" }, format(tick, 3)),
    );
  }
  group.append(
    s("line", { class: "zero", x1: x(0), x2: x(0), y1: ROWS.weights - 10, y2: ROWS.weights + 10 }),
    s("line", { class: "zero", x1: x(0), x2: x(0), y1: ROWS.decoded - 10, y2: ROWS.decoded + 16 }),
  );
  return group;
}

function levelMarks(x, levels, group, zero, codeAt) {
  const marks = s("g", { class: "levels" });
  const every = Math.ceil(levels.length / 32);
  levels.forEach(([code, level], i) => {
    const decoded = x(group.scale * (level - zero));
    marks.append(
      s("line", { x1: decoded, x2: decoded, y1: ROWS.decoded - 7, y2: ROWS.decoded + 4 }),
    );
    if (levels.length <= 64) {
      marks.append(
        s("line", { x1: codeAt(code), x2: codeAt(code), y1: ROWS.codes - 5, y2: ROWS.codes + 5 }),
      );
    }
    if (i % every === 0 || code === zero) {
      marks.append(
        s(
          "text",
          {
            x: codeAt(code),
            y: ROWS.codes + 22,
            "text-anchor": "middle",
            class: code === zero && group.zeroPoint !== undefined ? "zero-code" : "",
          },
          String(code).replace("-", "−"),
        ),
      );
    }
  });
  return marks;
}

/** How often each code is used, as bars on the codes' line. */
function usage(image, codes, codeAt, room) {
  const counts = new Map();
  for (const code of codes) counts.set(code, (counts.get(code) ?? 0) + 1);
  const most = Math.max(...counts.values());
  for (const [code, count] of counts) {
    const height = (30 * count) / most;
    image.append(
      s("rect", {
        class: "usage",
        x: codeAt(code) - room / 2 + 1,
        y: ROWS.codes - height,
        width: Math.max(room - 2, 1),
        height,
      }),
    );
  }
}

/** The handles: one step of the scale on the bottom line, the zero point on the codes' line. */
function handles(at, x, kind, group, levels, zero, codeAt, place) {
  const one = levels.map(([, level]) => level - zero).filter((d) => d > 0)[0] ?? 1;
  const setScale = (next) => at.set({ scale: Number(Math.max(next, 1e-9).toPrecision(6)) });
  const scale = handle(
    x(group.scale * one),
    ROWS.decoded,
    "scale",
    `scale ${format(group.scale, 6)}`,
  );
  draggable(
    scale,
    (px) => setScale(x.from(px) / one),
    () => at.set({}, { push: true }),
  );
  nudge(scale, (by) => setScale(group.scale * (1 + by / 50)));
  if (kind.rule !== "ASYM") return [scale];
  const half = 2 ** (kind.bits - 1);
  const setZero = (q) => at.set({ zero: Math.min(Math.max(Math.round(q), -half), half - 1) });
  const point = handle(codeAt(zero), ROWS.codes + 36, "zero", `zero point ${zero}`);
  draggable(
    point,
    (px) => setZero(levels[0][0] + place.from(px)),
    () => at.set({}, { push: true }),
  );
  nudge(point, (by) => setZero(zero + by));
  return [scale, point];
}

function handle(x, y, name, label) {
  return s("path", {
    d: `M${x} ${y + 4} l8 14 h-16 z`,
    class: `handle ${name}`,
    tabindex: "0",
    role: "slider",
    "data-mark": `handle-${name}`,
    "aria-label": label,
    "aria-valuetext": label,
    "aria-valuenow": "0",
  });
}

function nudge(mark, by) {
  mark.addEventListener("keydown", (event) => {
    const way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    by(way);
    announce(mark.getAttribute("aria-label"));
  });
}
