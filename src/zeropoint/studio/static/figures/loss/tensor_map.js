// The map of a model: a column per layer, a row per kind of tensor, and below those without a layer.

import { picture, s } from "../../lib/dom.js";
import { dense, isDense, roving } from "../../lib/marks.js";
import { layerOf } from "./bytes.js";

/**
 * The picture, and a function that marks a tensor. `cellOf(t)` gives a cell's shade (0 to 5), what is
 * said of it and, unless it is its shade, its text. `pick(name)` is called by pointer and keys.
 */
export function tensorMap(width, tensors, { title, cellOf, current, pick }) {
  const inLayers = [],
    others = [],
    layers = new Map(),
    kinds = new Map();
  for (const t of tensors) {
    const layer = layerOf(t.name);
    if (!layer.startsWith("layer")) {
      others.push(t);
      continue;
    }
    if (!layers.has(layer)) layers.set(layer, layers.size);
    if (!kinds.has(t.kind)) kinds.set(t.kind, kinds.size);
    inLayers.push([t, layers.get(layer), kinds.get(t.kind)]);
  }
  inLayers.sort((a, b) => a[2] - b[2] || a[1] - b[1]);
  const left = 96,
    cell = Math.min(34, (width - left) / Math.max(layers.size, 1)),
    tall = 26;
  const image = picture(width, (kinds.size + others.length) * tall + 34, title);
  const boxes = [],
    order = [],
    row = (y, name) =>
      image.append(s("text", { x: left - 8, y: y + 17, "text-anchor": "end" }, name));
  const add = (t, x, y, w) => {
    const { k, told, text = String(k) } = cellOf(t);
    boxes.push({
      class: `cell h${k}`,
      x,
      y,
      width: w - 1.5,
      height: tall - 2,
      k,
      text,
      name: t.name,
      told: `${t.name}: ${told}`,
    });
    order.push(t);
  };
  for (const [kind, i] of kinds) row(i * tall, kind);
  for (const [t, layer, kind] of inLayers) add(t, left + layer * cell, kind * tall, cell);
  for (const [name, i] of layers) {
    if (cell > 18 || i % 5 === 0)
      image.append(
        s(
          "text",
          { x: left + (i + 0.5) * cell, y: kinds.size * tall + 14, "text-anchor": "middle" },
          name.slice(6),
        ),
      );
  }
  others.forEach((t, i) => {
    const y = kinds.size * tall + 26 + i * tall;
    row(y, t.kind);
    add(t, left, y, Math.max(cell * 3, 40));
  });
  // Up and down lead to the nearest cell of the next row.
  const beside = (i, event) => {
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!way) return undefined;
    const near = boxes
      .map(({ x, y }, k) => [k, Math.round(y - boxes[i].y) * way, Math.abs(x - boxes[i].x)])
      .filter(([, dy]) => dy > 4)
      .sort((a, b) => a[1] - b[1] || a[2] - b[2]);
    return near.length ? near[0][0] : i;
  };
  const places = new Map(order.map((t, i) => [t.name, i]));
  if (isDense(order.length)) {
    const mark = dense(image, boxes, { pick: (i) => pick(order[i].name), onKey: beside });
    return { element: image, mark: (one) => mark(places.get([one].flat()[0]?.name) ?? -1) };
  }
  const marks = boxes.map(({ name, told, k, text, ...box }) =>
    s(
      "rect",
      { ...box, rx: 3, role: "button", "data-mark": name, onclick: () => pick(name) },
      s("title", {}, told),
    ),
  );
  image.append(
    ...marks,
    ...boxes
      .filter(({ k, width: w }) => k && w > 20.5)
      .map(({ k, text, x, y, width: w }) =>
        s(
          "text",
          { class: `on-heat k${k}`, x: x + w / 2, y: y + 16, "text-anchor": "middle" },
          text,
        ),
      ),
  );
  roving(marks, {
    start: Math.max(places.get(current().name) ?? 0, 0),
    onFocus: (i) => order[i].name !== current().name && pick(order[i].name),
    onKey: (i, event) => {
      const to = beside(i, event);
      if (to !== undefined) marks[to].focus();
      return to !== undefined;
    },
  });
  /** @type {SVGElement[]} */
  let chosen = [];
  return {
    element: image,
    /** Mark a tensor, or several. */
    mark(one) {
      for (const mark of chosen) mark.classList.remove("chosen");
      chosen = [one].flat().map((t) => marks[places.get(t.name) ?? -1]);
      for (const mark of chosen) mark?.classList.add("chosen");
    },
  };
}
