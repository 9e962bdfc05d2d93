// Predicted against measured loss of every recipe that a search tried, both axes logarithmic.

import { axisBelow, axisLeft } from "../../lib/axes.js";
import { h, picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format } from "../../lib/format.js";
import { roving } from "../../lib/marks.js";
import { logarithmic } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";
import { source } from "../../lib/tensor_picker.js";
import { recipePicker } from "./recipe.js";

const NAMES = {
  tried: "○ tried",
  accepted: "● the search went on from here",
  found: "◆ the recipe, on the text for figures",
};

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const picker = recipePicker(data, state, () => show());
  const at = state.scope("prediction", { mark: -1 }, () => show());
  const pick = (i) => at.set({ mark: i }, { push: true });
  const show = figureParts(figure, [picker.control], (plot) => {
    const point = picker.current(),
      marks = marksOf(point);
    picker.sync();
    if (!marks.length)
      return {
        plot: [h("p", { class: "note" }, "The loss of this recipe was predicted, not measured.")],
        reading: [fact("predicted", value("predicted", point.predicted, nats(point.predicted)))],
        table: [["recipe", "predicted"], [[point.name, point.predicted]]],
      };
    const i = marks[at.get("mark")] ? at.get("mark") : marks.length - 1,
      one = marks[i];
    return {
      plot: [chart(plot, marks, i, pick), legend(marks)],
      reading: [
        fact("recipe", value("change", null, one.change)),
        fact("predicted", value("predicted", one.predicted, nats(one.predicted))),
        fact("measured", value("measured", one.mean, nats(one.mean))),
        fact(
          "95 % interval",
          value(
            "high",
            one.high,
            one.low === null ? "unknown" : `${format(one.low, 3)} … ${format(one.high, 3)}`,
          ),
        ),
        fact("measured ∕ predicted", value("ratio", one.mean / one.predicted)),
        source(
          `${point.run}: KL in nats per token, with rounding to nearest; on the dashed line a ` +
            "prediction is right",
        ),
      ],
      table: [
        ["recipe", "what it is", "predicted", "measured", "low", "high"],
        marks.map((m) => [m.change, NAMES[m.kind].slice(2), m.predicted, m.mean, m.low, m.high]),
      ],
    };
  });
}

const nats = (x) => `${format(x, 3)} nats`;

/** The evaluations of a recipe and, last, the recipe itself; what lost nothing has no place. */
function marksOf(point) {
  const tried = point.evaluations.map((one) => ({
    ...one.measured,
    change: one.change,
    predicted: one.predicted,
    kind: one.accepted ? "accepted" : "tried",
  }));
  const found = point.measured
    ? [{ ...point.measured, change: point.name, predicted: point.predicted, kind: "found" }]
    : [];
  return [...tried, ...found].filter((m) => m.mean > 0 && m.predicted > 0);
}

function legend(marks) {
  return h(
    "p",
    { class: "legend" },
    Object.entries(NAMES)
      .filter(([kind]) => marks.some((m) => m.kind === kind))
      .map(([, name]) => h("span", {}, name)),
  );
}

function chart(plot, marks, chosen, pick) {
  const width = widthOf(plot, 560),
    left = 62,
    side = Math.min(width - left - 14, 400),
    bottom = 14 + side;
  const all = marks.flatMap((m) => [m.predicted, m.mean, m.low ?? m.mean, m.high ?? m.mean]);
  const positive = all.filter((v) => v > 0);
  const reach = [Math.min(...positive) / 1.15, Math.max(...positive) * 1.15];
  const x = logarithmic(reach, [left, left + side]),
    y = logarithmic(reach, [bottom, 14]);
  const image = picture(
    width,
    bottom + 42,
    `Predicted and measured loss of ${marks.length} recipes`,
    axisLeft(y, left, left + side),
    axisBelow(x, bottom, { name: "predicted loss, nats per token", x: left + side, n: 4 }),
    s("text", { x: left + 4, y: 26, class: "axis-name" }, "measured loss, nats per token"),
    s("path", { class: "needle dashed", d: `M${left} ${bottom}L${left + side} 14` }),
  );
  const drawn = marks.map((m, i) => {
    const mark = s("g", {
      role: "button",
      "data-mark": `p${i}`,
      class: i === chosen ? "chosen" : "",
      "aria-label": `${m.change}: predicted ${format(m.predicted, 3)}, measured ${format(m.mean, 3)} nats`,
      onclick: () => pick(i),
    });
    if (m.low !== null && m.high !== null)
      mark.append(
        s("line", {
          class: "whisker",
          x1: x(m.predicted),
          x2: x(m.predicted),
          y1: Math.min(y(m.low), bottom),
          y2: y(m.high),
        }),
      );
    mark.append(symbol(m.kind, x(m.predicted), y(m.mean), i === chosen));
    return mark;
  });
  image.append(...drawn);
  roving(drawn, { start: chosen, onPress: pick });
  return image;
}

function symbol(kind, x, y, chosen) {
  const r = chosen ? 7.5 : 5;
  if (kind === "found")
    return s("path", {
      class: "dot named",
      d: `M${x} ${y - r - 2}l${r + 2} ${r + 2}l-${r + 2} ${r + 2}l-${r + 2} -${r + 2}z`,
    });
  return s("circle", { class: `dot ${kind === "tried" ? "open" : ""}`, cx: x, cy: y, r });
}
