// The ladder: the KL divergence of each level of bits with its interval, and the verdict on the picked level.

import { axisBelow } from "../../lib/axes.js";
import { choice, moreOptions } from "../../lib/controls.js";
import { h, picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format, inBytes, percent } from "../../lib/format.js";
import { roving } from "../../lib/marks.js";
import { linear, logarithmic } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";
import { source } from "../../lib/tensor_picker.js";

const FAMILIES = [
  ["", "a named format or file", "third"],
  ["symmetric", "symmetric integers", ""],
  ["asymmetric", "asymmetric integers", "second"],
  ["preset", "llama.cpp's presets", "second"],
  ["best", "recipes of the search", ""],
];
const SIGNS = { "": "◆", symmetric: "●", asymmetric: "■", preset: "■", best: "●" };

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const levels = data.ladder;
  const at = state.scope("ladder", { level: -1, x: data.ladder_across ?? "bits", y: "kl" }, () =>
    show(),
  );
  const x = choice({
    label: "Across",
    name: "x",
    options: [
      ["bits", "bits per weight"],
      ["bytes", "size"],
    ],
    onChange: (v) => at.set({ x: v }, { push: true }),
  });
  const y = choice({
    label: "Up",
    name: "y",
    options: [
      ["kl", "KL"],
      ["ratio", "perplexity ratio"],
      ["top1", "other choice"],
    ],
    onChange: (v) => at.set({ y: v }, { push: true }),
  });
  const pick = (i) => at.set({ level: i }, { push: true });
  const show = figureParts(figure, [y, moreOptions(x)], (plot) => {
    const usual = levels.findIndex((l) => l.bits_per_weight < 5);
    const i = levels[at.get("level")] ? at.get("level") : Math.max(usual, 0),
      one = levels[i];
    x.set(at.get("x"));
    y.set(at.get("y"));
    return {
      plot: [chart(plot, levels, i, at.get("x"), at.get("y"), pick), card(one)],
      reading: [
        fact("KL", value("kl", one.kl.mean, `${format(one.kl.mean, 3)} nats`)),
        fact(
          "95 % interval",
          value(
            "high",
            one.kl.high,
            one.kl.low === null
              ? "unknown"
              : `${format(one.kl.low, 3)} … ${format(one.kl.high, 3)}`,
          ),
        ),
        fact(
          "perplexity ∕ reference",
          value("ratio", one.perplexity.ratio.mean, format(one.perplexity.ratio.mean, 4)),
        ),
        fact("same most likely token", value("top1", one.top1, percent(one.top1))),
        fact("size", value("bytes", bytesOf(one), inBytes(bytesOf(one)))),
        one.alike?.length
          ? h("p", { class: "note" }, `Not significantly different from ${one.alike.join(", ")}.`)
          : null,
        legend(levels),
        source(
          `${data.ladder_run}: ${one.tokens} scored positions a level; the band is the ` +
            "noise floor, the model against itself in bfloat16",
        ),
      ],
      table: [
        [
          "format",
          "bits per weight",
          "bytes",
          "KL",
          "low",
          "high",
          "perplexity ratio",
          "same token",
          "verdict",
        ],
        levels.map((l) => [
          l.format,
          l.bits_per_weight,
          bytesOf(l),
          l.kl.mean,
          l.kl.low,
          l.kl.high,
          l.perplexity.ratio.mean,
          l.top1,
          l.verdict.word,
        ]),
      ],
    };
  });
}

/** The size of the file, or of all tensors if no file can store the format. */
const bytesOf = (l) => l.file_bytes ?? l.bytes;

function legend(levels) {
  return h(
    "p",
    { class: "legend" },
    FAMILIES.filter(([kind]) => levels.some((l) => (l.kind ?? "") === kind)).map(([kind, name]) =>
      h("span", {}, `${SIGNS[kind]} ${name}`),
    ),
  );
}

function card(one) {
  return h(
    "p",
    { class: "card" },
    h("b", {}, `${one.format}: ${one.verdict.word}`),
    ` — ${one.verdict.meaning}.`,
  );
}

const READ = {
  kl: { of: (l) => [l.kl.mean, l.kl.low, l.kl.high], log: true },
  ratio: {
    of: (l) => [l.perplexity.ratio.mean, l.perplexity.ratio.low, l.perplexity.ratio.high],
    log: true,
  },
  top1: {
    of: (l) => [1 - l.top1, 1 - (l.top1_high ?? l.top1), 1 - (l.top1_low ?? l.top1)],
    log: false,
  },
};

function chart(plot, levels, chosen, across, up, pick) {
  const width = widthOf(plot),
    height = 300,
    left = 70,
    bottom = height - 34,
    { of, log } = READ[up];
  const place = (l) => (across === "bits" ? l.bits_per_weight : bytesOf(l) / 2 ** 20);
  const means = levels.map((l) => of(l)[0]).filter((v) => v > 0);
  const least = up === "ratio" ? 0.95 : Math.max(Math.min(...means, levels[0].floor || 1), 1e-7);
  const most = Math.max(...levels.map((l) => of(l)[2] ?? of(l)[0]), least * 2);
  const y = log
    ? logarithmic([least / (up === "ratio" ? 1 : 1.6), most * 1.2], [bottom, 14])
    : linear([0, most * 1.05], [bottom, 14]);
  const reach = [Math.min(...levels.map(place)), Math.max(...levels.map(place))];
  const x = linear([Math.max(reach[0] - 0.05 * reach[1], 0), reach[1] * 1.03], [left, width - 14]);
  const image = picture(
    width,
    height,
    `Loss of ${levels.length} levels by ${across === "bits" ? "bits" : "size"}`,
    ticksLeft(y, left, width - 14, up),
    axisBelow(x, bottom, {
      n: Math.min(Math.floor((width - left) / 80), 8),
      label: (v) => (across === "bits" ? format(v, 3) : `${format(v, 4)} MiB`),
    }),
  );
  if (up === "kl" && levels[0].floor) {
    image.append(
      s("rect", {
        class: "band",
        x: left,
        width: width - 14 - left,
        y: y(levels[0].floor),
        height: Math.max(bottom - y(levels[0].floor), 1),
      }),
      s(
        "text",
        { x: width - 18, y: y(levels[0].floor) - 5, "text-anchor": "end" },
        "below: noise of the reference itself",
      ),
    );
  }
  for (const [kind, , name] of FAMILIES.slice(1)) {
    const own = levels.filter((l) => l.kind === kind && of(l)[0] > 0);
    if (own.length > 1)
      image.append(
        s("path", {
          class: `curve ${name}`,
          d: `M${own.map((l) => `${x(place(l))} ${y(of(l)[0])}`).join("L")}`,
        }),
      );
  }
  const marks = levels.map((l, i) => {
    const [mean, low, high] = of(l),
      px = x(place(l)),
      py = Math.min(y(Math.max(mean, least / 1.5)), bottom - 4);
    const seen = mean > 0 || !log;
    const mark = s("g", {
      role: "button",
      "data-mark": `l${i}`,
      class: i === chosen ? "chosen" : "",
      "aria-label": `${l.format}: KL ${format(l.kl.mean, 3)} nats, ${format(l.bits_per_weight, 3)} bits per weight`,
      onclick: () => pick(i),
    });
    if (low !== null && high !== null && seen)
      mark.append(
        s("line", {
          class: "whisker",
          x1: px,
          x2: px,
          y1: Math.min(y(Math.max(low, least / 1.5)), bottom),
          y2: y(high),
        }),
      );
    mark.append(symbol(l.kind, px, py, i === chosen));
    if (i === chosen) {
      mark.append(
        s(
          "text",
          {
            x: px > width * 0.72 ? px - 13 : px + 13,
            y: py - 6,
            class: "strong",
            "text-anchor": px > width * 0.72 ? "end" : "start",
          },
          l.format,
        ),
      );
    }
    return mark;
  });
  image.append(...marks);
  roving(marks, { start: chosen, onPress: pick });
  return image;
}

function ticksLeft(y, left, right, up) {
  const group = s("g", { class: "axis" });
  for (const tick of y.ticks(5)) {
    group.append(
      s("line", { class: "grid", x1: left, x2: right, y1: y(tick), y2: y(tick) }),
      s(
        "text",
        { x: left - 8, y: y(tick) + 4, "text-anchor": "end" },
        up === "top1" ? percent(tick, 0) : format(tick, 3),
      ),
    );
  }
  return group;
}

/** A mark whose shape shows the kind of level: circle, square, or diamond for a named format. */
export function symbol(kind, x, y, chosen) {
  const r = chosen ? 8 : 5.5;
  const square = kind === "asymmetric" || kind === "preset";
  const name = `dot ${square ? "second" : kind ? "" : "named"}`;
  if (kind === "symmetric" || kind === "best") return s("circle", { class: name, cx: x, cy: y, r });
  if (square)
    return s("rect", { class: name, x: x - r, y: y - r, width: 2 * r, height: 2 * r, rx: 2 });
  return s("path", {
    class: name,
    d: `M${x} ${y - r - 1}l${r + 1} ${r + 1}l-${r + 1} ${r + 1}l-${r + 1} -${r + 1}z`,
  });
}
