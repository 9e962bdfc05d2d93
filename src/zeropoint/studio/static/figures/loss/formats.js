// Every format that these pages support, on the same real weights: bits against error.

import { errorsOf, formatOf, fullName, OFFERED, quantize } from "../../codecs/formats.js";
import { axisBelow, axisLeft } from "../../lib/axes.js";
import { choice, moreOptions } from "../../lib/controls.js";
import { h, picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format, percent } from "../../lib/format.js";
import { roving } from "../../lib/marks.js";
import { linear, logarithmic } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";
import { piecePicker, source } from "../../lib/tensor_picker.js";
import { symbol } from "./ladder.js";

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const picker = piecePicker(data, state, () => show());
  const at = state.scope("formats", { group: 32, format: "INT4_SYM" }, () => show());
  const group = choice({
    label: "Weights that share a scale",
    name: "group",
    options: [
      [16, "16"],
      [32, "32"],
      [64, "64"],
      [128, "128"],
      [0, "all"],
    ],
    onChange: (x) => at.set({ group: Number(x) }, { push: true }),
  });
  const pick = (kind) => at.set({ format: kind }, { push: true });
  const show = figureParts(figure, [group, moreOptions(picker.control)], (plot) => {
    const weights = picker
      .current()
      .values.slice(0, Math.floor(picker.current().values.length / 32) * 32);
    picker.sync();
    group.set(at.get("group"));
    const all = OFFERED.map((kind) => {
      const name = fullName(kind, at.get("group")),
        found = quantize(formatOf(name), weights);
      return {
        kind,
        name,
        bits: found.bitsPerWeight,
        error: Math.sqrt(errorsOf(weights, found.decoded).share),
      };
    });
    const one = all.find((f) => f.kind === at.get("format")) ?? all[0];
    return {
      plot: [chart(plot, all, one, pick)],
      reading: [
        fact("format", value("format", null, one.name)),
        fact("bits per weight", value("bits", one.bits)),
        fact("error ∕ weights", value("error", one.error, percent(one.error, 2))),
        h(
          "p",
          { class: "legend" },
          "● symmetric integers",
          h("span", {}, "■ asymmetric integers"),
          h("span", {}, "◆ floats, tables, microscaling, ggml"),
        ),
        source(
          `row ${picker.current().row}, columns ${picker.current().column} … of ${picker.current().tensor}: ` +
            "‖difference‖ ∕ ‖weights‖. Formats with a rule use it; ggml's search their scale",
        ),
      ],
      table: [
        ["format", "bits per weight", "error ∕ weights"],
        [...all]
          .sort((a, b) => a.bits - b.bits || a.error - b.error)
          .map((f) => [f.name, f.bits, f.error]),
      ],
    };
  });
}

function chart(plot, all, one, pick) {
  const width = widthOf(plot),
    height = 330,
    left = 58,
    bottom = height - 34;
  const errors = all.map((f) => f.error).filter((e) => e > 0);
  const y = logarithmic(
    [Math.min(...errors, 1) / 1.5, Math.max(...errors, 1e-6) * 1.4],
    [bottom, 12],
  );
  const x = linear([2, Math.max(...all.map((f) => f.bits)) + 0.3], [left, width - 16]);
  const image = picture(
    width,
    height,
    "Error of every format on the picked weights, by bits per weight",
    axisLeft(y, left, width - 16, { label: (v) => percent(v, v < 0.01 ? 1 : 0) }),
    axisBelow(x, bottom, { n: 8 }),
  );
  const order = [...all].sort((a, b) => a.bits - b.bits);
  const marks = order.map((f) => {
    const mark = s(
      "g",
      {
        role: "button",
        "data-mark": f.kind,
        class: f === one ? "chosen" : "",
        "aria-label": `${f.name}: ${format(f.bits, 3)} bits per weight, error ${percent(f.error, 2)}`,
        onclick: () => pick(f.kind),
      },
      symbol(
        f.kind.startsWith("INT") ? (f.kind.endsWith("ASYM") ? "asymmetric" : "symmetric") : "",
        x(f.bits),
        y(Math.max(f.error, 1e-6)),
        f === one,
      ),
    );
    if (f === one) {
      const end = x(f.bits) > width * 0.6;
      mark.append(
        s(
          "text",
          {
            class: "strong",
            x: x(f.bits) + (end ? -13 : 13),
            y: y(Math.max(f.error, 1e-6)) - 7,
            "text-anchor": end ? "end" : "start",
          },
          f.name,
        ),
      );
    }
    return mark;
  });
  image.append(...marks);
  roving(marks, {
    start: order.indexOf(one),
    onFocus: (i) => order[i] !== one && pick(order[i].kind),
  });
  return image;
}
