// Pictures of lanes: numbers side by side, with widths in proportion to their bits, wrapped to the page's width.

import { axisBelow, axisLeft } from "../lib/axes.js";
import { picture, s, widthOf } from "../lib/dom.js";
import { format } from "../lib/format.js";
import { roving } from "../lib/marks.js";
import { linear } from "../lib/scales.js";

const TALL = 30;

/** Bits on a line: a whole unit of 32 bytes if the page is wide enough, otherwise half or a quarter of it. */
function lineBits(plot) {
  const width = widthOf(plot);
  return width > 620 ? 256 : width > 440 ? 128 : 64;
}

/**
 * Lanes of `bits` each, from cells {text, name, kind, mark}. `frame` bits belong together (a register's
 * lane). `chosen` is outlined; `pick(i)` is called by pointer and keys.
 * @param {HTMLElement} plot
 * @param {string} title
 * @param {any[]} cells
 * @param {{ bits: number, frame?: number, chosen?: number, pick?: ((i: number) => void) | null,
 *   start?: string }} options
 */
export function lanes(
  plot,
  title,
  cells,
  { bits, frame = 0, chosen = -1, pick = null, start = "" },
) {
  const width = widthOf(plot),
    line = lineBits(plot),
    px = (width - 2) / line,
    perLine = Math.max(Math.floor(line / bits), 1);
  const height = Math.ceil(cells.length / perLine) * (TALL + 6) + 2;
  const image = picture(width, height, title);
  const marks = cells.map((cell, i) => {
    const x = 1 + (i % perLine) * bits * px,
      y = 1 + Math.floor(i / perLine) * (TALL + 6),
      w = bits * px;
    const mark = s(
      "g",
      {
        class: `lane ${cell.kind ?? ""} ${i === chosen ? "chosen" : ""}`,
        "data-mark": `${start}${i}`,
        ...(pick ? { role: "button", "aria-label": cell.name, onclick: () => pick(i) } : {}),
      },
      s("rect", {
        x: x + 0.5,
        y,
        width: Math.max(w - 1, 0.5),
        height: TALL,
        rx: Math.min(3, w / 4),
      }),
    );
    if (cell.text !== undefined && String(cell.text).length * 6.3 < w) {
      mark.append(s("text", { x: x + w / 2, y: y + 20, "text-anchor": "middle" }, cell.text));
    }
    for (const bit of cell.bits ?? []) {
      // the highest bit of a byte is on the left
      mark.append(
        s("rect", {
          class: "bit-own",
          x: x + (bits - 1 - bit) * px,
          y: y + TALL - 5,
          width: px,
          height: 5,
        }),
      );
    }
    return mark;
  });
  image.append(...marks);
  if (frame) {
    for (let bit = 0; bit < cells.length * bits; bit += frame) {
      const x = 1 + (bit % (perLine * bits)) * px,
        y = 1 + Math.floor(bit / (perLine * bits)) * (TALL + 6);
      image.append(
        s("rect", {
          class: "lane-frame",
          x,
          y: y - 0.5,
          width: frame * px,
          height: TALL + 1,
          rx: 3,
        }),
      );
    }
  }
  if (pick) roving(marks, { start: Math.max(chosen, 0), onFocus: (i) => i !== chosen && pick(i) });
  return image;
}

/** A vector register: one lane of 32 bits for each of 16, 8 or 4 rows; the row shown is the first. */
export function register(plot, lanesOf, own) {
  const width = widthOf(plot),
    step = (width - 2) / lanesOf;
  const image = picture(
    width,
    TALL + 20,
    `A register of ${lanesOf * 32} bits: ${lanesOf} lanes, one for each row`,
  );
  for (let i = 0; i < lanesOf; i++) {
    const mine = i === own;
    image.append(
      s(
        "g",
        { class: `lane ${mine ? "code chosen" : "other"}` },
        s("rect", { x: 1.5 + i * step, y: 1, width: step - 1, height: TALL, rx: 3 }),
      ),
    );
    if (mine)
      for (let k = 1; k < 4; k++)
        image.append(
          s("line", {
            class: "lane-cut",
            x1: 1 + i * step + (k * step) / 4,
            x2: 1 + i * step + (k * step) / 4,
            y1: 1,
            y2: TALL + 1,
          }),
        );
  }
  image.append(
    s(
      "text",
      { x: 1 + Math.min(own * step, width - 150), y: TALL + 15 },
      "this row: 4 codes of 8 bits",
    ),
  );
  return image;
}

/** Numbers as bars above and below zero, over their 8-bit lanes; the largest and the chosen bar have labels. */
export function bars(plot, title, values, chosen, label = (v) => format(v, 3)) {
  const width = widthOf(plot),
    height = 130,
    list = Array.from(values),
    step = (width - 2) / list.length;
  const most = Math.max(...list.map(Math.abs)) || 1,
    peak = list.findIndex((v) => Math.abs(v) === most);
  const y = linear([-most, most], [height - 16, 16]);
  const image = picture(
    width,
    height,
    title,
    s(
      "g",
      { class: "axis" },
      s("line", { class: "rail", x1: 1, x2: width - 1, y1: y(0), y2: y(0) }),
    ),
  );
  list.forEach((v, i) =>
    image.append(
      s("rect", {
        class: `bar ${i === chosen ? "second" : ""}`,
        x: 1 + i * step + step * 0.12,
        width: step * 0.76,
        y: Math.min(y(v), y(0)),
        height: Math.max(Math.abs(y(v) - y(0)), 1),
      }),
    ),
  );
  for (const i of new Set([peak, chosen])) {
    const x = 1 + (i + 0.5) * step,
      end = x < 40 ? "start" : x > width - 40 ? "end" : "middle";
    image.append(
      s(
        "text",
        {
          class: i === chosen ? "strong" : "",
          x: end === "start" ? 1 : end === "end" ? width - 1 : x,
          y: list[i] < 0 ? y(list[i]) + 13 : y(list[i]) - 4,
          "text-anchor": end,
        },
        label(list[i]),
      ),
    );
  }
  return image;
}

/** The running total after each unit; the unit that is shown is marked. */
export function growing(plot, totals, unit, pick) {
  const width = widthOf(plot),
    height = 190,
    left = 70,
    bottom = height - 30;
  const ends = totals.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [0, 0]);
  const y = linear(ends[0] === ends[1] ? [-1, 1] : ends, [bottom - 4, 12]),
    x = linear([0, totals.length], [left, width - 12]);
  let path = `M${x(0)} ${y(0)}`;
  totals.forEach((v, i) => {
    path += `H${x(i + 1)}V${y(v)}`;
  });
  const image = picture(
    width,
    height,
    `The total after each of ${totals.length} units`,
    axisLeft(y, left, width - 12),
    axisBelow(x, bottom, { n: 6 }),
    s("rect", {
      class: "ground",
      x: x(unit),
      width: Math.max(x(unit + 1) - x(unit), 1.5),
      y: 8,
      height: bottom - 8,
    }),
    s("path", { class: "curve", d: path }),
    s("circle", { class: "dot second", cx: x(unit + 1), cy: y(totals[unit]), r: 5 }),
  );
  image.addEventListener("click", (event) => {
    const box = image.getBoundingClientRect(),
      at = x.from(((event.clientX - box.left) * width) / box.width);
    if (at >= 0 && at < totals.length) pick(Math.floor(at));
  });
  return image;
}

/** Numbers of bytes as bars, to scale. */
export function amounts(plot, rows) {
  const width = widthOf(plot),
    left = 4,
    most = Math.max(...rows.map(([, n]) => n));
  const x = linear([0, most], [0, width - 110]);
  const image = picture(
    width,
    rows.length * 44 + 4,
    "Bytes moved and bytes computed with, to scale",
  );
  rows.forEach(([name, n, kind], i) =>
    image.append(
      s("text", { x: left, y: i * 44 + 13 }, name),
      s("rect", {
        class: `bar ${kind}`,
        x: left,
        y: i * 44 + 19,
        width: Math.max(x(n), 1),
        height: 16,
        rx: 2,
      }),
      s("text", { x: left + x(n) + 7, y: i * 44 + 32, class: "strong" }, `${n} bytes`),
    ),
  );
  return image;
}
