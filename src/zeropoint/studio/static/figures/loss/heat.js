// Heat map with a column per layer and a row per kind of tensor: error, bits or size in five shades.

import { choice } from "../../lib/controls.js";
import { h, picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format, inBytes, percent } from "../../lib/format.js";
import { dense, drawnOnce, isDense, roving } from "../../lib/marks.js";
import { fact, value } from "../../lib/table.js";
import { layerOf } from "./bytes.js";
import { tensorPicker } from "./histogram.js";

const COLOURS = {
  error: {
    name: "error ∕ weights",
    of: (t) => (t.relative_error === null ? null : Math.sqrt(t.relative_error)),
    told: (v) => percent(v, 2),
  },
  outliers: {
    name: "largest ∕ σ",
    of: (t) => (t.rms ? Math.abs(t.largest) / t.rms : null),
    told: (v) => format(v, 3),
  },
  bits: {
    name: "bits per weight",
    of: (t) => (8 * t.bytes) / t.shape.reduce((a, n) => a * n, 1),
    told: (v) => format(v, 3),
  },
  bytes: { name: "size", of: (t) => t.bytes, told: inBytes },
};

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const tensors = data.tensors.filter((t) => t.shape.length > 1);
  const picker = tensorPicker(data, state, "tensor", () => show());
  // Errors need a run, and outliers need the weights to have been read: only known values are offered.
  const offered = Object.keys(COLOURS).filter((key) =>
    tensors.some((t) => COLOURS[key].of(t) !== null),
  );
  const at = state.scope("heat", { colour: "" }, () => show());
  const colour = choice({
    label: "Colour",
    name: "colour",
    options: offered.map((key) => [key, key === "bytes" ? "size" : key]),
    onChange: (x) => at.set({ colour: x }, { push: true }),
  });
  const found = new Map();
  const fifths = (how) => {
    if (!found.has(how)) {
      const known = tensors
        .map(how.of)
        .filter((v) => v !== null)
        .sort((a, b) => a - b);
      found.set(how, {
        known,
        limits: [0.2, 0.4, 0.6, 0.8].map((q) => known[Math.floor(q * (known.length - 1))]),
      });
    }
    return found.get(how);
  };
  const drawn = drawnOnce((...parts) => map(...parts, () => picker.current(), picker.set));
  const table = () => [
    ["tensor", "format", ...offered.map((name) => COLOURS[name].name)],
    tensors.map((t) => [t.name, t.format, ...offered.map((name) => COLOURS[name].of(t))]),
  ];
  const show = figureParts(figure, [colour, picker.control], (plot) => {
    const key = offered.includes(at.get("colour")) ? at.get("colour") : offered[0];
    const how = COLOURS[key],
      one = picker.current();
    colour.set(key);
    picker.sync();
    const { known, limits } = fifths(how);
    const shade = (v) => 1 + limits.filter((limit) => v > limit).length;
    return {
      plot: [
        drawn(`${how.name} ${widthOf(plot)}`, one, widthOf(plot), tensors, how, shade),
        legend(how, [known[0], ...limits, known.at(-1)]),
      ],
      reading: [
        fact("tensor", value("name", null, one.name)),
        offered.includes("error")
          ? fact(
              "error ∕ weights",
              value(
                "error",
                COLOURS.error.of(one),
                one.relative_error === null ? "copied" : percent(COLOURS.error.of(one), 2),
              ),
            )
          : null,
        offered.includes("outliers")
          ? fact("largest ∕ σ", value("outliers", COLOURS.outliers.of(one)))
          : null,
        fact("format", value("format", null, one.format)),
        fact("bits per weight", value("bits", COLOURS.bits.of(one))),
        h("p", { class: "note" }, one.reason ? `Why ${one.format}: ${one.reason}.` : ""),
      ].filter(Boolean),
      table,
    };
  });
}

function legend(how, edges) {
  return h(
    "p",
    { class: "legend" },
    how.name,
    [1, 2, 3, 4, 5]
      .filter((k) => k === 1 || edges[k] !== edges[k - 1])
      .map((k) =>
        h(
          "span",
          {},
          h("i", { class: `swatch h${k}` }),
          `${how.told(edges[k - 1])} – ${how.told(edges[k])}`,
        ),
      ),
  );
}

function map(width, tensors, how, shade, current, pick) {
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
  const image = picture(
    width,
    (kinds.size + others.length) * tall + 34,
    `${how.name} of every tensor, layers across`,
  );
  const boxes = [],
    order = [],
    row = (y, name) =>
      image.append(s("text", { x: left - 8, y: y + 17, "text-anchor": "end" }, name));
  const add = (t, x, y, w) => {
    const v = how.of(t),
      k = v === null ? 0 : shade(v);
    boxes.push({
      class: `cell h${k}`,
      x,
      y,
      width: w - 1.5,
      height: tall - 2,
      k,
      name: t.name,
      told: `${t.name}: ${v === null ? "copied" : how.told(v)}`,
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
    return { element: image, mark: (one) => mark(places.get(one.name) ?? -1) };
  }
  const marks = boxes.map(({ name, told, k, ...box }) =>
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
      .map(({ k, x, y, width: w }) =>
        s(
          "text",
          { class: `on-heat k${k}`, x: x + w / 2, y: y + 16, "text-anchor": "middle" },
          String(k),
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
  /** @type {SVGElement | null} */
  let chosen = null;
  return {
    element: image,
    mark(one) {
      chosen?.classList.remove("chosen");
      chosen = marks[places.get(one.name) ?? -1] ?? null;
      chosen?.classList.add("chosen");
    },
  };
}
