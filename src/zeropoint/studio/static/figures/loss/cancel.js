// Why models still work: the errors of the weights in one dot product, added up one after the other.

import { formatOf, quantize } from "../../codecs/formats.js";
import { axisBelow, axisLeft } from "../../lib/axes.js";
import { moreOptions, range } from "../../lib/controls.js";
import { picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format, percent } from "../../lib/format.js";
import { linear } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";
import { source } from "../../lib/tensor_picker.js";

const MAX_TERMS = 1536;
const BLOCK = 32; // weights that share a scale

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const product = data.products.reduce((a, b) => (b.columns > a.columns ? b : a));
  const count = Math.min(product.columns - (product.columns % BLOCK), MAX_TERMS);
  const inputs = product.inputs.slice(0, count);
  const weightsOf = (/** @type {number} */ row) =>
    product.weights.slice(row * product.columns, row * product.columns + count);
  const at = state.scope("cancel", { bits: 4, row: 0 }, () => show());
  const bits = range({
    label: "Bits per weight",
    min: 2,
    max: 8,
    step: 1,
    name: "bits",
    onInput: (x) => at.set({ bits: Math.round(x) }),
    onDone: () => at.set({}, { push: true }),
  });
  const rowBox = range({
    label: "Output",
    min: 0,
    max: product.rows.length - 1,
    step: 1,
    name: "row",
    onInput: (x) => at.set({ row: Math.round(x) }),
  });
  const show = figureParts(figure, [bits, moreOptions(rowBox)], (plot) => {
    const row = Math.min(Math.max(at.get("row"), 0), product.rows.length - 1);
    bits.set(at.get("bits"));
    rowBox.set(row);
    const sums = addUp(weightsOf(row), inputs, at.get("bits"));
    return {
      plot: [chart(plot, sums)],
      reading: [
        fact("a weight is off by, on average", value("single", sums.single, percent(sums.single))),
        fact("errors added", value("terms", count)),
        fact("had they all one sign", value("aligned", sums.aligned.at(-1) ?? 0)),
        fact("as they are", value("together", sums.together.at(-1) ?? 0)),
        fact("cancelled", value("cancelled", sums.cancelled, percent(sums.cancelled))),
        source(
          `row ${product.rows[row]} of ${product.tensor}, its first ${count} weights as ` +
            `INT${at.get("bits")}_SYM_G${BLOCK}; the inputs are those of the word “${product.token}”`,
        ),
      ],
      table: () => [
        ["term", "input", "weight", "stored", "error of the product", "errors so far"],
        Array.from(inputs, (x, i) => [
          i + 1,
          x,
          sums.weights[i],
          sums.decoded[i],
          sums.errors[i],
          sums.together[i],
        ]),
      ],
    };
  });
}

/** The errors of each product, added with their signs and without. */
function addUp(weights, inputs, bits) {
  const { decoded } = quantize(formatOf(`INT${bits}_SYM_G${BLOCK}`), weights);
  const errors = Array.from(inputs, (x, i) => x * (decoded[i] - weights[i]));
  let [signed, plain, relative, counted] = [0, 0, 0, 0];
  const together = [];
  const aligned = [];
  errors.forEach((error, i) => {
    signed += error;
    plain += Math.abs(error);
    together.push(signed);
    aligned.push(plain);
    if (!weights[i]) return;
    relative += Math.abs((decoded[i] - weights[i]) / weights[i]);
    counted += 1;
  });
  const cancelled = plain ? 1 - Math.abs(signed) / plain : 1;
  return { weights, decoded, errors, together, aligned, cancelled, single: relative / counted };
}

/** Both sums over the terms: one climbs, the other wanders. */
function chart(plot, { together, aligned }) {
  const [width, height, left] = [widthOf(plot), 250, 66];
  const bottom = height - 34;
  const most = Math.max(aligned.at(-1), 1e-12);
  const least = Math.min(...together, 0);
  const x = linear([0, together.length], [left, width - 14]);
  const y = linear([least, most], [bottom, 14]);
  const path = (sums) => `M${left} ${y(0)}L${sums.map((v, i) => `${x(i + 1)} ${y(v)}`).join("L")}`;
  return picture(
    width,
    height,
    "The errors of the products added up, term after term: without signs and with them",
    axisLeft(y, left, width - 14, { label: (v) => format(v, 2) }),
    axisBelow(x, bottom, { n: 6, name: "products added", x: width - 14 }),
    s("path", { class: "curve ghost", d: path(aligned) }),
    s("path", { class: "curve", d: path(together) }),
    s(
      "text",
      { x: x(together.length * 0.6) - 10, y: y(most * 0.66), "text-anchor": "end" },
      "if every error pulled the same way",
    ),
    s(
      "text",
      { x: x(together.length * 0.97), y: y(0) - 18, "text-anchor": "end", class: "on" },
      "the errors as they are",
    ),
  );
}
