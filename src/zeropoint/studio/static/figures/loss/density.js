// The density of a type's values, over the histogram of a tensor's weights.

import { codesWithin, countBetween, FLOATS } from "../../codecs/floats.js";
import { axisBelow, axisLeft } from "../../lib/axes.js";
import { choice, moreOptions, range, select } from "../../lib/controls.js";
import { h, picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format, inCount, percent } from "../../lib/format.js";
import { linear, logarithmic } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";
import { between, tensorPicker } from "./histogram.js";

const BINS = 80;

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const picker = tensorPicker(data, state, "tensor", () => show());
  const at = state.scope(
    "density",
    { type: "F32", reach: 2, within: 1, y: "log", unit: "count" },
    () => show(),
  );
  const type = select({
    label: "Type",
    name: "type",
    options: Object.keys(FLOATS).map((n) => [n, n.replace("_", " ")]),
    onChange: (x) => at.set({ type: x }, { push: true }),
  });
  const reach = range({
    label: "Look from −a to a",
    min: 0.001,
    max: 1000,
    name: "reach",
    toSlider: Math.log10,
    fromSlider: (x) => Number((10 ** x).toPrecision(3)),
    sliderStep: 0.01,
    onInput: (x) => at.set({ reach: x }),
    onDone: () => at.set({}, { push: true }),
  });
  const within = range({
    label: "Count codes below",
    min: 0.001,
    max: 1000,
    name: "within",
    toSlider: Math.log10,
    fromSlider: (x) => Number((10 ** x).toPrecision(3)),
    sliderStep: 0.01,
    onInput: (x) => at.set({ within: x }),
    onDone: () => at.set({}, { push: true }),
  });
  const y = choice({
    label: "Height",
    name: "y",
    options: [
      ["linear", "linear"],
      ["log", "log"],
    ],
    onChange: (x) => at.set({ y: x }, { push: true }),
  });
  const unit = choice({
    label: "Show",
    name: "unit",
    options: [
      ["count", "count"],
      ["percent", "%"],
    ],
    onChange: (x) => at.set({ unit: x }, { push: true }),
  });
  const show = figureParts(
    figure,
    [type, moreOptions(picker.control, reach, within, y, unit)],
    (plot) => {
      const kind = FLOATS[at.get("type")] ?? FLOATS.F32,
        tensor = picker.current();
      const a = at.get("reach");
      type.set(kind.name);
      picker.sync();
      reach.set(a);
      within.set(at.get("within"));
      y.set(at.get("y"));
      unit.set(at.get("unit"));
      const edges = Array.from({ length: BINS + 1 }, (_, i) => -a + (2 * a * i) / BINS);
      const counts = edges.slice(0, -1).map((low, i) => countBetween(kind, low, edges[i + 1]));
      const all = 2 * (kind.maxCode + 1);
      const inside = codesWithin(kind, at.get("within"));
      return {
        plot: [chart(plot, kind, tensor, edges, counts, at, all)],
        reading: [
          fact(
            `codes of ${kind.name} with |x| < ${format(at.get("within"), 4)}`,
            value("within", inside, inside.toLocaleString("en")),
          ),
          fact("of all its finite codes", value("share", inside / all, percent(inside / all))),
          fact("all finite codes", value("codes", all, all.toLocaleString("en"))),
          fact("largest |weight| of the tensor", value("largest", Math.abs(tensor.largest))),
          h(
            "p",
            { class: "legend" },
            h("span", {}, h("i", { class: "swatch reference" }), `numbers of ${kind.name}`),
            h(
              "span",
              {},
              h("i", { class: "swatch quant" }),
              `weights of ${tensor.name} (${inCount(
                tensor.shape.reduce((p, n) => p * n, 1),
              )}), to their own height`,
            ),
          ),
        ],
        table: [
          ["from", "to", "numbers of the type", "weights of the tensor, about"],
          counts.map((n, i) => [
            edges[i],
            edges[i + 1],
            n,
            between(tensor, edges[i], edges[i + 1]),
          ]),
        ],
      };
    },
  );
}

function chart(plot, kind, tensor, edges, counts, at, all) {
  const width = widthOf(plot),
    height = 260;
  const left = 62,
    bottom = height - 30,
    per = at.get("unit") === "percent";
  const shown = counts.map((n) => (per ? (100 * n) / all : n));
  const most = Math.max(...shown, 1e-12);
  const log = at.get("y") === "log";
  const least = per ? 100 / all : 1;
  const y = log
    ? logarithmic([least / 2, Math.max(most, least)], [bottom, 12])
    : linear([0, most], [bottom, 12]);
  const x = linear([edges[0], edges.at(-1)], [left, width - 12]);
  const image = picture(
    width,
    height,
    `How densely ${kind.name} covers the line, and the weights of ${tensor.name}`,
    axisLeft(y, left, width - 12, { label: (v) => (per ? `${format(v, 2)} %` : inCount(v)) }),
    axisBelow(x, bottom, { n: 6 }),
  );
  shown.forEach(
    (n, i) =>
      n > 0 &&
      image.append(
        s("rect", {
          class: "bar",
          x: x(edges[i]),
          y: y(n),
          width: Math.max(x(edges[i + 1]) - x(edges[i]) - 0.5, 0.5),
          height: Math.max(bottom - y(n), 0),
        }),
      ),
  );
  const own = outline(tensor, x, bottom, edges);
  if (own)
    image.append(
      s("path", { class: "area second", d: own }),
      s("path", { class: "curve quant", d: own }),
    );
  return image;
}

/** The tensor's histogram as an outline, scaled to its own tallest bin. */
function outline(tensor, x, bottom, edges) {
  const n = tensor.counts.length,
    most = Math.max(...tensor.counts);
  const bin = (2 * tensor.limit) / n;
  let path = "";
  for (let i = 0; i < n; i++) {
    const low = Math.max(-tensor.limit + i * bin, edges[0]);
    const high = Math.min(-tensor.limit + (i + 1) * bin, edges.at(-1));
    if (high <= low) continue;
    const top = bottom - ((bottom - 12) * tensor.counts[i]) / most;
    path += `${path ? "L" : `M${x(low)} ${bottom}L`}${x(low)} ${top}L${x(high)} ${top}`;
  }
  return path && `${path}L${x(Math.min(tensor.limit, edges.at(-1)))} ${bottom}`;
}
