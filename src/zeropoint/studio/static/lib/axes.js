// Axes of charts: ticks, their numbers and a name.

import { s } from "./dom.js";
import { format } from "./format.js";

/**
 * An axis along the bottom: ticks, numbers, a name.
 * @param {Scale} scale
 * @param {number} y
 * @param {{ name?: string, n?: number, label?: (x: number) => string, x?: number }} [options]
 */
export function axisBelow(scale, y, { name = "", n = 5, label = (x) => format(x, 3), x = 0 } = {}) {
  const group = s("g", { class: "axis" });
  for (const tick of scale.ticks(n)) {
    group.append(
      s("line", { x1: scale(tick), x2: scale(tick), y1: y, y2: y + 4 }),
      s("text", { x: scale(tick), y: y + 17, "text-anchor": "middle" }, label(tick)),
    );
  }
  if (name) {
    group.append(s("text", { x, y: y + 34, class: "axis-name", "text-anchor": "end" }, name));
  }
  return group;
}

/**
 * An axis on the left, with faint lines across.
 * @param {Scale} scale
 * @param {number} x
 * @param {number} x2
 * @param {{ n?: number, label?: (x: number) => string }} [options]
 */
export function axisLeft(scale, x, x2, { n = 4, label = (v) => format(v, 3) } = {}) {
  const group = s("g", { class: "axis" });
  for (const tick of scale.ticks(n)) {
    group.append(
      s("line", { x1: x, x2, y1: scale(tick), y2: scale(tick), class: "grid" }),
      s("text", { x: x - 6, y: scale(tick) + 4, "text-anchor": "end" }, label(tick)),
    );
  }
  return group;
}
