// One output of one real matrix: inputs × weights, added up. Any input can be changed.

import { button, moreOptions, range, select } from "../../lib/controls.js";
import { h, picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format } from "../../lib/format.js";
import { draggable, roving } from "../../lib/marks.js";
import { linear } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";
import { shortName, source } from "../../lib/tensor_picker.js";

const SHOWN = 24;

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const at = state.scope("neuron", { product: 0, row: 0, column: -1, input: NaN }, () => show());
  const product = () => data.products[at.get("product")] ?? data.products[0];
  const row = () => Math.min(Math.max(Math.round(at.get("row")), 0), product().rows.length - 1);
  const inputs = () => {
    const found = Float32Array.from(product().inputs);
    if (!Number.isNaN(at.get("input"))) found[column()] = at.get("input");
    return found;
  };
  const column = () => {
    const n = product().columns,
      c = Math.round(at.get("column"));
    return c >= 0 && c < n ? c : strongest(product(), row());
  };
  const menu = select({
    label: "Matrix",
    name: "product",
    options: data.products.map((p, i) => [String(i), shortName(p.tensor)]),
    onChange: (i) => at.set({ product: Number(i), row: 0, column: -1, input: NaN }, { push: true }),
  });
  const rowMenu = range({
    label: "Output (row of the matrix)",
    min: 0,
    max: data.products[0].rows.length - 1,
    step: 1,
    name: "row",
    onInput: (r) => at.set({ row: Math.round(r), column: -1, input: NaN }),
  });
  const columnBox = range({
    label: "Input (column)",
    min: 0,
    max: data.products[0].columns - 1,
    step: 1,
    name: "column",
    onInput: (c) => at.set({ column: Math.round(c), input: NaN }),
  });
  const inputBox = range({
    label: "Its value",
    min: -8,
    max: 8,
    step: 0.01,
    name: "input",
    onInput: (x) => at.set({ column: column(), input: x }),
    onDone: () => at.set({}, { push: true }),
  });
  const reset = button("as it was", "reset", () => at.set({ input: NaN }, { push: true }));
  const show = figureParts(
    figure,
    [inputBox, moreOptions(menu, rowMenu, columnBox, reset)],
    (plot) => {
      const p = product(),
        r = row(),
        c = column(),
        x = inputs(),
        n = p.columns;
      const w = p.weights.subarray(r * n, (r + 1) * n);
      const terms = Array.from(x, (v, j) => v * w[j]);
      const sum = terms.reduce((a, t) => a + t, 0);
      const was = Array.from(p.inputs, (v, j) => v * w[j]).reduce((a, t) => a + t, 0);
      menu.set(String(data.products.indexOf(p)));
      rowMenu.limit(p.rows.length - 1);
      columnBox.limit(n - 1);
      rowMenu.set(r);
      columnBox.set(c);
      inputBox.set(x[c]);
      return {
        plot: [
          equation(x, w, c, sum, n),
          bars(
            plot,
            terms,
            c,
            (j) => at.set({ column: j, input: NaN }),
            (v) => at.set({ column: c, input: Number((w[c] ? v / w[c] : 0).toPrecision(4)) }),
          ),
        ],
        reading: [
          fact("input", value("x", x[c])),
          fact("parameter", value("w", w[c])),
          fact("their product", value("term", terms[c])),
          fact(`sum of all ${n} products`, value("output", sum, format(sum, 6))),
          sum !== was ? fact("before you changed it", value("was", was, format(was, 6))) : null,
          source(
            `row ${p.rows[r]} of ${p.tensor} (${p.shape.join(" × ")}, ${p.format}); the inputs are what ` +
              `reached this matrix when the model read “${p.token}” at position ${p.position} of “${p.text}”`,
          ),
        ].filter(Boolean),
        table: [["column", "input", "weight", "product"], terms.map((t, j) => [j, x[j], w[j], t])],
      };
    },
  );
}

function strongest(p, r) {
  let best = 0;
  for (let j = 1; j < p.columns; j++) {
    const size = (i) => Math.abs(p.inputs[i] * p.weights[r * p.columns + i]);
    if (size(j) > size(best)) best = j;
  }
  return best;
}

function equation(x, w, c, sum, n) {
  const near = [c, (c + 1) % n, (c + 2) % n];
  const parts = near.flatMap((j, i) => [
    i ? " + " : "",
    h("span", { class: j === c ? "g1" : "g0" }, `${format(x[j], 3)} × ${format(w[j], 3)}`),
  ]);
  return h("p", { class: "formula" }, ...parts, ` + … (${n - 3} more) = ${format(sum, 6)}`);
}

/** The largest products as bars; the selected bar can be dragged. */
function bars(plot, terms, c, pick, drag) {
  const width = widthOf(plot),
    height = 190,
    _middle = 92;
  const order = terms
    .map((_, j) => j)
    .sort((a, b) => Math.abs(terms[b]) - Math.abs(terms[a]))
    .slice(0, width < 500 ? 14 : SHOWN);
  if (!order.includes(c)) order[order.length - 1] = c;
  order.sort((a, b) => a - b);
  const most = Math.max(...order.map((j) => Math.abs(terms[j])), 1e-9);
  const y = linear([-most, most], [height - 22, 10]);
  const step = width / order.length;
  const image = picture(
    width,
    height,
    `The ${order.length} largest of ${terms.length} products`,
    s("g", { class: "axis" }, s("line", { class: "rail", x1: 0, x2: width, y1: y(0), y2: y(0) })),
  );
  const marks = order.map((j, i) => {
    const mark = s("rect", {
      x: i * step + 2,
      width: Math.max(step - 4, 2),
      y: Math.min(y(terms[j]), y(0)),
      height: Math.max(Math.abs(y(terms[j]) - y(0)), 1.5),
      class: `bar ${j === c ? "second" : ""}`,
      rx: 2,
      role: "button",
      "aria-label": `input ${j}: product ${format(terms[j])}`,
      "data-mark": `term${j}`,
    });
    mark.addEventListener("click", () => j !== c && pick(j));
    if (j === c) draggable(mark, (_, py) => drag(y.from(py)));
    image.append(
      s(
        "text",
        {
          x: (i + 0.5) * step,
          y: height - 4,
          "text-anchor": "middle",
          class: j === c ? "strong" : "",
        },
        j === c ? `input ${j}` : "",
      ),
    );
    return mark;
  });
  image.append(...marks);
  roving(marks, {
    start: order.indexOf(c),
    onPress: (i) => pick(order[i]),
    onKey: (_i, event) => {
      if (event.key === "ArrowUp") drag(terms[c] + most / 50);
      else if (event.key === "ArrowDown") drag(terms[c] - most / 50);
      else return false;
      return true;
    },
  });
  return image;
}
