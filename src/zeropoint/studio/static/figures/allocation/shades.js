// The shades of formats in maps of a recipe, the same for every recipe, and their legend.

import { h } from "../../lib/dom.js";
import { format } from "../../lib/format.js";

/** Bits per weight that end a shade: formats of 1 and 2 bits, 3, 4, 5 and 6, and more. */
const ENDS = [2.7, 3.7, 4.7, 6.7];
const NAMES = ["below 2.7", "2.7 – 3.7", "3.7 – 4.7", "4.7 – 6.7", "above 6.7"];

/**
 * The shade of a format, from 1 to 5.
 * @param {number} bits per weight
 */
export function shadeOf(bits) {
  return 1 + ENDS.filter((end) => bits > end).length;
}

/**
 * The cell of a tensor in a map of a recipe.
 * @param {{ format: string, bits: number }} t
 */
export function recipeCell(t) {
  return {
    k: shadeOf(t.bits),
    text: format(t.bits, 2),
    told: `${t.format}, ${format(t.bits, 4)} bits per weight`,
  };
}

/** The shades that tensors have, in words. */
export function shadeLegend(tensors) {
  const used = new Set(tensors.map((t) => shadeOf(t.bits)));
  return h(
    "p",
    { class: "legend" },
    "bits per weight",
    NAMES.map((name, i) =>
      used.has(i + 1) ? h("span", {}, h("i", { class: `swatch h${i + 1}` }), name) : null,
    ),
  );
}
