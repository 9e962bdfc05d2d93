// A small gradient in many steps of training: lost by nearest rounding, kept on average by chance.

import { axisBelow, axisLeft } from "../../lib/axes.js";
import { button, range } from "../../lib/controls.js";
import { h, picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format } from "../../lib/format.js";
import { linear } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";
import { runningSums } from "./rounded_sums.js";

/**
 * @param {HTMLElement} figure
 * @param {PageData} _data
 * @param {PageState} state
 */
export function mount(figure, _data, state) {
  const at = state.scope("vanishing", { gradient: 0.2, count: 100, seed: 1 }, () => show());
  const gradient = range({
    label: "Gradient, in steps of the format",
    min: 0,
    max: 2,
    step: 0.05,
    name: "gradient",
    onInput: (x) => at.set({ gradient: x }),
    onDone: () => at.set({}, { push: true }),
  });
  const count = range({
    label: "Times it is added",
    min: 1,
    max: 1000,
    step: 1,
    name: "count",
    onInput: (x) => at.set({ count: Math.round(x) }),
    onDone: () => at.set({}, { push: true }),
  });
  const again = button("draw again", "again", () =>
    at.set({ seed: at.get("seed") + 1 }, { push: true }),
  );
  const controls = [gradient, count, h("div", { class: "control buttons" }, again)];
  const show = figureParts(figure, controls, (plot) => {
    const sums = runningSums(at.get("gradient"), at.get("count"), at.get("seed")),
      last = at.get("count");
    gradient.set(at.get("gradient"));
    count.set(last);
    return {
      plot: [
        chart(plot, sums),
        h(
          "p",
          { class: "legend" },
          h("span", {}, "solid: exact"),
          h("span", {}, "dotted: rounded to the nearest step"),
          h("span", {}, h("i", { class: "swatch quant" }), "dashed: rounded at random"),
        ),
      ],
      reading: [
        fact("exact", value("exact", sums.exact[last], `${format(sums.exact[last], 4)} steps`)),
        fact(
          "nearest",
          value("nearest", sums.nearest[last], `${format(sums.nearest[last])} steps`),
        ),
        fact("at random", value("drawn", sums.drawn[last], `${format(sums.drawn[last])} steps`)),
      ],
      table: () => [
        ["times added", "exact", "nearest", "at random"],
        sums.exact.map((exact, i) => [i, exact, sums.nearest[i], sums.drawn[i]]),
      ],
    };
  });
}

function chart(plot, sums) {
  const width = widthOf(plot, 720),
    height = 280,
    left = 52,
    right = width - 14,
    bottom = height - 44;
  const count = sums.exact.length - 1,
    high = Math.max(sums.exact[count], sums.nearest[count], sums.drawn[count], 1);
  const x = linear([0, count], [left, right]),
    y = linear([0, high], [bottom, 14]);
  const line = (kind, sum) =>
    s("path", { class: `curve ${kind}`, d: `M${sum.map((v, i) => `${x(i)} ${y(v)}`).join("L")}` });
  return picture(
    width,
    height,
    "The sum of a rounded gradient by the number of times it is added",
    axisLeft(y, left, right),
    axisBelow(x, bottom, { n: width > 500 ? 6 : 3, name: "times added", x: right }),
    s("text", { x: left + 4, y: 26, class: "axis-name" }, "how far the weight has moved, in steps"),
    line("", sums.exact),
    line("third", sums.nearest),
    line("quant", sums.drawn),
  );
}
