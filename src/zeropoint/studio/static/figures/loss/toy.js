// A network of nine real weights: the effect of plain rounding, and that of quantization with a scale.

import { rint } from "../../codecs/bits.js";
import { decodeFloat, encodeFloat, FLOATS } from "../../codecs/floats.js";
import { formatOf, quantize } from "../../codecs/formats.js";
import { axisBelow, axisLeft } from "../../lib/axes.js";
import { choice, moreOptions, range } from "../../lib/controls.js";
import { h, picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format, percent } from "../../lib/format.js";
import { linear } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";
import { piecePicker, source } from "../../lib/tensor_picker.js";

const HIDDEN = 3;
const WAYS = [
  ["none", "as they are"],
  ["whole", "round to whole numbers"],
  ["bf16", "BF16"],
  ["INT4_SYM_ROW", "4 bits, symmetric"],
  ["INT4_ASYM_ROW", "4 bits, asymmetric"],
  ["INT2_ASYM_ROW", "2 bits"],
];

/** The weights as one of the methods above stores them. */
export function stored(weights, way) {
  if (way === "none") return weights;
  if (way === "whole") return weights.map(rint);
  if (way === "bf16")
    return weights.map((w) => decodeFloat(FLOATS.BF16, encodeFloat(FLOATS.BF16, w)));
  return quantize(formatOf(way), weights).decoded;
}

/** y = Σ v_k · tanh(u_k · x + t_k), u, t and v being 3 weights each. */
export function output(weights, x) {
  let y = 0;
  for (let k = 0; k < HIDDEN; k++) {
    y += weights[2 * HIDDEN + k] * Math.tanh(weights[k] * x + weights[HIDDEN + k]);
  }
  return y;
}

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const picker = piecePicker(data, state, () => show());
  const at = state.scope("toy", { way: "INT4_SYM_ROW", x: 2 }, () => show());
  const way = choice({
    label: "Weights",
    name: "way",
    options: WAYS,
    onChange: (x) => at.set({ way: x }, { push: true }),
  });
  const input = range({
    label: "Input x",
    min: -8,
    max: 8,
    step: 0.05,
    name: "x",
    onInput: (x) => at.set({ x }),
    onDone: () => at.set({}, { push: true }),
  });
  const show = figureParts(figure, [way, moreOptions(input, picker.control)], (plot) => {
    const weights = picker.current().values.slice(0, 3 * HIDDEN),
      x = at.get("x");
    const changed = stored(weights, at.get("way"));
    const [exact, found] = [output(weights, x), output(changed, x)];
    way.set(at.get("way"));
    input.set(x);
    picker.sync();
    return {
      plot: [chart(plot, weights, changed, x)],
      reading: [
        fact("output, real weights", value("exact", exact)),
        fact("output, stored weights", value("output", found)),
        fact(
          "off by",
          value(
            "off",
            exact ? Math.abs(found - exact) / Math.abs(exact) : 0,
            percent(exact ? Math.abs(found - exact) / Math.abs(exact) : 0),
          ),
        ),
        h(
          "p",
          { class: "legend" },
          h("span", {}, h("i", { class: "swatch reference" }), "real weights"),
          h("span", {}, h("i", { class: "swatch quant" }), "stored weights (dashed)"),
        ),
        source(
          `the first nine weights of row ${picker.current().row} of ${picker.current().tensor}`,
        ),
      ],
      table: [
        ["weight", "role", "real", "stored"],
        Array.from(weights, (w, i) => [
          i + 1,
          ["into the neuron", "threshold", "out of it"][Math.floor(i / HIDDEN)],
          w,
          changed[i],
        ]),
      ],
    };
  });
}

function chart(plot, weights, changed, x0) {
  const width = widthOf(plot),
    height = 230,
    left = 66,
    bottom = height - 28;
  const points = Array.from({ length: 121 }, (_, i) => -8 + (16 * i) / 120);
  const curves = [weights, changed].map((w) => points.map((x) => output(w, x)));
  const ends = [Math.min(...curves.flat(), 0), Math.max(...curves.flat(), 0)];
  const x = linear([-8, 8], [left, width - 14]),
    y = linear(ends[0] === ends[1] ? [-1, 1] : ends, [bottom, 12]);
  const path = (list) => `M${list.map((v, i) => `${x(points[i])} ${y(v)}`).join("L")}`;
  const image = picture(
    width,
    height,
    "Output of the small network over its input, with real and stored weights",
    axisLeft(y, left, width - 14, { label: (v) => format(v, 2) }),
    axisBelow(x, bottom, { n: 8 }),
    s("path", { class: "curve", d: path(curves[0]) }),
    s("path", { class: "curve quant", d: path(curves[1]) }),
    s("line", { class: "needle", x1: x(x0), x2: x(x0), y1: 12, y2: bottom }),
  );
  for (const [w, name] of [
    [weights, ""],
    [changed, "quant"],
  ]) {
    image.append(s("circle", { class: `dot ${name}`, cx: x(x0), cy: y(output(w, x0)), r: 6 }));
  }
  return image;
}
