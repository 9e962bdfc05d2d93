// Displayed numbers. Each has its exact value in <data value="…">, which tests and scripts read.

import { h } from "./dom.js";
import { format } from "./format.js";

/**
 * A displayed number with its exact value and a name for tests and scripts.
 * @param {string} name
 * @param {number | null} x
 * @param {Child} [text]
 */
export function value(name, x, text = format(x)) {
  return h(
    "data",
    { value: x === null ? "" : String(Object.is(x, -0) ? "-0" : x), "data-name": name },
    text,
  );
}

/**
 * A named number under a figure.
 * @param {string} name
 * @param {Child} shown
 */
export function fact(name, shown) {
  return h("p", { class: "fact" }, h("span", {}, name), shown);
}

/**
 * A table of columns and rows; numbers are right-aligned and keep their exact value.
 * @param {string[]} columns
 * @param {Cell[][]} rows
 * @param {string} [caption]
 */
export function table(columns, rows, caption) {
  const cell = (/** @type {Cell} */ x) =>
    typeof x === "number"
      ? h(
          "td",
          { class: "number" },
          h("data", { value: String(Object.is(x, -0) ? "-0" : x) }, format(x, 6)),
        )
      : h("td", {}, x ?? "–");
  return h(
    "table",
    {},
    caption ? h("caption", {}, caption) : null,
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        columns.map((name) => h("th", { scope: "col" }, name)),
      ),
    ),
    h(
      "tbody",
      {},
      rows.map((row) => h("tr", {}, row.map(cell))),
    ),
  );
}
