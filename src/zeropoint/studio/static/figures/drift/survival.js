// The share of texts that are still identical after each token, and the prediction from single tokens.

import { axisBelow, axisLeft } from "../../lib/axes.js";
import { h, picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { percent } from "../../lib/format.js";
import { linear } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";
import { source } from "../../lib/tensor_picker.js";
import { quantPicker, spread, walkable, wayPicker } from "./steps.js";

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const runs = data.drifts;
  const quants = quantPicker(runs, state, () => show()),
    ways = wayPicker(runs, state, () => show());
  const at = state.scope("survival", { step: 8 }, () => show());
  const show = figureParts(figure, [quants.control, ways.control], (plot) => {
    const one = quants.current(),
      way = ways.of(one),
      found = one.ways[way],
      curve = found.curve;
    const points = doublings(curve.at),
      i = nearest(
        points.map((k) => curve.at[k]),
        at.get("step"),
      ),
      k = points[i];
    quants.sync();
    ways.sync(one);
    const others = runs.filter((run) => run !== one && run.ways[way] && run.unit === one.unit);
    const predicted =
      curve.predicted &&
      fact(
        "as single tokens predict",
        value("predicted", curve.predicted[k], percent(curve.predicted[k], 0)),
      );
    const { split } = found,
      unit = one.unit;
    return {
      plot: [
        chart(plot, one, way, others, points, i, (j) => at.set({ step: curve.at[points[j]] })),
      ],
      reading: [
        fact(
          `the same after ${plural(curve.at[k], unit)}`,
          value(
            "share",
            curve.share[k],
            spread({ mean: curve.share[k], low: curve.low[k], high: curve.high[k] }),
          ),
        ),
        predicted,
        fact(
          "half have diverged by",
          value(
            "median",
            split.median,
            split.median === null
              ? `later than ${plural(one.limit, unit)}`
              : `${unit} ${split.median}${
                  split.low === null ? "" : ` (${split.low} … ${split.high ?? "later"})`
                }`,
          ),
        ),
        split.never
          ? fact("never diverge", value("never", split.never.mean, spread(split.never)))
          : null,
        found.flips
          ? fact(
              "single tokens flip",
              value(
                "flips",
                found.flips.mean,
                spread(found.flips, (x) => percent(x, 1)),
              ),
            )
          : null,
        legend(curve, others),
        source(
          `the run ${one.run}: ${one.prompts} prompts, each continued by ` +
            `${one.name} and by ${one.reference}. The band is Wilson's 95 % interval at each ${unit}`,
        ),
      ].filter(Boolean),
      table: () => [
        [`${unit}s`, "the same", "low", "high", "predicted"],
        curve.at.map((step, j) => [
          step,
          curve.share[j],
          curve.low[j],
          curve.high[j],
          curve.predicted?.[j] ?? null,
        ]),
      ],
    };
  });
}

function plural(count, unit) {
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}

/** The indices of 1, 2, 4 … and of the last one in a list of steps. */
function doublings(steps) {
  return steps
    .map((_, k) => k)
    .filter((k) => Number.isInteger(Math.log2(steps[k])) || k === steps.length - 1);
}

function nearest(steps, wanted) {
  return steps.reduce(
    (best, step, i) => (Math.abs(step - wanted) < Math.abs(steps[best] - wanted) ? i : best),
    0,
  );
}

function legend(curve, others) {
  return h(
    "p",
    { class: "legend" },
    h("span", {}, h("i", { class: "swatch quant" }), "the same, with its band"),
    curve.predicted
      ? h("span", {}, "dotted: (1 − f)ᵗ, if single-token flips came by chance")
      : null,
    others.length ? h("span", {}, `grey: ${others.map((run) => run.label).join(", ")}`) : null,
  );
}

function chart(plot, one, way, others, points, chosen, pick) {
  const { curve } = one.ways[way],
    width = widthOf(plot),
    named = others.length > 0 && width > 560;
  const longest = Math.max(...[one, ...others].map((run) => run.label.length));
  const height = 300,
    left = 52,
    right = width - (named ? Math.min(40 + 7 * longest, 220) : 14),
    bottom = height - 44;
  const x = linear([0, curve.at.at(-1)], [left, right]),
    y = linear([0, 1], [bottom, 12]);
  const image = picture(
    width,
    height,
    `Share of texts that are the same, by ${one.unit}`,
    axisLeft(y, left, right, { n: 5, label: (v) => percent(v, 0) }),
    axisBelow(x, bottom, { n: width > 500 ? 8 : 4, name: `${one.unit}s written`, x: right }),
  );
  const line = (values) =>
    `M${x(0)} ${y(1)}${curve.at.map((step, k) => `L${x(step)} ${y(values[k])}`).join("")}`;
  const back = curve.at
    .map((step, k) => `L${x(step)} ${y(curve.low[k])}`)
    .reverse()
    .join("");
  const ends = [[y(curve.share.at(-1)), one.label, "strong"]],
    words = s("g", { class: "words" });
  for (const other of others) {
    const own = other.ways[way].curve,
      reach = own.at.filter((step) => step <= curve.at.at(-1));
    if (!reach.length) continue;
    image.append(
      s("path", {
        class: "curve ghost",
        d: `M${x(0)} ${y(1)}${reach.map((step, k) => `L${x(step)} ${y(own.share[k])}`).join("")}`,
      }),
    );
    const end = y(own.share[reach.length - 1]);
    if (reach.length === curve.at.length || !named) ends.push([end, other.label, ""]);
    else words.append(s("text", { x: x(reach.at(-1)) + 6, y: end + 4, class: "on" }, other.label)); // the line ends inside the plot
  }
  image.append(s("path", { class: "area second", d: `${line(curve.high)}${back}Z` }));
  if (curve.predicted) image.append(s("path", { class: "curve third", d: line(curve.predicted) }));
  image.append(s("path", { class: "curve quant solid", d: line(curve.share) }));
  if (named) image.append(...labels(ends, right + 8));
  const marks = points.map((k, i) =>
    s(
      "g",
      {
        role: "button",
        class: i === chosen ? "chosen" : "",
        "data-mark": `s${curve.at[k]}`,
        "aria-label": `after ${plural(curve.at[k], one.unit)}: ${spread({
          mean: curve.share[k],
          low: curve.low[k],
          high: curve.high[k],
        })} the same`,
        onclick: () => pick(i),
      },
      s("circle", {
        class: "dot second",
        cx: x(curve.at[k]),
        cy: y(curve.share[k]),
        r: i === chosen ? 7 : 5,
      }),
    ),
  );
  walkable(image, marks, chosen, pick);
  image.append(words);
  return image;
}

/** Names at the ends of lines, moved apart where they would overlap. */
function labels(ends, x) {
  let last = -Infinity;
  return ends
    .sort((a, b) => a[0] - b[0])
    .map(([y, name, style]) => {
      last = Math.max(y + 4, last + 14);
      return s(
        "text",
        { x, y: last, class: style },
        name.length > 26 ? `${name.slice(0, 25)}…` : name,
      );
    });
}
