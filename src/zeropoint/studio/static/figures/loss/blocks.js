// 256 real weights in blocks: the effect of one large weight on those that share its scale.

import { errorsOf, findFormat, formatOf, quantize } from "../../codecs/formats.js";
import { axisLeft } from "../../lib/axes.js";
import { button, choice, moreOptions, range, showState } from "../../lib/controls.js";
import { h, picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format, percent } from "../../lib/format.js";
import { draggable } from "../../lib/marks.js";
import { linear } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";
import { piecePicker, source } from "../../lib/tensor_picker.js";

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const picker = piecePicker(data, state, () => show());
  const at = state.scope("blocks", { size: 32, bits: 4, sign: "SYM", outlier: 0, place: 100 }, () =>
    show(),
  );
  const size = choice({
    label: "Block",
    name: "size",
    options: [
      [16, "16"],
      [32, "32"],
      [64, "64"],
      [128, "128"],
      [256, "all 256"],
    ],
    onChange: (x) => at.set({ size: Number(x) }, { push: true }),
  });
  const bits = range({
    label: "Bits",
    min: 2,
    max: 8,
    step: 1,
    name: "bits",
    onInput: (x) => at.set({ bits: Math.round(x) }),
  });
  const sign = choice({
    label: "Integers",
    name: "sign",
    options: [
      ["SYM", "symmetric"],
      ["ASYM", "asymmetric"],
    ],
    onChange: (x) => at.set({ sign: x }, { push: true }),
  });
  const outlier = range({
    label: "Outlier, times the largest",
    min: 0,
    max: 30,
    step: 0.5,
    name: "outlier",
    onInput: (x) => at.set({ outlier: x }),
    onDone: () => at.set({}, { push: true }),
  });
  const remove = button("without its largest weight", "remove", () =>
    at.set({ outlier: -1 }, { push: true }),
  );
  const reset = button("as it is", "reset", () => at.set({ outlier: 0 }, { push: true }));
  const show = figureParts(
    figure,
    [
      size,
      moreOptions(
        outlier,
        h("div", { class: "control buttons" }, remove, reset),
        bits,
        sign,
        picker.control,
      ),
    ],
    (plot) => {
      const weights = row(picker.current().values, at);
      const name = `INT${at.get("bits")}_${at.get("sign")}_G${at.get("size")}`;
      const found = quantize(findFormat(name) ?? formatOf("INT4_SYM_G32"), weights);
      const errors = errorsOf(weights, found.decoded);
      picker.sync();
      showState(
        [
          [size, "size"],
          [bits, "bits"],
          [sign, "sign"],
        ],
        at,
      );
      outlier.set(Math.max(at.get("outlier"), 0));
      const perBlock = found.groups.map((g) =>
        errorsOf(
          weights.subarray(g.first, g.first + g.codes.length),
          found.decoded.subarray(g.first, g.first + g.codes.length),
        ),
      );
      return {
        plot: [
          chart(plot, weights, found, perBlock, (i, v) =>
            at.set({ place: i, outlier: Math.max(v / largest(picker.current().values), 0) }),
          ),
        ],
        reading: [
          fact(
            "mean squared error, one scale for all",
            value("squared-whole", errorsOf(weights, whole(weights, at).decoded).squared),
          ),
          fact(
            "mean |error ∕ weight|",
            value("relative", errors.relative, percent(errors.relative)),
          ),
          fact("in these blocks", value("squared", errors.squared)),
          fact(
            "worst block",
            value(
              "worst",
              Math.max(...perBlock.map((e) => e.relative)),
              percent(Math.max(...perBlock.map((e) => e.relative))),
            ),
          ),
          fact(
            "bits per weight",
            value("bits", found.bitsPerWeight, format(found.bitsPerWeight, 4)),
          ),
          source(
            `row ${picker.current().row}, columns ${picker.current().column} … of ${picker.current().tensor}` +
              (at.get("outlier") > 0
                ? ", and one weight made larger by hand"
                : at.get("outlier") < 0
                  ? ", its largest weight taken out"
                  : ""),
          ),
        ],
        table: [
          ["block", "scale", "mean |error ∕ weight|", "mean squared error"],
          found.groups.map((g, i) => [i + 1, g.scale, perBlock[i].relative, perBlock[i].squared]),
        ],
      };
    },
  );
}

function largest(values) {
  return values.reduce((a, x) => Math.max(a, Math.abs(x)), 0);
}

function row(values, at) {
  const weights = Float32Array.from(values),
    factor = at.get("outlier");
  if (factor > 0) weights[at.get("place") % weights.length] = factor * largest(values);
  if (factor < 0) weights[weights.findIndex((w) => Math.abs(w) === largest(values))] = 0;
  return weights;
}

function chart(plot, weights, found, perBlock, drag) {
  const width = widthOf(plot),
    left = 56,
    top = 14,
    middle = 190,
    height = 300;
  const reach = largest(weights) || 1;
  const x = linear([0, weights.length], [left, width - 6]),
    y = linear([-reach, reach], [middle, top]);
  const most = Math.max(...perBlock.map((e) => e.relative), 1e-9);
  const low = linear([0, most], [height - 20, middle + 24]);
  const image = picture(
    width,
    height,
    `${weights.length} weights in blocks of ${found.groups[0].codes.length}, ` +
      "what they decode to, and the error of each block",
    axisLeft(y, left, width - 6, { label: (v) => format(v, 2) }),
  );
  found.groups.forEach((g, i) => {
    const a = x(g.first),
      b = x(g.first + g.codes.length),
      bar = low(perBlock[i].relative);
    if (i % 2)
      image.prepend(
        s("rect", { x: a, width: b - a, y: top, height: height - 34, class: "ground" }),
      );
    image.append(
      s("rect", {
        class: "bar second",
        x: a + 1,
        width: Math.max(b - a - 2, 1),
        y: bar,
        height: Math.max(height - 20 - bar, 1),
        rx: 2,
      }),
    );
    if (b - a > 44)
      image.append(
        s(
          "text",
          { x: (a + b) / 2, y: bar - 4, "text-anchor": "middle" },
          percent(perBlock[i].relative, 0),
        ),
      );
  });
  let stems = "",
    steps = "";
  for (let i = 0; i < weights.length; i++) {
    const px = x(i + 0.5);
    stems += `M${px} ${y(0)}V${y(weights[i])}`;
    steps += `M${px - 1.6} ${y(found.decoded[i])}h3.2`;
  }
  image.append(s("path", { d: stems, class: "stems" }), s("path", { d: steps, class: "steps" }));
  image.append(s("text", { x: left, y: height - 4 }, "mean |error ∕ weight| of each block"));
  const peak = weights.reduce((a, w, i) => (Math.abs(w) > Math.abs(weights[a]) ? i : a), 0);
  const mark = s("circle", {
    class: "weight g1",
    cx: x(peak + 0.5),
    cy: y(weights[peak]),
    r: 7,
    tabindex: "0",
    role: "slider",
    "data-mark": "outlier",
    "aria-label": "the largest weight",
    "aria-valuenow": weights[peak],
    "aria-valuetext": `${format(weights[peak])} at column ${peak}`,
  });
  draggable(mark, (px, py) =>
    drag(Math.min(Math.max(Math.floor(x.from(px)), 0), weights.length - 1), Math.abs(y.from(py))),
  );
  mark.addEventListener("keydown", (event) => {
    const by = { ArrowUp: 1.1, ArrowDown: 1 / 1.1 }[event.key];
    if (!by) return;
    event.preventDefault();
    drag(peak, Math.abs(weights[peak]) * by);
  });
  image.append(mark);
  image.setAttribute("role", "group");
  return image;
}

/** The weights with one scale for all of them. */
function whole(weights, at) {
  return quantize(formatOf(`INT${at.get("bits")}_${at.get("sign")}_ROW`), weights);
}
