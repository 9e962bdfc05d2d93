// Losses as dots with confidence intervals, and the noise floor of the reference.

import { axisBelow } from "../../lib/axes.js";
import { choice } from "../../lib/controls.js";
import { picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format, percent } from "../../lib/format.js";
import { roving } from "../../lib/marks.js";
import { linear, logarithmic } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";

const METRICS = {
  kl: { name: "KL, nats per token", of: (r) => [r.kl.mean, r.kl.low, r.kl.high], log: true },
  ratio: { name: "perplexity ∕ reference", of: (r) => [r.ratio.mean, r.ratio.low, r.ratio.high] },
  other: {
    name: "positions with another most likely token",
    of: (r) => [
      1 - r.top1,
      r.top1_high === null ? null : 1 - r.top1_high,
      r.top1_low === null ? null : 1 - r.top1_low,
    ],
    share: true,
  },
};

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const rows = data.losses;
  const at = state.scope("losses", { metric: "kl", row: 0 }, () => show());
  const metric = choice({
    label: "Measure",
    name: "metric",
    options: [
      ["kl", "KL"],
      ["ratio", "perplexity ratio"],
      ["other", "other choice"],
    ],
    onChange: (x) => at.set({ metric: x }, { push: true }),
  });
  const show = figureParts(figure, [metric], (plot) => {
    const how = METRICS[at.get("metric")] ?? METRICS.kl,
      one = rows[at.get("row")] ?? rows[0];
    const [mean, low, high] = how.of(one);
    const told = (x) => (how.share ? percent(x) : format(x, 4));
    metric.set(at.get("metric"));
    return {
      plot: [chart(plot, rows, how, one, data.floor, (i) => at.set({ row: i }))],
      reading: [
        fact(`${one.name}: ${how.name}`, value("mean", mean, told(mean))),
        fact(
          "95 % interval",
          value("high", high, low === null ? "unknown" : `${told(low)} … ${told(high)}`),
        ),
        fact("tokens", value("tokens", one.tokens)),
        data.floor === null ? null : fact("noise floor, KL", value("floor", data.floor)),
      ].filter(Boolean),
      table: [
        ["text", "tokens", how.name, "low", "high"],
        rows.map((r) => [r.name, r.tokens, ...how.of(r)]),
      ],
    };
  });
}

function chart(plot, rows, how, one, floor, pick) {
  const width = widthOf(plot),
    left = Math.min(140, width / 3),
    step = 32,
    bottom = rows.length * step + 8;
  const all = rows.flatMap((r) => how.of(r)).filter((v) => v !== null && v > 0);
  const log = how.log && all.length > 0;
  const ends = log
    ? [Math.min(...all, floor || Infinity) / 1.5, Math.max(...all) * 1.5]
    : [Math.min(...all, how.share ? 0 : 1), Math.max(...all, how.share ? 0.01 : 1.001) * 1.01];
  const x = (log ? logarithmic : linear)(ends, [left, width - 20]);
  const image = picture(
    width,
    bottom + 40,
    `${how.name}, by text and kind of token`,
    axisBelow(x, bottom, {
      n: 5,
      name: how.name,
      x: width - 20,
      label: (v) => (how.share ? percent(v, 0) : format(v, 3)),
    }),
  );
  if (how.log && floor) {
    image.append(
      s("rect", {
        class: "band",
        x: left,
        width: Math.max(x(floor) - left, 1),
        y: 0,
        height: bottom,
      }),
      s("line", { class: "band-line", x1: x(floor), x2: x(floor), y1: 0, y2: bottom }),
    );
  }
  const marks = rows.map((r, i) => {
    const [mean, low, high] = how.of(r),
      y = i * step + 20;
    const place = (v) => Math.max(x(Math.max(v, log ? ends[0] : v)), left);
    const told = how.share ? percent(mean) : format(mean, 4);
    const mark = s(
      "g",
      {
        role: "button",
        class: [r === one ? "chosen" : "", r.few ? "few" : ""].join(" ").trim(),
        "data-mark": `r${i}`,
        "aria-label": `${r.name}: ${told}${r.few ? `, of only ${r.tokens} tokens` : ""}`,
        onclick: () => pick(i),
      },
      s("rect", { x: 0, y: y - 15, width, height: 30, class: "hit" }),
      s("text", { x: left - 10, y: y + 4, "text-anchor": "end", class: i ? "" : "strong" }, r.name),
    );
    if (low !== null) {
      mark.append(
        s("line", { class: "whisker", x1: place(low), x2: place(high), y1: y, y2: y }),
        s("line", { class: "whisker", x1: place(low), x2: place(low), y1: y - 5, y2: y + 5 }),
        s("line", { class: "whisker", x1: place(high), x2: place(high), y1: y - 5, y2: y + 5 }),
      );
    }
    mark.append(
      s("circle", { class: `dot ${i ? "" : "second"}`, cx: place(mean), cy: y, r: i ? 5.5 : 7 }),
    );
    return mark;
  });
  image.append(...marks);
  roving(marks, {
    start: Math.max(rows.indexOf(one), 0),
    rows: true,
    onFocus: (i) => rows[i] !== one && pick(i),
  });
  return image;
}
