// The chart of the roofline: lines are the limits of a device, points are estimates.

import { axisBelow } from "../../lib/axes.js";
import { h, picture, s, widthOf } from "../../lib/dom.js";
import { format, inCount } from "../../lib/format.js";
import { roving } from "../../lib/marks.js";
import { logarithmic } from "../../lib/scales.js";
import { band } from "./query.js";

const SHAPES = ["●", "■", "▲", "◆", "★"];

export const peak = (roof) => Math.max(...roof.peaks.map(([, ops]) => ops));

/** The peak rate for the type of number that is multiplied; the first stated peak if that one is not stated. */
export const peakOf = (roof, unit) =>
  (roof.peaks.find(([kind]) => kind === unit) ?? roof.peaks[0])[1];

export const operations = (x) => `${inCount(x)}op/s`;

export function chart(plot, drawn, one, pick) {
  const { roofs, marks, timed } = drawn,
    width = widthOf(plot),
    height = 380,
    left = width < 500 ? 56 : 76,
    bottom = height - 42;
  const across = [...marks, ...timed].map((m) => m.intensity),
    ups = [...marks, ...timed].map((m) =>
      m.tokens_per_second ? m.tokens_per_second * m.operations : m.speed.low * m.operations,
    );
  const ends = [
    Math.min(...across, 0.5) / 2,
    Math.max(...across, ...roofs.map((r) => peak(r) / r.bandwidth)) * 4,
  ];
  const x = logarithmic(ends, [left, width - 16]);
  const y = logarithmic([Math.min(...ups) / 2, Math.max(...roofs.map(peak)) * 2], [bottom, 12]);
  const image = picture(
    width,
    height,
    `Roofline of ${roofs.length} devices and ${marks.length} points`,
    axisBelow(x, bottom, { name: "operations for each byte read", x: width - 16, n: 5 }),
    levels(y, left, width - 16),
  );
  roofs.forEach((roof, i) => {
    const top = peak(roof),
      knee = top / roof.bandwidth,
      chosen = roof.device === one.device ? " strong-line" : "";
    image.append(
      s("path", {
        class: `roof g${i % 6}${chosen}`,
        "stroke-dasharray": ["", "7 3", "2 3", "9 3 2 3"][i % 4] || null,
        d: `M${x(ends[0])} ${y(ends[0] * roof.bandwidth)}L${x(knee)} ${y(top)}H${width - 16}`,
      }),
    );
    for (const [, ops] of roof.peaks) {
      if (ops < top)
        image.append(
          s("path", {
            class: `roof thin g${i % 6}`,
            d: `M${x(ops / roof.bandwidth)} ${y(ops)}H${width - 16}`,
          }),
        );
    }
  });
  const titles = roofs.map((roof) =>
    s(
      "text",
      {
        class: roof.device === one.device ? "strong" : "on",
        x: width - 18,
        y: y(peak(roof)) - 5,
        "text-anchor": "end",
      },
      `${shortened(drawn.names.get(roof.device), width)} (${roof.peaks.map(([unit]) => unit).join(", ")})`,
    ),
  );
  image.append(...titles); // drawn above all lines
  for (const t of timed) {
    const px = x(t.intensity),
      up = (rate) => y(rate * t.operations),
      py = up(t.tokens_per_second);
    image.append(
      t.low && t.high
        ? s("line", { class: "whisker", x1: px, x2: px, y1: up(t.low), y2: up(t.high) })
        : "",
      s(
        "path",
        { class: "timed", d: `M${px - 5} ${py - 5}l10 10m0 -10l-10 10` },
        s("title", {}, `${t.model}: ${format(t.tokens_per_second, 4)} tokens/s, timed here`),
      ),
    );
  }
  const order = [...marks].sort(
    (a, b) =>
      a.phase.localeCompare(b.phase) ||
      a.device.localeCompare(b.device) ||
      a.intensity - b.intensity,
  );
  const words = s("g", { class: "words" });
  const dots = order.map((m) => {
    const i = roofs.findIndex((r) => r.device === m.device),
      px = x(m.intensity),
      up = (rate) => y(rate * m.operations);
    const mark = s(
      "g",
      {
        role: "button",
        class: m === one ? "chosen" : "",
        "data-mark": `${m.device}/${m.format}/${m.phase}`,
        "aria-label": `${drawn.names.get(m.device)}, ${m.format}, ${m.phase}: ${band(m.speed)} tokens a second`,
        onclick: () => pick(m),
      },
      s("line", { class: "whisker", x1: px, x2: px, y1: up(m.speed.low), y2: up(m.speed.high) }),
      symbol(
        drawn.formats.indexOf(m.format),
        px,
        up(m.speed.tokens_per_second),
        `dot g${i % 6}${m.phase === "prompt" ? " open" : ""}`,
      ),
    );
    if (m === one)
      words.append(
        s(
          "text",
          {
            class: "strong",
            x: px > width / 2 ? px - 12 : px + 12,
            y: up(m.speed.tokens_per_second) + 18,
            "text-anchor": px > width / 2 ? "end" : "start",
          },
          `${m.format}, ${band(m.speed)} tokens/s`,
        ),
      );
    return mark;
  });
  image.append(...dots, words);
  roving(dots, { start: Math.max(order.indexOf(one), 0), onPress: (i) => pick(order[i]) });
  return image;
}

const shortened = (name, width) =>
  width < 500 && name.length > 18 ? `${name.slice(0, 17)}…` : name;

function levels(y, left, right) {
  const group = s("g", { class: "axis" });
  for (const tick of y.ticks(6)) {
    group.append(
      s("line", { class: "grid", x1: left, x2: right, y1: y(tick), y2: y(tick) }),
      s("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, operations(tick)),
    );
  }
  return group;
}

function symbol(i, x, y, name) {
  const r = 6,
    paths = [
      null,
      `M${x - r} ${y - r}h${2 * r}v${2 * r}h-${2 * r}z`,
      `M${x} ${y - r - 1}l${r + 1} ${2 * r}h-${2 * r + 2}z`,
      `M${x} ${y - r - 1}l${r + 1} ${r + 1}l-${r + 1} ${r + 1}l-${r + 1} -${r + 1}z`,
      `M${x - r} ${y}h${2 * r}M${x} ${y - r}v${2 * r}`,
    ];
  return i === 0
    ? s("circle", { class: name, cx: x, cy: y, r })
    : s("path", { class: name, d: paths[i] ?? paths[4] });
}

export function legend(drawn) {
  return h(
    "p",
    { class: "legend" },
    drawn.formats.map((name, i) => h("span", {}, `${SHAPES[i] ?? SHAPES[4]} ${name}`)),
    h("span", {}, "filled: writing"),
    h("span", {}, "open: reading a prompt of 512"),
    h("span", {}, "line: the band"),
    drawn.timed.length ? h("span", {}, "✕ timed here, one standard deviation to both sides") : null,
  );
}
