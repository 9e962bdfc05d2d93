// Whether errors compound: KL along the quant's own text, relative to the prediction from single tokens.

import { axisBelow, axisLeft } from "../../lib/axes.js";
import { choice } from "../../lib/controls.js";
import { h, picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format } from "../../lib/format.js";
import { linear, logarithmic } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";
import { source } from "../../lib/tensor_picker.js";
import { quantPicker, spread, walkable, wayPicker, whisker } from "./steps.js";

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const runs = data.drifts.filter((one) => Object.values(one.ways).some((way) => way.compounding));
  const quants = quantPicker(runs, state, () => show()),
    ways = wayPicker(runs, state, () => show());
  const at = state.scope("compounding", { what: "factor", point: -1 }, () => show());
  const what = choice({
    label: "Shown",
    name: "what",
    options: [
      ["factor", "factor"],
      ["nats", "both sums"],
    ],
    onChange: (x) => at.set({ what: x }, { push: true }),
  });
  const nats = (found) => spread(found, (x) => format(x, 3));
  const show = figureParts(figure, [quants.control, ways.control, what], (plot) => {
    const one = quants.current(),
      points = one.ways[ways.of(one)].compounding;
    const i = points[at.get("point")] ? at.get("point") : points.length - 1,
      { steps, factor, own, predicted } = points[i];
    quants.sync();
    ways.sync(one);
    what.set(at.get("what"));
    return {
      plot: [chart(plot, points, i, at.get("what"), (j) => at.set({ point: j }))],
      reading: [
        fact(
          `after ${steps} token${steps > 1 ? "s" : ""}, along its own text`,
          value("own", own.mean, `${nats(own)} nats`),
        ),
        fact(
          "predicted by single tokens",
          value("expected", predicted.mean, `${nats(predicted)} nats`),
        ),
        fact("factor", value("factor", factor.mean, nats(factor))),
        h("p", { class: "card" }, verdict(factor, steps)),
        source(
          `the run ${one.run}. Σ KL(reference ‖ quant) over the first tokens of the quant's own text, and of the ` +
            "reference's, where single-token KL looks; intervals by drawing the prompts again",
        ),
      ],
      table: [
        [
          "tokens",
          "own, nats",
          "low",
          "high",
          "predicted, nats",
          "low",
          "high",
          "factor",
          "low",
          "high",
        ],
        points.map((p) => [p.steps, ...ends(p.own), ...ends(p.predicted), ...ends(p.factor)]),
      ],
    };
  });
}

function ends(found) {
  return [found.mean, found.low, found.high];
}

function verdict(factor, steps) {
  if (factor.mean === null)
    return `Nothing was lost in the first ${steps} tokens: there is no factor.`;
  if (factor.low === null) return "Too few texts for an interval.";
  if (factor.low > 1) return "Losses compound: the quant leads itself to where it is worse.";
  return factor.high < 1
    ? "The quant's own texts are easier for it than the reference's: less is lost than single tokens predict."
    : "Not shown to compound: the interval holds 1, which is what losses that only add up give.";
}

function chart(plot, points, chosen, what, pick) {
  const width = widthOf(plot),
    height = 270,
    left = 60,
    bottom = height - 44,
    right = width - 14;
  const sets =
    what === "factor"
      ? [["factor", "second"]]
      : [
          ["own", "second"],
          ["predicted", ""],
        ];
  const all = points
    .flatMap((p) => sets.flatMap(([key]) => ends(p[key])))
    .filter((v) => v !== null && v > 0);
  const least = Math.min(...all, what === "factor" ? 0.8 : Infinity),
    most = Math.max(...all, what === "factor" ? 1.25 : 0);
  const y = Number.isFinite(least)
    ? logarithmic([least / 1.15, most * 1.15], [bottom, 12])
    : linear([0, 1], [bottom, 12]);
  const x = (i) => left + ((i + 0.5) * (right - left)) / points.length;
  const below = Object.assign((v) => x(v), {
    from: (px) => ((px - left) * points.length) / (right - left) - 0.5,
    ticks: () => points.map((_, i) => i),
  });
  const image = picture(
    width,
    height,
    what === "factor"
      ? "Compounding factor by number of tokens"
      : "Nats added up along both texts, by number of tokens",
    axisLeft(y, left, right, { n: 5 }),
    axisBelow(below, bottom, {
      label: (i) => String(points[i].steps),
      name: "tokens",
      x: right,
    }),
  );
  if (what === "factor") {
    image.append(s("line", { class: "band-line", x1: left, x2: right, y1: y(1), y2: y(1) }));
    if (width > 500) image.append(s("text", { x: left + 6, y: y(1) - 6 }, "1: losses only add up"));
  }
  const marks = points.map((p, i) => {
    const mark = s(
      "g",
      {
        role: "button",
        class: i === chosen ? "chosen" : "",
        "data-mark": `p${i}`,
        onclick: () => pick(i),
        "aria-label": `${p.steps} tokens: ${sets.map(([key]) => `${key} ${spread(p[key], (v) => format(v, 3))}`).join(", ")}`,
      },
      s("rect", { class: "hit", x: x(i) - 16, y: 8, width: 32, height: bottom - 8 }),
    );
    sets.forEach(([key, style], k) => {
      const [mean, low, high] = ends(p[key]),
        px = x(i) + (sets.length - 1) * (k ? 8 : -8);
      if (mean === null || mean <= 0) return;
      if (low !== null) mark.append(whisker(px, Math.min(y(low), bottom), y(high)));
      mark.append(
        key === "predicted"
          ? s("rect", { class: "dot", x: px - 5, y: y(mean) - 5, width: 10, height: 10, rx: 2 })
          : s("circle", { class: `dot ${style}`, cx: px, cy: y(mean), r: 5.5 }),
      );
    });
    return mark;
  });
  return walkable(image, marks, chosen, pick);
}
