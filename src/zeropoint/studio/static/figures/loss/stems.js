// One block: weights as stems, their decoded values as horizontal bars, the error between them.

import { axisLeft } from "../../lib/axes.js";
import { picture, s, widthOf } from "../../lib/dom.js";
import { format } from "../../lib/format.js";
import { linear } from "../../lib/scales.js";

/** `block` has weights and decoded values; `title` is for screen readers, `caption` is shown below. */
export function stems(plot, block, title, caption) {
  const width = widthOf(plot),
    height = 200,
    left = 58,
    n = block.weights.length;
  const reach =
    Math.max(...Array.from(block.weights, Math.abs), ...Array.from(block.decoded, Math.abs)) || 1;
  const x = linear([0, n], [left, width - 8]),
    y = linear([-reach, reach], [height - 24, 12]);
  const thick = Math.min(x(1) - x(0) - 1, 12);
  let weights = "",
    stored = "",
    errors = "";
  for (let i = 0; i < n; i++) {
    const px = x(i + 0.5);
    weights += `M${px} ${y(0)}V${y(block.weights[i])}`;
    stored += `M${px - thick / 2} ${y(block.decoded[i])}h${thick}`;
    errors += `M${px} ${y(block.weights[i])}V${y(block.decoded[i])}`;
  }
  return picture(
    width,
    height,
    title,
    axisLeft(y, left, width - 8, { label: (v) => format(v, 2) }),
    s("path", { class: "stems", d: weights }),
    s("path", { class: "error", d: errors }),
    s("path", { class: "steps", d: stored }),
    s("text", { x: left, y: height - 4 }, caption),
  );
}

/** Which columns of its row a block holds. */
export function columnsOf(block) {
  return `columns ${block.column} … ${block.column + block.weights.length - 1}`;
}
