// The quantizer lab's drawing: weights, codes and decoded values, joined by lines.

import { levelsOf } from "../codecs/formats.js";
import { announce, picture, s, widthOf } from "../lib/dom.js";
import { format } from "../lib/format.js";
import { draggable, roving } from "../lib/marks.js";
import { linear } from "../lib/scales.js";

const ROWS = { weights: 46, codes: 168, decoded: 290, height: 340 };

export function largest(list) {
  return list.reduce((a, x) => Math.max(a, Math.abs(x)), 0) || 1;
}

export function draw(plot, at, w, { format: kind, found, ruled }, setWeight) {
  const width = widthOf(plot);
  const reach = 1.08 * Math.max(largest(w), largest(found.decoded));
  const x = linear([-reach, reach], [24, width - 24]);
  const group = found.groups[0];
  const levels = levelsOf(kind, group),
    zero = group.zeroPoint ?? 0;
  const place = linear([0, levels.length - 1], [24, width - 24]);
  const at_ = new Map(levels.map(([code], i) => [code, place(i)]));
  const codeAt = (q) => at_.get(q) ?? at_.get(q - 2 ** (kind.bits - 1)) ?? place(0);
  const image = picture(
    width,
    ROWS.height,
    `${w.length} weights, their codes in ${kind.name} and what these decode to`,
    guides(width, x, reach),
    levelMarks(x, levels, group, zero, codeAt),
  );
  usage(image, found.codes, codeAt, Math.min(22, (width - 48) / levels.length));
  const marks = Array.from(w, (v, i) => {
    const error = Math.abs(found.decoded[i] - v),
      one = found.groups.findIndex(
        (g, j) => i >= g.first && (j + 1 === found.groups.length || i < found.groups[j + 1].first),
      );
    const column = codeAt(found.codes[i]);
    image.append(
      s("path", {
        class: `join g${one % 6}`,
        d:
          `M${x(v)} ${ROWS.weights} ` +
          `C${x(v)} ${ROWS.weights + 60} ${column} ${ROWS.codes - 60} ${column} ${ROWS.codes} ` +
          `C${column} ${ROWS.codes + 60} ${x(found.decoded[i])} ${ROWS.decoded - 60} ` +
          `${x(found.decoded[i])} ${ROWS.decoded}`,
      }),
    );
    image.append(
      s("line", {
        class: "error",
        x1: x(v),
        x2: x(found.decoded[i]),
        y1: ROWS.decoded + 8,
        y2: ROWS.decoded + 8,
      }),
    );
    image.append(
      s("rect", {
        class: `decoded g${one % 6}`,
        x: x(found.decoded[i]) - 4,
        y: ROWS.decoded - 4,
        width: 8,
        height: 8,
      }),
    );
    const mark = s("circle", {
      class: `weight g${one % 6}`,
      cx: x(v),
      cy: ROWS.weights,
      r: 7,
      "data-mark": `w${i}`,
      role: "slider",
      "aria-label": `weight ${i + 1}`,
      "aria-valuenow": v,
      "aria-valuemin": -reach,
      "aria-valuemax": reach,
      "aria-valuetext":
        `${format(v)}, code ${found.codes[i]}, decodes to ${format(found.decoded[i])}, error ` +
        format(error, 3),
    });
    draggable(
      mark,
      (px) => setWeight(i, x.from(px), false),
      () => at.set({}, { push: true }),
    );
    return mark;
  });
  image.append(...marks);
  roving(marks, {
    onKey: (i, event) => {
      const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
      if (!by) return false;
      setWeight(i, w[i] + (by * reach) / (event.shiftKey ? 10 : 100), false);
      return true;
    },
  });
  if (ruled) image.append(...handles(at, x, kind, group, levels, zero, codeAt, place));
  return image;
}

function guides(width, x, _reach) {
  const group = s("g", { class: "axis" });
  const rail = (y, name) =>
    group.append(
      s("line", { x1: 8, x2: width - 8, y1: y, y2: y, class: "rail" }),
      s("text", { x: 8, y: y - 18, class: "row-name" }, name),
    );
  rail(ROWS.weights, "weights");
  rail(ROWS.codes, "codes");
  rail(ROWS.decoded, "decoded");
  for (const tick of x.ticks(width > 500 ? 8 : 4)) {
    group.append(
      s("text", { x: x(tick), y: ROWS.decoded + 34, "text-anchor": "middle" }, format(tick, 3)),
    );
  }
  group.append(
    s("line", { class: "zero", x1: x(0), x2: x(0), y1: ROWS.weights - 10, y2: ROWS.weights + 10 }),
    s("line", { class: "zero", x1: x(0), x2: x(0), y1: ROWS.decoded - 10, y2: ROWS.decoded + 16 }),
  );
  return group;
}

function levelMarks(x, levels, group, zero, codeAt) {
  const marks = s("g", { class: "levels" });
  const every = Math.ceil(levels.length / 32);
  levels.forEach(([code, level], i) => {
    const decoded = x(group.scale * (level - zero));
    marks.append(
      s("line", { x1: decoded, x2: decoded, y1: ROWS.decoded - 7, y2: ROWS.decoded + 4 }),
    );
    if (levels.length <= 64) {
      marks.append(
        s("line", { x1: codeAt(code), x2: codeAt(code), y1: ROWS.codes - 5, y2: ROWS.codes + 5 }),
      );
    }
    if (i % every === 0 || code === zero) {
      marks.append(
        s(
          "text",
          {
            x: codeAt(code),
            y: ROWS.codes + 22,
            "text-anchor": "middle",
            class: code === zero && group.zeroPoint !== undefined ? "zero-code" : "",
          },
          String(code).replace("-", "−"),
        ),
      );
    }
  });
  return marks;
}

/** How often each code is used, as bars on the codes' line. */
function usage(image, codes, codeAt, room) {
  const counts = new Map();
  for (const code of codes) counts.set(code, (counts.get(code) ?? 0) + 1);
  const most = Math.max(...counts.values());
  for (const [code, count] of counts) {
    const height = (30 * count) / most;
    image.append(
      s("rect", {
        class: "usage",
        x: codeAt(code) - room / 2 + 1,
        y: ROWS.codes - height,
        width: Math.max(room - 2, 1),
        height,
      }),
    );
  }
}

/** The handles: one step of the scale on the bottom line, the zero point on the codes' line. */
function handles(at, x, kind, group, levels, zero, codeAt, place) {
  const one = levels.map(([, level]) => level - zero).filter((d) => d > 0)[0] ?? 1;
  const setScale = (next) => at.set({ scale: Number(Math.max(next, 1e-9).toPrecision(6)) });
  const scale = handle(
    x(group.scale * one),
    ROWS.decoded,
    "scale",
    `scale ${format(group.scale, 6)}`,
  );
  draggable(
    scale,
    (px) => setScale(x.from(px) / one),
    () => at.set({}, { push: true }),
  );
  nudge(scale, (by) => setScale(group.scale * (1 + by / 50)));
  if (kind.rule !== "ASYM") return [scale];
  const half = 2 ** (kind.bits - 1);
  const setZero = (q) => at.set({ zero: Math.min(Math.max(Math.round(q), -half), half - 1) });
  const point = handle(codeAt(zero), ROWS.codes + 36, "zero", `zero point ${zero}`);
  draggable(
    point,
    (px) => setZero(levels[0][0] + place.from(px)),
    () => at.set({}, { push: true }),
  );
  nudge(point, (by) => setZero(zero + by));
  return [scale, point];
}

function handle(x, y, name, label) {
  return s("path", {
    d: `M${x} ${y + 4} l8 14 h-16 z`,
    class: `handle ${name}`,
    tabindex: "0",
    role: "slider",
    "data-mark": `handle-${name}`,
    "aria-label": label,
    "aria-valuetext": label,
    "aria-valuenow": "0",
  });
}

function nudge(mark, by) {
  mark.addEventListener("keydown", (event) => {
    const way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    by(way);
    announce(mark.getAttribute("aria-label"));
  });
}
