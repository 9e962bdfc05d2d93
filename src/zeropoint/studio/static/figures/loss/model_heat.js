// The heat map of a file: bits and sizes at once, and outliers as soon as the weights have been read.

import { h } from "../../lib/dom.js";
import { percent } from "../../lib/format.js";
import { whenRead } from "../../lib/server.js";
import * as heat from "./heat.js";

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const caption = figure.querySelector("figcaption"),
    told = h("p", { class: "note" });
  if (!data.tensors.some((t) => t.shape.length > 1)) {
    figure.append(h("p", { class: "note" }, "This file has no matrices."));
    return;
  }
  figure.dataset.drawn = "";
  const draw = () => {
    figure.replaceChildren(...(caption ? [caption] : []));
    heat.mount(figure, data, state);
    figure.append(told);
  };
  draw();
  whenRead(data.id, (found) => {
    told.textContent = found.ready
      ? ""
      : `Reading the weights: ${percent(found.done / found.total, 0)}`;
  })
    .then((found) => {
      data.tensors = found.tensors;
      draw();
      figure.dataset.drawn = "read";
    })
    .catch((error) => {
      figure.dataset.drawn = "unread";
      told.textContent = `The weights could not be read: ${error.message}`;
    });
}
