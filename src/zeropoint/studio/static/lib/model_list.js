// Fills the table of models with values from the headers of the files.

import { inCount } from "./format.js";
import { ask } from "./server.js";

/** @type {Record<string, (x: any) => string>} */
const FORMATTERS = {
  architecture: String,
  parameters: inCount,
  bits_per_weight: (x) => x.toFixed(2),
};

export async function fillModels() {
  const cells = [
    .../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-model]")),
  ];
  for (const id of new Set(cells.map((cell) => cell.dataset.model))) {
    const own = cells.filter((cell) => cell.dataset.model === id);
    try {
      const found = await ask(`/api/models/${id}`);
      for (const cell of own) {
        const key = cell.dataset.key ?? "";
        const x = found[key];
        cell.textContent = x === null || x === undefined ? "–" : FORMATTERS[key](x);
        cell.classList.remove("later");
      }
    } catch (error) {
      for (const cell of own) cell.textContent = "–";
      own[0].textContent = error.message;
    }
  }
}

/** Links to the same page of another model or run keep the selection of this page. */
export function keepPlace() {
  for (const link of /** @type {NodeListOf<HTMLAnchorElement>} */ (
    document.querySelectorAll("a[data-keep]")
  )) {
    link.addEventListener("click", () => {
      link.hash = location.hash;
    });
  }
}
