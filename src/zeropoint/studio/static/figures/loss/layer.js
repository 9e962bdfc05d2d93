// A real matrix times real inputs, with its original weights and with those that a format stores.

import {
  errorsOf,
  findFormat,
  formatOf,
  fullName,
  OFFERED,
  quantize,
} from "../../codecs/formats.js";
import { axisLeft } from "../../lib/axes.js";
import { choice, moreOptions, select } from "../../lib/controls.js";
import { h, picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format, percent } from "../../lib/format.js";
import { linear } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";
import { shortName, source } from "../../lib/tensor_picker.js";

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const at = state.scope("layer", { product: 0, kind: "INT4_SYM", group: 32 }, () => show());
  const menu = select({
    label: "Matrix",
    name: "product",
    options: data.products.map((p, i) => [String(i), shortName(p.tensor)]),
    onChange: (i) => at.set({ product: Number(i) }, { push: true }),
  });
  const kind = select({
    label: "Format",
    name: "kind",
    options: OFFERED.map((n) => [n, n.replaceAll("_", " ")]),
    onChange: (x) => at.set({ kind: x }, { push: true }),
  });
  const group = choice({
    label: "Weights that share a scale",
    name: "group",
    options: [
      [0, "a row"],
      [16, "16"],
      [32, "32"],
      [128, "128"],
    ],
    onChange: (x) => at.set({ group: Number(x) }, { push: true }),
  });
  const show = figureParts(figure, [kind, moreOptions(menu, group)], (plot) => {
    const p = data.products[at.get("product")] ?? data.products[0],
      n = p.columns;
    const form = findFormat(fullName(at.get("kind"), at.get("group"))) ?? formatOf("INT4_SYM_G32");
    menu.set(String(data.products.indexOf(p)));
    kind.set(at.get("kind"));
    group.set(at.get("group"));
    group.hidden = form.name === at.get("kind");
    const rows = p.rows.map((_, r) => p.weights.subarray(r * n, (r + 1) * n));
    const dot = (w) => w.reduce((sum, v, j) => sum + v * p.inputs[j], 0);
    const decoded = rows.map((w) => quantize(form, w).decoded);
    const exact = rows.map(dot),
      found = decoded.map(dot);
    const length = (list) => Math.sqrt(list.reduce((sum, v) => sum + v * v, 0));
    const off = length(exact.map((v, i) => found[i] - v)) / (length(exact) || 1);
    const all = new Float32Array(decoded.length * n);
    decoded.forEach((d, r) => all.set(d, r * n));
    const weightError = Math.sqrt(errorsOf(p.weights, all).share);
    return {
      plot: [chart(plot, exact, found, p.rows)],
      reading: [
        fact("outputs off by", value("off", off, percent(off, 2))),
        fact("weights off by", value("weights", weightError, percent(weightError, 2))),
        fact("bits per weight", value("bits", quantize(form, rows[0]).bitsPerWeight)),
        h(
          "p",
          { class: "legend" },
          h("span", {}, h("i", { class: "swatch reference" }), "real weights"),
          h(
            "span",
            {},
            h("i", { class: "swatch quant" }),
            `as ${form.name} stores them (right bar)`,
          ),
        ),
        source(
          `${p.rows.length} rows of ${p.tensor} and the inputs of “${p.token}”, ‖difference‖ ∕ ‖outputs‖`,
        ),
      ],
      table: [
        ["row", "output", "with stored weights", "difference"],
        exact.map((v, i) => [p.rows[i], v, found[i], found[i] - v]),
      ],
    };
  });
}

function chart(plot, exact, found, rows) {
  const width = widthOf(plot),
    height = 220,
    left = 56,
    step = (width - left - 10) / exact.length;
  const ends = [Math.min(0, ...exact, ...found), Math.max(0, ...exact, ...found)];
  const y = linear(ends, [height - 24, 12]);
  const image = picture(
    width,
    height,
    "Outputs of the matrix, with real and with stored weights",
    axisLeft(y, left, width - 10, { label: (v) => format(v, 2) }),
  );
  exact.forEach((v, i) => {
    [
      [v, ""],
      [found[i], "second"],
    ].forEach(([out, name], k) =>
      image.append(
        s("rect", {
          class: `bar ${name}`,
          x: left + i * step + 4 + (k * (step - 8)) / 2,
          width: Math.max((step - 8) / 2 - 1, 1),
          y: Math.min(y(out), y(0)),
          height: Math.max(Math.abs(y(out) - y(0)), 1),
          rx: 2,
        }),
      ),
    );
    image.append(
      s(
        "text",
        { x: left + (i + 0.5) * step, y: height - 6, "text-anchor": "middle" },
        step > 52 ? `row ${rows[i]}` : String(rows[i]),
      ),
    );
  });
  return image;
}
