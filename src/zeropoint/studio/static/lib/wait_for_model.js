// Waits until a model has been read, shows the progress, and reloads the page.

import { announce, h } from "./dom.js";
import { percent } from "./format.js";
import { whenRead } from "./server.js";

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 */
export function mount(figure, data) {
  const bar = h("progress", { max: "1", "aria-label": "weights read" }),
    told = h("p", { class: "note", "data-name": "done" });
  figure.append(bar, told);
  const started = Date.now();
  whenRead(data.id, ({ done, total }) => {
    bar.setAttribute("value", String(done / total));
    const left = done ? ((Date.now() - started) / 1000) * ((total - done) / done) : 0;
    told.textContent = `${percent(done / total, 0)}${left > 1 ? `, about ${Math.ceil(left)} s left` : ""}`;
  })
    .then(() => {
      announce("The model has been read.");
      location.reload();
    })
    .catch((error) => told.replaceChildren(h("span", { class: "problem" }, error.message)));
}
