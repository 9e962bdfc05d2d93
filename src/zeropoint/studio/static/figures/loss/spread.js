// One tensor: its weights and errors as histograms with the storable values drawn in, and its worst block.

import { axisBelow, axisLeft } from "../../lib/axes.js";
import { choice } from "../../lib/controls.js";
import { h, picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { inCount, percent } from "../../lib/format.js";
import { linear, logarithmic } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";
import { tensorPicker } from "./histogram.js";
import { columnsOf, stems } from "./stems.js";

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const tensors = data.tensors.filter((t) => t.counts);
  const picker = tensorPicker({ tensors }, state, "tensor", () => show());
  const at = state.scope("spread", { y: "log", what: "weights" }, () => show());
  const y = choice({
    label: "Height",
    name: "y",
    options: [
      ["linear", "linear"],
      ["log", "log"],
    ],
    onChange: (x) => at.set({ y: x }, { push: true }),
  });
  const what = choice({
    label: "Histogram of",
    name: "what",
    options: [
      ["weights", "weights"],
      ["errors", "errors"],
      ["layers", "all layers"],
    ],
    onChange: (x) => at.set({ what: x }, { push: true }),
  });
  const show = figureParts(figure, [picker.control, what, y], (plot) => {
    const one = picker.current(),
      block = one.block;
    picker.sync();
    y.set(at.get("y"));
    what.set(at.get("what"));
    const levels = block ? [...new Set(block.decoded)].sort((a, b) => a - b) : [];
    const family = tensors.filter((t) => t.kind === one.kind);
    const main =
      at.get("what") === "layers"
        ? rows(plot, family, one, picker.set)
        : chart(plot, one, at, levels);
    return {
      plot: [
        main,
        block
          ? worst(plot, one, block)
          : h("p", { class: "note" }, "Copied as it was: nothing was lost here."),
      ],
      reading: [
        fact("format", value("format", null, one.format)),
        fact(
          "error ∕ weights",
          value(
            "error",
            one.relative_error === null ? null : Math.sqrt(one.relative_error),
            one.relative_error === null ? "none" : percent(Math.sqrt(one.relative_error), 2),
          ),
        ),
        block
          ? fact(
              "worst block",
              value("row", block.row, `row ${block.row}, column ` + `${block.column}`),
            )
          : null,
        block ? fact("values in it", value("levels", levels.length)) : null,
      ].filter(Boolean),
      table: block
        ? [
            ["column", "weight", "decoded", "error"],
            Array.from(block.weights, (w, i) => [
              block.column + i,
              w,
              block.decoded[i],
              block.decoded[i] - w,
            ]),
          ]
        : [
            ["from", "to", "weights"],
            one.counts.map((n, i) => [
              edge(one.limit, one.counts, i),
              edge(one.limit, one.counts, i + 1),
              n,
            ]),
          ],
    };
  });
}

function edge(limit, counts, i) {
  return -limit + (2 * limit * i) / counts.length;
}

function reachOf(limit, counts) {
  const first = counts.findIndex((n) => n > 0),
    last = counts.length - 1 - [...counts].reverse().findIndex((n) => n > 0);
  return Math.min(
    limit,
    1.02 * Math.max(Math.abs(edge(limit, counts, first)), Math.abs(edge(limit, counts, last + 1))),
  );
}

function chart(plot, one, at, levels) {
  const errors = at.get("what") === "errors";
  const [counts, limit] = errors ? [one.errors, one.errors_limit] : [one.counts, one.limit];
  const width = widthOf(plot),
    height = 240,
    left = 58,
    bottom = height - 30,
    reach = reachOf(limit, counts);
  const y =
    at.get("y") === "log"
      ? logarithmic([0.5, Math.max(...counts)], [bottom, 22])
      : linear([0, Math.max(...counts)], [bottom, 22]);
  const x = linear([-reach, reach], [left, width - 12]);
  const image = picture(
    width,
    height,
    `Histogram of the ${errors ? "errors" : "weights"} of ${one.name}`,
    axisLeft(y, left, width - 12, { label: inCount }),
    axisBelow(x, bottom, { n: width > 500 ? 8 : 4 }),
  );
  counts.forEach(
    (n, i) =>
      n > 0 &&
      image.append(
        s("rect", {
          class: errors ? "bar second" : "bar",
          y: y(n),
          x: x(edge(limit, counts, i)),
          width: Math.max(x(edge(limit, counts, i + 1)) - x(edge(limit, counts, i)) - 0.5, 0.8),
          height: Math.max(bottom - y(n), 1),
        }),
      ),
  );
  if (!errors) {
    for (const level of levels) {
      if (Math.abs(level) <= reach)
        image.append(s("line", { class: "code-tick", x1: x(level), x2: x(level), y1: 6, y2: 18 }));
    }
    image.append(s("text", { x: left, y: 16, "text-anchor": "end" }, "codes "));
  }
  return image;
}

function rows(plot, family, one, pick) {
  const width = widthOf(plot),
    step = 22,
    left = 80,
    height = family.length * step + 40,
    bottom = height - 26;
  const reach = Math.max(...family.map((t) => reachOf(t.limit, t.counts))) / 2;
  const x = linear([-reach, reach], [left, width - 12]);
  const image = picture(
    width,
    height,
    `Histograms of ${one.kind} in every layer`,
    axisBelow(x, bottom, { n: 6 }),
  );
  family.forEach((t, i) => {
    const base = bottom - 2 - (family.length - 1 - i) * step,
      most = Math.max(...t.counts);
    let path = `M${x(-reach)} ${base}`;
    t.counts.forEach((n, k) => {
      const middle = (edge(t.limit, t.counts, k) + edge(t.limit, t.counts, k + 1)) / 2;
      if (Math.abs(middle) <= reach) path += `L${x(middle)} ${base - (34 * n) / most}`;
    });
    image.append(
      s(
        "g",
        {
          role: "button",
          tabindex: "0",
          "data-mark": t.name,
          "aria-label": t.name,
          onclick: () => pick(t.name),
          onkeydown: (event) => event.key === "Enter" && pick(t.name),
        },
        s("path", {
          d: `${path}L${x(reach)} ${base}Z`,
          class: `area ${t === one ? "second" : ""}`,
        }),
        s("path", { d: path, class: `curve ${t === one ? "second" : ""}` }),
        s(
          "text",
          { x: left - 8, y: base, "text-anchor": "end", class: t === one ? "strong" : "" },
          t.name.replace(/^blk\.(\d+)\..*/, "layer $1"),
        ),
      ),
    );
  });
  image.setAttribute("role", "group");
  return image;
}

function worst(plot, one, block) {
  return stems(
    plot,
    block,
    `The worst block of ${one.name}: ${block.weights.length} weights and what they decode to`,
    `worst block: stems are weights, bars what is stored, ${columnsOf(block)}`,
  );
}
