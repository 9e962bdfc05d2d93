// Bytes by layer and tensor: layers in one row, their tensors below, with widths in proportion to bytes.

import { h, picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { inBytes, percent } from "../../lib/format.js";
import { dense, drawnOnce, isDense, roving } from "../../lib/marks.js";
import { linear } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";
import { tensorPicker } from "./histogram.js";

/** The layer that a tensor belongs to, or its kind if it is outside the layers. */
export function layerOf(name) {
  const found = /^blk\.(\d+)\./.exec(name);
  return found ? `layer ${found[1]}` : name.replace(/\.weight$/, "");
}

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const picker = tensorPicker(data, state, "tensor", () => show());
  const tensors = data.tensors,
    total = tensors.reduce((sum, t) => sum + t.bytes, 0);
  const formats = [...new Set(tensors.map((t) => t.format))];
  const drawn = drawnOnce((width) =>
    icicle(width, tensors, total, formats, () => picker.current(), picker.set),
  );
  const below = legend(tensors, formats, total);
  const table = () => [
    ["tensor", "format", "shape", "bytes"],
    tensors.map((t) => [t.name, t.format, t.shape.join(" × "), t.bytes]),
  ];
  const show = figureParts(figure, [picker.control], (plot) => {
    const one = picker.current();
    picker.sync();
    return {
      plot: [drawn(widthOf(plot), one, widthOf(plot)), below],
      reading: [
        fact("tensor", value("name", null, one.name)),
        fact("size", value("bytes", one.bytes, inBytes(one.bytes))),
        fact(
          "of the file’s tensors",
          value("share", one.bytes / total, percent(one.bytes / total)),
        ),
        fact("format", value("format", null, one.format)),
        fact(
          "bits per weight",
          value("bits", (8 * one.bytes) / one.shape.reduce((a, n) => a * n, 1)),
        ),
      ],
      table,
    };
  });
}

function legend(tensors, formats, total) {
  return h(
    "p",
    { class: "legend" },
    formats.map((name, i) => {
      const bytes = tensors.filter((t) => t.format === name).reduce((sum, t) => sum + t.bytes, 0);
      return h(
        "span",
        {},
        h("i", { class: `swatch f${i % 6}` }),
        `${name} ${percent(bytes / total, 1)}`,
      );
    }),
  );
}

function icicle(width, tensors, total, formats, current, pick) {
  const x = linear([0, total], [0, width]);
  const image = picture(width, 150, "Bytes of the file, by layer and tensor");
  const layers = new Map();
  for (const t of tensors) {
    const name = layerOf(t.name);
    if (!layers.has(name)) layers.set(name, []);
    layers.get(name).push(t);
  }
  let at = 0;
  const boxes = [],
    order = [];
  for (const [name, members] of layers) {
    const bytes = members.reduce((sum, t) => sum + t.bytes, 0),
      w = x(bytes);
    image.append(
      s("rect", { class: "area", x: x(at), y: 8, width: Math.max(w - 1, 0.5), height: 40, rx: 2 }),
    );
    if (w > 15) {
      image.append(
        s(
          "text",
          { x: x(at) + w / 2, y: 33, "text-anchor": "middle" },
          w > 60 ? name : name.replace("layer ", ""),
        ),
      );
    }
    for (const t of [...members].sort((a, b) => b.bytes - a.bytes)) {
      boxes.push({
        class: `fill f${formats.indexOf(t.format) % 6}`,
        x: x(at),
        y: 54,
        width: Math.max(x(t.bytes) - 0.6, 0.4),
        height: 84,
        name: t.name,
        told: `${t.name}: ${inBytes(t.bytes)}, ${t.format}`,
      });
      order.push(t);
      at += t.bytes;
    }
  }
  const places = new Map(order.map((t, i) => [t.name, i])); // by name, because a server may send new objects
  if (isDense(order.length)) {
    const mark = dense(image, boxes, { pick: (i) => pick(order[i].name) });
    return { element: image, mark: (one) => mark(places.get(one.name) ?? -1) };
  }
  const marks = boxes.map(({ name, told, ...box }) =>
    s(
      "rect",
      { ...box, role: "button", "data-mark": name, onclick: () => pick(name) },
      s("title", {}, told),
    ),
  );
  image.append(...marks);
  boxes.forEach(({ x: left, width: w }, i) => {
    if (w > 46)
      image.append(
        s(
          "text",
          { class: "on-fill", x: left + w / 2, y: 100, "text-anchor": "middle" },
          order[i].format,
        ),
      );
  });
  const frame = image.appendChild(s("rect", { class: "frame", y: 52, height: 88, rx: 2 }));
  roving(marks, {
    start: Math.max(
      order.findIndex((t) => t.name === current().name),
      0,
    ),
    onFocus: (i) => order[i].name !== current().name && pick(order[i].name),
  });
  return {
    element: image,
    mark(one) {
      const box = boxes[places.get(one.name) ?? -1];
      if (!box) return;
      frame.setAttribute("x", String(box.x - 1));
      frame.setAttribute("width", String(Math.max(box.width + 2, 3)));
    },
  };
}
