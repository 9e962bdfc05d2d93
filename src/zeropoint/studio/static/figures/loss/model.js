// The size of the file, and its size at any number of bits per weight.

import { moreOptions, range } from "../../lib/controls.js";
import { picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format, inBytes, inCount } from "../../lib/format.js";
import { linear } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";
import { source } from "../../lib/tensor_picker.js";

const MACHINES = [8, 16, 64]; // GB of memory of common machines

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const model = data.model;
  const at = state.scope("model", { bits: 4.5, parameters: model.parameters }, () => show());
  const bits = range({
    label: "Bits per weight",
    min: 1,
    max: 32,
    step: 0.1,
    name: "bits",
    onInput: (x) => at.set({ bits: x }),
    onDone: () => at.set({}, { push: true }),
  });
  const parameters = range({
    label: "Parameters",
    min: 1e6,
    max: 4e12,
    step: 1,
    name: "parameters",
    toSlider: Math.log10,
    fromSlider: (x) => Math.round(10 ** x),
    sliderStep: 0.01,
    onInput: (x) => at.set({ parameters: Math.round(x) }),
    onDone: () => at.set({}, { push: true }),
  });
  const show = figureParts(figure, [bits, moreOptions(parameters)], (plot) => {
    const count = at.get("parameters"),
      own = count === model.parameters;
    bits.set(at.get("bits"));
    parameters.set(count);
    /** @type {[string, number][]} */
    const widths = [
      ["32-bit floats", 32],
      ["16-bit floats", 16],
      ["8 bits", 8],
      ["4 bits", 4],
      ["2 bits", 2],
    ];
    const rows = widths.map(([name, b]) => row(name, b, (count * b) / 8));
    if (own) rows.push(row("this file", model.bits_per_weight, model.bytes));
    rows.push(row("your choice", at.get("bits"), (count * at.get("bits")) / 8));
    rows.sort((a, b) => b[1] - a[1]);
    const bytes = (count * at.get("bits")) / 8;
    return {
      plot: [bars(plot, rows)],
      reading: [
        fact("parameters", value("parameters", count, inCount(count))),
        fact("at your choice", value("bytes", bytes, inBytes(bytes))),
        fact(
          "of its 16-bit size",
          value("share", at.get("bits") / 16, `${format((100 * at.get("bits")) / 16, 3)} %`),
        ),
        source(
          `${model.name}: ${model.architecture}, ${model.layers} layers, ${inBytes(model.bytes)}, ` +
            `${format(model.bits_per_weight, 4)} bits per weight`,
        ),
      ],
      table: [["stored as", "bits per weight", "bytes"], rows],
    };
  });
}

function bars(plot, rows) {
  const width = widthOf(plot),
    left = 108;
  const x = linear([0, rows[0][2]], [left, width - 84]);
  const image = picture(width, rows.length * 34 + 12, "Size by bits per weight");
  for (const memory of MACHINES) {
    const place = x(memory * 1e9);
    if (place > width - 84) continue;
    image.append(
      s("line", { class: "band-line", x1: place, x2: place, y1: 0, y2: rows.length * 34 + 4 }),
      s("text", { x: place + 4, y: rows.length * 34 + 4 }, `${memory} GB of memory`),
    );
  }
  rows.forEach(([name, _b, bytes], i) => {
    const chosen = name === "your choice",
      y = i * 34 + 6;
    image.append(
      s(
        "text",
        { x: left - 10, y: y + 16, "text-anchor": "end", class: chosen ? "strong" : "" },
        name,
      ),
      s("rect", {
        x: left,
        y,
        width: Math.max(x(bytes) - left, 1),
        height: 22,
        rx: 3,
        class: `bar ${chosen ? "second" : name === "this file" ? "" : "ghost"}`,
      }),
      s("text", { x: x(bytes) + 7, y: y + 16, class: chosen ? "strong" : "" }, inBytes(bytes)),
    );
  });
  return image;
}

/**
 * A row of the figure: its name, bits per weight, bytes.
 * @param {string} name
 * @param {number} bits
 * @param {number} bytes
 * @returns {[string, number, number]}
 */
const row = (name, bits, bytes) => [name, bits, bytes];
