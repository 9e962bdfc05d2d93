// The results as a JSON file to download.

import { button } from "../lib/controls.js";
import { h } from "../lib/dom.js";
import { figureParts } from "../lib/figure.js";
import { inBytes } from "../lib/format.js";

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 */
export function mount(figure, data) {
  const text = JSON.stringify(data.runs, null, 1);
  const save = button("Save as JSON", "save", () => {
    const link = h("a", {
      href: URL.createObjectURL(new Blob([text], { type: "application/json" })),
      download: "runs.json",
    });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  figureParts(figure, [save], () => ({
    plot: [h("p", { class: "note" }, `${data.runs.length} runs, ${inBytes(text.length)}`)],
    table: [
      ["run", "verb", "result", "value"],
      data.runs.flatMap((run) =>
        Object.entries(run.results).map(([key, found]) => [
          run.name,
          run.verb,
          key,
          typeof found === "number" ? found : JSON.stringify(found).slice(0, 300),
        ]),
      ),
    ],
  }))();
}
