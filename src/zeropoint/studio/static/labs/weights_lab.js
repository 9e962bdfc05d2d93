// Weights lab: the histogram of any tensor, its kind in all layers, its outliers, and a block with its codes.

import { chart, edge, elements, ridge, share, tensorPicker } from "../figures/loss/histogram.js";
import { columnsOf, stems } from "../figures/loss/stems.js";
import { button, choice, numbers, select, showState } from "../lib/controls.js";
import { announce, h, s, widthOf } from "../lib/dom.js";
import { figureParts } from "../lib/figure.js";
import { format, inCount, percent } from "../lib/format.js";
import { roving } from "../lib/marks.js";
import { linear } from "../lib/scales.js";
import { ask } from "../lib/server.js";
import { fact, value } from "../lib/table.js";
import { source } from "../lib/tensor_picker.js";

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const asked = new Map(); // address → its answer, an Error, or undefined while the request is in flight
  const get = (address) => {
    if (!asked.has(address)) {
      asked.set(address, undefined);
      ask(address)
        .catch((error) => error)
        .then((found) => {
          asked.set(address, found);
          show();
        });
    }
    return asked.get(address);
  };
  const at_ = (t, rest = "") => get(`/api/models/${data.id}/tensors/${t.index}${rest}`);
  const controls = makeControls(data, state, () => show());
  const { picker, other, at } = controls;
  const show = figureParts(figure, controls.elements, (plot) => {
    const layers = at.get("view") === "layers",
      one = picker.current(),
      two = layers ? null : other.current();
    controls.sync(layers);
    const seen = at_(one),
      beside = two && at_(two);
    if (!(seen && (!two || beside)))
      return { plot: [h("p", { class: "note" }, "Reading the tensor …")], table: null };
    for (const found of [seen, beside])
      if (found instanceof Error) return { plot: [problem(found)], table: null };
    const family = data.tensors.filter((t) => t.kind === one.kind);
    if (layers)
      return allLayers(
        plot,
        family.map((t) => at_(t)),
        seen,
        picker.set,
      );
    const outliers = at_(one, "/outliers");
    const place = {
      row: clamped(at.get("row"), one, 0),
      column: clamped(at.get("column"), one, 1),
    };
    const block = at_(
      one,
      `/block?row=${place.row}&column=${place.column}&format=${encodeURIComponent(at.get("codes"))}`,
    );
    const opened = block && !(block instanceof Error) ? block : null;
    const image = chart(plot, seen, beside, at);
    if (opened) ticks(image, plot, opened.levels, seen, beside);
    figure.dataset.drawn = [one.name, outliers && "outliers", opened && "block"]
      .filter(Boolean)
      .join(" ");
    return {
      plot: [
        image,
        opened ? blockPicture(plot, opened) : block instanceof Error ? problem(block) : null,
        Array.isArray(outliers)
          ? outlierList(outliers, seen, (o) =>
              at.set({ row: o.row, column: o.column }, { push: true }),
            )
          : null,
      ].filter(Boolean),
      reading: [...readingOf(seen, opened), onward(data.id, one, place)],
      table: [
        ["from", "to", "weights"],
        seen.counts.map((n, i) => [edge(seen, i), edge(seen, i + 1), n]),
      ],
    };
  });
}

function clamped(x, t, axis) {
  const columns = t.shape.at(-1),
    most = axis ? columns : elements(t) / columns;
  return Math.min(Math.max(Math.round(x), 0), most - 1);
}

function problem(error) {
  return h("p", { class: "problem" }, error.message);
}

function makeControls(data, state, onChange) {
  const picker = tensorPicker(data, state, "tensor", onChange);
  const other = tensorPicker(data, state, "other", onChange, {
    label: "Beside it",
    none: "nothing",
  });
  const at = state.scope(
    "weights",
    { y: "log", unit: "count", view: "one", row: 0, column: 0, codes: "" },
    onChange,
  );
  const pick = (key) => (x) => at.set({ [key]: x }, { push: true });
  const y = choice({
    label: "Height",
    name: "y",
    options: [
      ["linear", "linear"],
      ["log", "log"],
    ],
    onChange: pick("y"),
  });
  const unit = choice({
    label: "Show",
    name: "unit",
    options: [
      ["count", "count"],
      ["percent", "%"],
    ],
    onChange: pick("unit"),
  });
  const view = choice({
    label: "View",
    name: "view",
    options: [
      ["one", "this tensor"],
      ["layers", "all layers"],
    ],
    onChange: pick("view"),
  });
  const place = (key) => {
    const box = numbers({
      label: key === "row" ? "Row" : "Column",
      name: key,
      onChange: ([x]) => pick(key)(Math.round(x)),
    });
    box.classList.remove("wide");
    return box;
  };
  const row = place("row"),
    column = place("column");
  const codes = select({
    label: "Codes of",
    name: "codes",
    options: [["", "the file’s own format"], ...data.formats.map((name) => [name, name])],
    onChange: pick("codes"),
  });
  return {
    picker,
    other,
    at,
    elements: [picker.control, other.control, view, y, unit, codes, row, column],
    sync(layers) {
      for (const part of [picker, other]) part.sync();
      showState(
        [
          [y, "y"],
          [unit, "unit"],
          [view, "view"],
          [codes, "codes"],
        ],
        at,
      );
      row.set([clamped(at.get("row"), picker.current(), 0)]);
      column.set([clamped(at.get("column"), picker.current(), 1)]);
      for (const control of [other.control, y, unit, codes, row, column]) control.hidden = layers;
    },
  };
}

function readingOf(one, block) {
  const ratio = Math.abs(one.largest) / one.rms;
  return [
    fact("weights", value("count", elements(one), inCount(elements(one)))),
    fact("root mean square", value("rms", one.rms)),
    fact("largest", value("largest", one.largest)),
    fact("largest ∕ root mean square", value("ratio", ratio, format(ratio, 3))),
    fact(
      "within 3 × rms",
      value("within", share(one, 3 * one.rms), percent(share(one, 3 * one.rms), 2)),
    ),
    block ? fact("different values in the block", value("levels", block.levels.length)) : null,
    block
      ? fact(
          "error ∕ weights of the row",
          value("row-error", Math.sqrt(block.row_error), percent(Math.sqrt(block.row_error), 2)),
        )
      : null,
    source(
      `every weight of ${one.name} (${one.format}); the largest stands in row ${one.row}, column ${one.column}`,
    ),
  ].filter(Boolean);
}

/** A link to the page that shows the dot product of this row. */
function onward(id, t, place) {
  const words = `tensor=${encodeURIComponent(t.name)}&weights.row=${place.row}&weights.column=${place.column}`;
  return h(
    "p",
    { class: "full" },
    h("a", { href: `/models/${id}/multiply#${words}` }, `Multiply row ${place.row}, step by step`),
  );
}

/** The values that the opened block stores, as ticks over the histogram. */
function ticks(image, plot, levels, _one, _two) {
  const bars = image.querySelectorAll("rect.bar, rect.area");
  if (!bars.length) return;
  const scale = image.dataset.reach ? Number(image.dataset.reach) : null;
  if (!scale) return;
  const width = widthOf(plot),
    x = linear([-scale, scale], [58, width - 12]);
  for (const level of levels) {
    if (Math.abs(level) <= scale)
      image.append(s("line", { class: "code-tick", x1: x(level), x2: x(level), y1: 0, y2: 11 }));
  }
}

function blockPicture(plot, block) {
  return stems(
    plot,
    block,
    `A block of ${block.weights.length} weights and what they decode to in ${block.format}`,
    `row ${block.row}, ${columnsOf(block)}: stems are weights, bars what ${block.format} stores`,
  );
}

function outlierList(outliers, one, open) {
  const marks = outliers.slice(0, 12).map((o) =>
    button(
      `${format(o.value, 3)} · row ${o.row}, column ${o.column}`,
      "outlier",
      () => {
        open(o);
        announce(`Opened the block with ${format(o.value)}`);
      },
      {
        "data-mark": `o${o.row}-${o.column}`,
        title: `${format(Math.abs(o.value) / one.rms, 3)} σ`,
      },
    ),
  );
  roving(marks);
  return h(
    "div",
    {
      class: "control buttons outliers",
      role: "group",
      "aria-label": "Outliers: the largest weights",
    },
    h("p", { class: "note" }, "The weights that stand out most; press one to open its block."),
    marks,
  );
}

/** The tensors of the same kind in all layers, as far as they have been read. */
function allLayers(plot, family, one, pick) {
  const there = family.filter((t) => t && !(t instanceof Error)),
    failed = family.find((t) => t instanceof Error);
  return {
    plot: [
      ridge(plot, there, there.find((t) => t.name === one.name) ?? one, pick),
      failed
        ? problem(failed)
        : there.length < family.length
          ? h("p", { class: "note" }, `${there.length} of ${family.length} read …`)
          : null,
    ].filter(Boolean),
    reading: [
      fact("tensors", value("tensors", there.length)),
      fact("of this kind", value("family", family.length)),
      source(`every weight of every ${one.kind}`),
    ],
    table: [
      ["tensor", "root mean square", "largest", "ratio"],
      there.map((t) => [t.name, t.rms, t.largest, Math.abs(t.largest) / t.rms]),
    ],
  };
}
