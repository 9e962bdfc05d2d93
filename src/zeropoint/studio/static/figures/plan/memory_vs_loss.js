// A larger model at fewer bits, or a smaller one at more: the quality of models against their memory.

import { axisBelow } from "../../lib/axes.js";
import { choice, range, select } from "../../lib/controls.js";
import { h, picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format, inBytes, percent } from "../../lib/format.js";
import { roving } from "../../lib/marks.js";
import { linear, logarithmic } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";

const CLASSES = [
  [12, "●", "12 bits and more"],
  [7, "■", "7 to 12"],
  [5, "◆", "5 to 7"],
  [3.5, "▲", "3.5 to 5"],
  [0, "✚", "fewer than 3.5"],
];
const classOf = (bits) => (bits ? CLASSES.findIndex(([least]) => bits >= least) : 0);
const GIB = 2 ** 30;

/** Bytes of the weights and of a 16-bit KV cache of this many tokens. */
export function memoryOf(point, ctx) {
  return (
    point.file_bytes +
    (point.cache ?? []).reduce(
      (sum, k) => sum + k.layers * k.bytes * Math.min(ctx, k.window ?? ctx),
      0,
    )
  );
}

/** The best point within a memory budget, and those that do not differ from it significantly. */
export function bestWithin(series, ctx, budget) {
  const inside = series.points.filter((p) => memoryOf(p, ctx) <= budget);
  if (!inside.length) return [];
  const [best] = [...inside].sort((a, b) => (series.less ? a.mean - b.mean : b.mean - a.mean));
  const apart = (p) =>
    best.group && p.group
      ? ![...p.group].some((letter) => best.group.includes(letter))
      : p.low === null || best.low === null
        ? p !== best
        : p.low > best.high || best.low > p.high;
  return [best, ...inside.filter((p) => p !== best && !apart(p))];
}

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const all = data.sizes;
  const most = (series) => Math.max(...series.points.map((p) => memoryOf(p, 4096)));
  const at = state.scope(
    "size",
    { series: all[0].id, ctx: 4096, budget: 0, point: "", x: "log" },
    () => show(),
  );
  const pickSeries = select({
    label: "What was measured",
    name: "series",
    options: all.map((o) => [o.id, `${o.title} (${o.run})`]),
    onChange: (id) => at.set({ series: id, point: "" }, { push: true }),
  });
  const ctx = range({
    label: "Context, tokens whose cache counts",
    name: "ctx",
    min: 512,
    max: 2 ** 20,
    toSlider: Math.log2,
    sliderStep: 0.05,
    fromSlider: (x) => Math.round(2 ** x / 256) * 256,
    onInput: (x) => at.set({ ctx: Math.round(x) }),
    onDone: () => at.set({}, { push: true }),
  });
  const budget = range({
    label: "Budget, GiB",
    name: "budget",
    min: 0.05,
    max: 2048,
    toSlider: Math.log2,
    sliderStep: 0.02,
    fromSlider: (x) => Number((2 ** x).toPrecision(3)),
    onInput: (x) => at.set({ budget: x }),
    onDone: () => at.set({}, { push: true }),
  });
  const across = choice({
    label: "Across",
    name: "x",
    options: [
      ["log", "logarithmic"],
      ["linear", "linear"],
    ],
    onChange: (x) => at.set({ x }, { push: true }),
  });
  const show = figureParts(figure, [pickSeries, ctx, budget, across], (plot) => {
    const series = all.find((o) => o.id === at.get("series")) ?? all[0],
      tokens = at.get("ctx");
    const limit = (at.get("budget") || (1.1 * most(series)) / GIB) * GIB,
      best = bestWithin(series, tokens, limit);
    const one =
      series.points.find((p) => p.name === at.get("point")) ?? best[0] ?? series.points[0];
    pickSeries.set(series.id);
    ctx.set(tokens);
    budget.set(Number((limit / GIB).toPrecision(3)));
    across.set(at.get("x"));
    const told = (x) =>
      series.metric === "tasks" || series.metric === "chains" ? percent(x) : format(x, 4);
    const names = best.map((p) => p.name).join(", ");
    return {
      plot: [
        chart(plot, series, tokens, limit, best, one, at.get("x"), told, (p) =>
          at.set({ point: p.name }, { push: true }),
        ),
        legend(series),
        h(
          "p",
          { class: "card" },
          h(
            "b",
            {},
            best.length === 0
              ? "Nothing fits into this budget."
              : best.length === 1
                ? `Best within ${format(limit / GIB, 3)} GiB: ${names}`
                : `Best within ${format(limit / GIB, 3)} GiB, not significantly different: ${names}`,
          ),
          best.length > 1
            ? series.points.some((p) => p.group)
              ? " They share a letter of a paired test."
              : " Their intervals overlap."
            : "",
        ),
      ],
      reading: [
        fact(`${one.name}: ${series.title}`, value("mean", one.mean, told(one.mean))),
        fact(
          "95 % interval",
          value(
            "high",
            one.high,
            one.low === null ? "unknown" : `${told(one.low)} … ${told(one.high)}`,
          ),
        ),
        fact("memory", value("memory", memoryOf(one, tokens), inBytes(memoryOf(one, tokens)))),
        fact(
          "of it the cache",
          value(
            "cache",
            memoryOf(one, tokens) - one.file_bytes,
            one.cache ? inBytes(memoryOf(one, tokens) - one.file_bytes) : "not known",
          ),
        ),
        fact("bits per weight", value("bits", one.bits)),
        fact("in the best group", value("best", best.length)),
        h("p", { class: "note" }, series.told),
        series.points.some((p) => !p.cache)
          ? h(
              "p",
              { class: "note" },
              "Of some of these files only the size is known: their cache is not counted.",
            )
          : null,
      ].filter(Boolean),
      table: [
        [
          "model",
          "size of",
          "formats",
          "bits per weight",
          "file, bytes",
          "memory, bytes",
          series.title,
          "low",
          "high",
          "letters",
          "within the budget",
        ],
        series.points.map((p) => [
          p.name,
          p.line,
          p.formats,
          p.bits,
          p.file_bytes,
          memoryOf(p, tokens),
          p.mean,
          p.low,
          p.high,
          p.group || "–",
          memoryOf(p, tokens) <= limit ? (best.includes(p) ? "best" : "yes") : "no",
        ]),
      ],
    };
  });
}

function legend(series) {
  const lines = [...new Set(series.points.map((p) => p.line))];
  return h(
    "p",
    { class: "legend" },
    lines.map((line, i) => h("span", {}, h("i", { class: `swatch f${i % 6}` }), `${line}`)),
    CLASSES.filter((_, i) => series.points.some((p) => classOf(p.bits) === i)).map(
      ([, sign, name]) => h("span", {}, `${sign} ${name}`),
    ),
  );
}

function chart(plot, series, ctx, limit, best, one, across, told, pick) {
  const width = widthOf(plot),
    height = 340,
    left = 64,
    bottom = height - 42,
    memory = (p) => memoryOf(p, ctx) / GIB;
  const reach = [Math.min(...series.points.map(memory)), Math.max(...series.points.map(memory))];
  const x =
    across === "log"
      ? logarithmic(
          [reach[0] / 1.3, Math.max(reach[1], Math.min(limit / GIB, reach[1] * 2)) * 1.3],
          [left, width - 16],
        )
      : linear(
          [0, Math.max(reach[1], Math.min(limit / GIB, reach[1] * 2)) * 1.08],
          [left, width - 16],
        );
  const ends = series.points.flatMap((p) => [p.low ?? p.mean, p.high ?? p.mean]);
  const log = series.metric === "kl",
    spread = Math.max(...ends) - Math.min(...ends) || Math.abs(ends[0]) || 1;
  const least = Math.max(Math.min(...ends.filter((v) => v > 0)), 1e-7);
  const y = log
    ? logarithmic([least / 1.6, Math.max(...ends, least * 2) * 1.3], [bottom, 14])
    : linear(
        [Math.max(Math.min(...ends) - 0.08 * spread, 0), Math.max(...ends) + 0.08 * spread],
        [bottom, 14],
      );
  const image = picture(
    width,
    height,
    `${series.title}, by memory, of ${series.points.length} models`,
    axisBelow(x, bottom, {
      name: `memory with a cache of ${ctx.toLocaleString("en")} tokens, GiB`,
      x: width - 16,
      n: 6,
    }),
    side(y, left, width - 16, told),
  );
  const lines = [...new Set(series.points.map((p) => p.line))],
    place = (v) => Math.min(Math.max(y(log ? Math.max(v, least / 1.5) : v), 14), bottom);
  lines.forEach((line, i) => {
    const own = series.points.filter((p) => p.line === line).sort((a, b) => memory(a) - memory(b));
    if (own.length > 1)
      image.append(
        s("path", {
          class: `roof g${i % 6}`,
          "stroke-dasharray": ["", "7 3", "2 3", "9 3 2 3"][i % 4] || null,
          d: `M${own.map((p) => `${x(memory(p))} ${place(p.mean)}`).join("L")}`,
        }),
      );
  });
  const edge = Math.min(x(limit / GIB), width - 16);
  image.append(
    s("rect", {
      class: "beyond",
      x: edge,
      width: Math.max(width - 16 - edge, 0),
      y: 14,
      height: bottom - 14,
    }),
    s("line", { class: "limit", x1: edge, x2: edge, y1: 8, y2: bottom }),
  );
  const words = s(
    "g",
    { class: "words" },
    s(
      "text",
      { class: "on", x: edge - 6, y: 20, "text-anchor": "end" },
      `budget ${format(limit / GIB, 3)} GiB`,
    ),
  );
  const order = [...series.points].sort((a, b) => memory(a) - memory(b));
  const marks = order.map((p) => {
    const px = x(memory(p)),
      py = place(p.mean),
      i = lines.indexOf(p.line),
      inside = memory(p) * GIB <= limit;
    const mark = s(
      "g",
      {
        role: "button",
        class: `${p === one ? "chosen" : ""}${inside ? "" : " faded"}`,
        "data-mark": p.name,
        "aria-label": `${p.name}: ${told(p.mean)}, ${format(memory(p), 3)} GiB${best.includes(p) ? ", in the best group" : inside ? "" : ", over the budget"}`,
        onclick: () => pick(p),
      },
      p.low !== null && p.high !== null
        ? s("line", { class: "whisker", x1: px, x2: px, y1: place(p.low), y2: place(p.high) })
        : "",
      best.includes(p) ? s("circle", { class: "ring", cx: px, cy: py, r: 12 }) : "",
      sign(classOf(p.bits), px, py, `dot g${i % 6}`),
    );
    words.append(
      s(
        "text",
        {
          class: p === one ? "strong" : "",
          x: px > width - 60 ? px - 9 : px + 9,
          y: py - 10,
          "text-anchor": px > width - 60 ? "end" : "start",
        },
        p.bits ? format(p.bits, 2) : "",
        p.group ? ` ${p.group}` : "",
      ),
    );
    return mark;
  });
  image.append(...marks, words);
  roving(marks, { start: Math.max(order.indexOf(one), 0), onPress: (i) => pick(order[i]) });
  return image;
}

function side(y, left, right, told) {
  const group = s("g", { class: "axis" });
  for (const tick of y.ticks(6)) {
    group.append(
      s("line", { class: "grid", x1: left, x2: right, y1: y(tick), y2: y(tick) }),
      s("text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, told(tick)),
    );
  }
  return group;
}

function sign(i, x, y, name) {
  const r = 6;
  if (i === 0) return s("circle", { class: name, cx: x, cy: y, r });
  const paths = [
    "",
    `M${x - r} ${y - r}h${2 * r}v${2 * r}h-${2 * r}z`,
    `M${x} ${y - r - 2}l${r + 2} ${r + 2}l-${r + 2} ${r + 2}l-${r + 2} -${r + 2}z`,
    `M${x} ${y - r - 1}l${r + 1} ${2 * r}h-${2 * r + 2}z`,
    `M${x - 2} ${y - 7}h4v5h5v4h-5v5h-4v-5h-5v-4h5z`,
  ];
  return s("path", { class: name, d: paths[i] });
}
