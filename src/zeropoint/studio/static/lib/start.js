// Reads the page's data and mounts the visual of every figure.

import { h } from "./dom.js";
import { gunzip } from "./gunzip.js";
import * as state from "./state.js";

/**
 * Unpack the page's data block: base64, gzip, JSON, typed arrays.
 * @returns {PageData}
 */
export function unpackIsland() {
  const packed = Uint8Array.from(atob(document.getElementById("data")?.textContent ?? ""), (c) =>
    c.charCodeAt(0),
  );
  return parseData(new TextDecoder().decode(gunzip(packed)));
}

/**
 * As `unpackIsland`, for pages that do not draw before they have loaded.
 * @returns {Promise<PageData>}
 */
export async function readIsland() {
  return unpackIsland();
}

/**
 * Parse JSON whose {"$": "f4" | "i4", data} objects are typed arrays.
 * @param {string} text
 * @returns {any}
 */
export function parseData(text) {
  return JSON.parse(text, (_, found) => {
    if (!found?.$ || typeof found.data !== "string") return found;
    const bytes = Uint8Array.from(atob(found.data), (c) => c.charCodeAt(0));
    return found.$ === "f4" ? new Float32Array(bytes.buffer) : new Int32Array(bytes.buffer);
  });
}

/**
 * Put a link to a figure into its caption. The link opens at the figure, in its present state, and is
 * copied where the browser allows it.
 * @param {HTMLElement} figure
 */
function linkTo(figure) {
  const link = h("a", { class: "link-here", href: `#${figure.id}` }, "Link to this figure");
  link.addEventListener("click", () =>
    setTimeout(() =>
      navigator.clipboard?.writeText(location.href).then(
        () => {
          link.textContent = "Link copied";
        },
        () => {}, // the address shows it anyway
      ),
    ),
  );
  figure.querySelector("figcaption")?.append(link);
}

/**
 * Mount each <figure data-visual> with the visual of that name. Its data-needs attribute lists the data
 * that it reads. The figure is left out if data is missing, and labelled if it is from the example run.
 * @param {Record<string, Visual>} visuals
 * @param {PageData} data
 */
export function mountAll(visuals, data) {
  for (const figure of /** @type {NodeListOf<HTMLElement>} */ (
    document.querySelectorAll("figure[data-visual]")
  )) {
    const needs = (figure.dataset.needs ?? "").split(" ").filter(Boolean);
    if (needs.some((key) => !data[key])) {
      figure.remove();
      continue;
    }
    if (needs.some((key) => data.borrowed?.includes(key))) {
      figure.append(
        h(
          "p",
          { class: "note borrowed" },
          "Not of your model: from the example run, Gemma 3 270M.",
        ),
      );
    }
    if (document.body.classList.contains("essay") && figure.closest("section")) linkTo(figure);
    visuals[figure.dataset.visual ?? ""].mount(figure, data, state);
    figure.dataset.ready = "";
  }
  const section = state.currentSection();
  if (section) document.getElementById(section)?.scrollIntoView();
  document.documentElement.dataset.ready = "";
}
