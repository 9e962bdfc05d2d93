// Layers across, kinds of tensor down: error, bits, or size of each, in five steps with a number.

import { choice, drawnOnce, fact, figureParts, format, h, inBytes, percent, picture, roving, s, value, widthOf } from "./draw.js";
import { layerOf } from "./bytes.js";
import { tensorPicker } from "./histogram.js";

const COLOURS = {
  error: { name: "error ∕ weights", of: (t) => (t.relative_error === null ? null : Math.sqrt(t.relative_error)),
    told: (v) => percent(v, 2) },
  outliers: { name: "largest ∕ σ", of: (t) => (t.rms ? Math.abs(t.largest) / t.rms : null), told: (v) => format(v, 3) },
  bits: { name: "bits per weight", of: (t) => (8 * t.bytes) / t.shape.reduce((a, n) => a * n, 1), told: (v) => format(v, 3) },
  bytes: { name: "size", of: (t) => t.bytes, told: inBytes },
};

export function mount(figure, data, state) {
  const tensors = data.tensors.filter((t) => t.shape.length > 1);
  const picker = tensorPicker(data, state, "tensor", () => show());
  // Without a run there are no errors, without its weights read no outliers: what is not known is not offered.
  const offered = Object.keys(COLOURS).filter((key) => tensors.some((t) => COLOURS[key].of(t) !== null));
  const at = state.scope("heat", { colour: "" }, () => show());
  const colour = choice({ label: "Colour", name: "colour", options: offered.map((key) => [key, key === "bytes" ? "size" : key]),
    onChange: (x) => at.set({ colour: x }, { push: true }) });
  const found = new Map();
  const fifths = (how) => {
    if (!found.has(how)) {
      const known = tensors.map(how.of).filter((v) => v !== null).sort((a, b) => a - b);
      found.set(how, { known, limits: [0.2, 0.4, 0.6, 0.8].map((q) => known[Math.floor(q * (known.length - 1))]) });
    }
    return found.get(how);
  };
  const drawn = drawnOnce((...parts) => map(...parts, () => picker.current(), picker.set));
  const show = figureParts(figure, [colour, picker.control], (plot) => {
    const key = offered.includes(at.get("colour")) ? at.get("colour") : offered[0];
    const how = COLOURS[key], one = picker.current();
    colour.set(key);
    picker.sync();
    const { known, limits } = fifths(how);
    const shade = (v) => 1 + limits.filter((limit) => v > limit).length;
    return {
      plot: [drawn(`${how.name} ${widthOf(plot)}`, one, widthOf(plot), tensors, how, shade), legend(how, [known[0],
        ...limits, known.at(-1)])],
      reading: [fact("tensor", value("name", null, one.name)), offered.includes("error") ? fact("error ∕ weights", value("error",
        COLOURS.error.of(one), one.relative_error === null ? "copied" : percent(COLOURS.error.of(one), 2))) : null,
      offered.includes("outliers") ? fact("largest ∕ σ", value("outliers", COLOURS.outliers.of(one))) : null, fact("format", value("format", null,
        one.format)), fact("bits per weight", value("bits", COLOURS.bits.of(one))),
      h("p", { class: "note" }, one.reason ? `Why ${one.format}: ${one.reason}.` : "")].filter(Boolean),
      table: () => [["tensor", "format", ...offered.map((name) => COLOURS[name].name)], tensors.map((t) => [t.name, t.format,
        ...offered.map((name) => COLOURS[name].of(t))])],
    };
  });
}

function legend(how, edges) {
  return h("p", { class: "legend" }, how.name, [1, 2, 3, 4, 5].filter((k) => k === 1
    || edges[k] !== edges[k - 1]).map((k) => h("span", {}, h("i", { class: `swatch h${k}` }),
    `${how.told(edges[k - 1])} – ${how.told(edges[k])}`)));
}

function map(width, tensors, how, shade, current, pick) {
  const inLayers = tensors.filter((t) => layerOf(t.name).startsWith("layer"));
  const others = tensors.filter((t) => !layerOf(t.name).startsWith("layer"));
  const layers = [...new Set(inLayers.map((t) => layerOf(t.name)))], kinds = [...new Set(inLayers.map((t) => t.kind))];
  const left = 96, cell = Math.min(34, (width - left) / Math.max(layers.length, 1)), tall = 26;
  const height = (kinds.length + others.length) * tall + 34;
  const image = picture(width, height, `${how.name} of every tensor, layers across`);
  const marks = [], order = [], places = [];
  const add = (t, x, y, w) => {
    const v = how.of(t), k = v === null ? 0 : shade(v);
    const mark = s("rect", { class: `cell h${k}`, x, y, width: w - 1.5, height: tall - 2, rx: 3,
      role: "button", "data-mark": t.name, onclick: () => pick(t.name) }, s("title", {}, `${t.name}: ${v === null ? "copied" : how.told(v)}`));
    marks.push(mark);
    order.push(t);
    places.push([Math.round(x), Math.round(y)]);
    image.append(mark);
    if (k && w > 22) image.append(s("text", { class: `on-heat k${k}`, x: x + (w - 1.5) / 2, y: y + 16,
      "text-anchor": "middle" }, String(k)));
  };
  kinds.forEach((kind, i) => {
    image.append(s("text", { x: left - 8, y: i * tall + 17, "text-anchor": "end" }, kind));
    for (const t of inLayers.filter((x) => x.kind === kind)) {
      add(t, left + layers.indexOf(layerOf(t.name)) * cell, i * tall, cell);
    }
  });
  layers.forEach((name, i) => (cell > 18 || i % 5 === 0) && image.append(s("text", { x: left + (i + 0.5) * cell,
    y: kinds.length * tall + 14, "text-anchor": "middle" }, name.slice(6))));
  others.forEach((t, i) => {
    const y = kinds.length * tall + 26 + i * tall;
    image.append(s("text", { x: left - 8, y: y + 17, "text-anchor": "end" }, t.kind));
    add(t, left, y, Math.max(cell * 3, 40));
  });
  roving(marks, { start: Math.max(order.findIndex((t) => t.name === current().name), 0), onFocus: (i) => order[i].name !== current().name
    && pick(order[i].name),
    onKey: (i, event) => {
      const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!way) return false;
      const near = places.map(([x, y], k) => [k, (y - places[i][1]) * way, Math.abs(x - places[i][0])])
        .filter(([, dy]) => dy > 4).sort((a, b) => a[1] - b[1] || a[2] - b[2]);
      if (near.length) marks[near[0][0]].focus();
      return true;
    } });
  let chosen = null;
  return { element: image, mark(one) {
    chosen?.classList.remove("chosen");
    chosen = marks[order.findIndex((t) => t.name === one.name)] ?? null;
    chosen?.classList.add("chosen");
  } };
}
