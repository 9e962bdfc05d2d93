// The recipe of a search: the format of every tensor, layers across, shaded by bits per weight.

import { select } from "../../lib/controls.js";
import { h, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { inBytes } from "../../lib/format.js";
import { drawnOnce } from "../../lib/marks.js";
import { fact, value } from "../../lib/table.js";
import { source } from "../../lib/tensor_picker.js";
import { tensorMap } from "../loss/tensor_map.js";
import { recipeCell, shadeLegend } from "./shades.js";

/** A menu of the recipes; `current()` returns the selected one. All figures share the key. */
export function recipePicker(data, state, onChange) {
  const points = data.search;
  const at = state.scope("", { recipe: points.length - 1 }, onChange);
  const control = select({
    label: "Recipe",
    name: "recipe",
    options: points.map((p, i) => [i, `${p.name}, ${inBytes(p.file_bytes)} (${p.run})`]),
    onChange: (i) => at.set({ recipe: Number(i) }, { push: true }),
  });
  const index = () => (points[at.get("recipe")] ? at.get("recipe") : points.length - 1);
  return { control, current: () => points[index()], sync: () => control.set(index()) };
}

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const picker = recipePicker(data, state, () => show());
  const at = state.scope("recipe", { tensor: "" }, () => show());
  const pick = (name) => at.set({ tensor: name }, { push: true });
  const current = () => {
    const { tensors } = picker.current();
    return tensors.find((t) => t.name === at.get("tensor")) ?? tensors[0];
  };
  const drawn = drawnOnce((width, point) =>
    tensorMap(width, point.tensors, {
      title: `Formats of the recipe of ${point.name}, layers across`,
      cellOf: recipeCell,
      current,
      pick,
    }),
  );
  const show = figureParts(figure, [picker.control], (plot) => {
    const point = picker.current(),
      one = current();
    picker.sync();
    if (!one)
      return { plot: [h("p", { class: "note" }, "This recipe names no tensors.")], table: null };
    return {
      plot: [
        drawn(`${data.search.indexOf(point)} ${widthOf(plot)}`, one, widthOf(plot), point),
        shadeLegend(point.tensors),
      ],
      reading: [
        fact("tensor", value("name", null, one.name)),
        fact("format", value("format", null, one.format)),
        fact("bits per weight", value("bits", one.bits)),
        fact("whole file", value("bytes", point.file_bytes, inBytes(point.file_bytes))),
        fact("its bits per weight", value("file-bits", point.bits_per_weight)),
        h("ul", { class: "note full" }, inWords(point.tensors)),
        source(`${point.run}: the recipe for a file of at most ${inBytes(point.budget_bytes)}`),
      ],
      table: [
        ["tensor", "format", "bits per weight"],
        point.tensors.map((t) => [t.name, t.format, t.bits]),
      ],
    };
  });
}

/** The formats of each kind of tensor, with their numbers, as items of a list. */
function inWords(tensors) {
  const kinds = new Map();
  for (const t of tensors) {
    const counts = kinds.get(t.kind) ?? kinds.set(t.kind, new Map()).get(t.kind);
    counts.set(t.format, (counts.get(t.format) ?? 0) + 1);
  }
  return [...kinds].map(([kind, counts]) =>
    h(
      "li",
      {},
      `${kind}: ${[...counts]
        .sort((a, b) => b[1] - a[1])
        .map(([name, count]) => (count > 1 ? `${name} × ${count}` : name))
        .join(", ")}`,
    ),
  );
}
