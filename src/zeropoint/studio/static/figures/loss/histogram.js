// Histograms of weights: of one tensor, of two tensors together, or of one kind in every layer.

import { axisBelow, axisLeft } from "../../lib/axes.js";
import { choice, moreOptions, select, showState } from "../../lib/controls.js";
import { picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format, inCount, percent } from "../../lib/format.js";
import { roving } from "../../lib/marks.js";
import { linear, logarithmic } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";
import { source } from "../../lib/tensor_picker.js";

/**
 * A menu of all tensors with a histogram, by kind; the key is shared by all figures.
 * @param {PageData} data
 * @param {PageState} state
 * @param {string} key
 * @param {() => void} onChange
 * @param {{ label?: string, none?: string | null }} [options]
 */
export function tensorPicker(data, state, key, onChange, { label = "Tensor", none = null } = {}) {
  const names = data.tensors.map((t) => t.name);
  const at = state.scope("", { [key]: none === null ? usual(data) : "" }, onChange);
  const kinds = new Map();
  for (const t of data.tensors) kinds.set(t.kind, [...(kinds.get(t.kind) ?? []), [t.name, t.name]]);
  const control = select({
    label,
    name: key,
    options: [...(none === null ? [] : [["", none]]), ...kinds],
    onChange: (name) => at.set({ [key]: name }, { push: true }),
  });
  const current = () =>
    data.tensors[names.indexOf(at.get(key))] ??
    (none === null ? data.tensors[names.indexOf(usual(data))] : null);
  return {
    control,
    current,
    sync: () => control.set(current()?.name ?? ""),
    set: (name) => at.set({ [key]: name }, { push: true }),
  };
}

/** The default tensor: one with pieces of rows, or the one with the largest error. */
function usual(data) {
  const worst = data.tensors.reduce((a, t) =>
    (t.relative_error ?? 0) > (a.relative_error ?? 0) ? t : a,
  );
  return (data.tensors.find((t) => t.pieces && t.kind !== "token_embd") ?? worst).name;
}

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const picker = tensorPicker(data, state, "tensor", () => show());
  const other = tensorPicker(data, state, "other", () => show(), {
    label: "Beside it",
    none: "nothing",
  });
  const at = state.scope("histogram", { y: "log", unit: "count", view: "one" }, () => show());
  const y = choice({
    label: "Height",
    name: "y",
    options: [
      ["linear", "linear"],
      ["log", "log"],
    ],
    onChange: (x) => at.set({ y: x }, { push: true }),
  });
  const unit = choice({
    label: "Show",
    name: "unit",
    options: [
      ["count", "count"],
      ["percent", "%"],
    ],
    onChange: (x) => at.set({ unit: x }, { push: true }),
  });
  const view = choice({
    label: "View",
    name: "view",
    options: [
      ["one", "this tensor"],
      ["layers", "all layers"],
    ],
    onChange: (x) => at.set({ view: x }, { push: true }),
  });
  const show = figureParts(
    figure,
    [picker.control, moreOptions(other.control, view, y, unit)],
    (plot) => {
      const one = picker.current(),
        two = other.current();
      for (const part of [picker, other]) part.sync();
      showState(
        [
          [y, "y"],
          [unit, "unit"],
          [view, "view"],
        ],
        at,
      );
      const layers = at.get("view") === "layers";
      for (const control of [other.control, y, unit]) control.hidden = layers;
      const family = data.tensors.filter((t) => t.kind === one.kind);
      const ratio = Math.abs(one.largest) / one.rms;
      return {
        plot: [layers ? ridge(plot, family, one, picker.set) : chart(plot, one, two, at)],
        reading: [
          fact("weights", value("count", elements(one), inCount(elements(one)))),
          fact("root mean square", value("rms", one.rms)),
          fact("largest", value("largest", one.largest)),
          fact("largest ∕ root mean square", value("ratio", ratio, format(ratio, 3))),
          fact(
            "within 3 × rms",
            value("within", share(one, 3 * one.rms), percent(share(one, 3 * one.rms), 2)),
          ),
          source(
            `every weight of ${one.name}; the largest stands in row ${one.row}, column ${one.column}`,
          ),
        ],
        table: layers
          ? [
              ["tensor", "root mean square", "largest", "ratio"],
              family.map((t) => [t.name, t.rms, t.largest, Math.abs(t.largest) / t.rms]),
            ]
          : [
              ["from", "to", "weights", ...(two ? ["beside"] : [])],
              one.counts.map((n, i) => [
                edge(one, i),
                edge(one, i + 1),
                n,
                ...(two ? [between(two, edge(one, i), edge(one, i + 1))] : []),
              ]),
            ],
      };
    },
  );
}

export function elements(t) {
  return t.shape.reduce((product, n) => product * n, 1);
}

export function edge(t, i) {
  return -t.limit + (2 * t.limit * i) / t.counts.length;
}

/** The number of weights between two edges; a bin that an edge cuts counts in proportion. */
export function between(t, low, high) {
  const width = (2 * t.limit) / t.counts.length;
  return t.counts.reduce((sum, n, i) => {
    const overlap = Math.min(high, edge(t, i + 1)) - Math.max(low, edge(t, i));
    return overlap > 0 ? sum + (n * overlap) / width : sum;
  }, 0);
}

export function share(t, limit) {
  return between(t, -limit, limit) / elements(t);
}

export function chart(plot, one, two, at) {
  const width = widthOf(plot),
    height = 270,
    left = 58;
  const bottom = height - 30,
    both = two ? [one, two] : [one];
  const per = at.get("unit") === "percent",
    log = at.get("y") === "log";
  const reach = Math.max(...both.map(used));
  const tall = (t, n) => (per ? (100 * n) / elements(t) : n);
  const most = Math.max(...both.map((t) => tall(t, Math.max(...t.counts))));
  const least = per ? Math.min(...both.map((t) => 100 / elements(t))) : 1;
  const y = log ? logarithmic([least / 2, most], [bottom, 12]) : linear([0, most], [bottom, 12]);
  const x = linear([-reach, reach], [left, width - 12]);
  const image = picture(
    width,
    height,
    `Histogram of ${one.name}: ${inCount(elements(one))} weights, largest ${format(one.largest)}`,
    axisLeft(y, left, width - 12, { label: (v) => (per ? `${format(v, 2)} %` : inCount(v)) }),
    axisBelow(x, bottom, { n: width > 500 ? 8 : 4 }),
  );
  image.dataset.reach = String(reach); // for code that draws over this picture
  both.forEach((t, k) =>
    t.counts.forEach(
      (n, i) =>
        n > 0 &&
        edge(t, i) < reach &&
        edge(t, i + 1) > -reach &&
        image.append(
          s("rect", {
            class: k ? "area second" : "bar",
            x: x(edge(t, i)),
            width: Math.max(x(edge(t, i + 1)) - x(edge(t, i)) - 0.5, 0.8),
            y: y(tall(t, n)),
            height: Math.max(bottom - y(tall(t, n)), 1),
          }),
        ),
    ),
  );
  image.append(
    s(
      "g",
      { class: "axis" },
      s("line", {
        class: "needle",
        x1: x(one.largest),
        x2: x(one.largest),
        y1: bottom - 26,
        y2: bottom,
      }),
    ),
    s(
      "text",
      {
        x: x(one.largest),
        y: 16, // above the bars, which are low at the ends
        class: "strong",
        "text-anchor": one.largest > 0 ? "end" : "start",
      },
      `largest ${format(one.largest, 3)}`,
    ),
  );
  return image;
}

/** The range of a histogram outside which all bins are empty. */
function used(t) {
  const n = t.counts.length,
    first = t.counts.findIndex((c) => c > 0);
  const last = n - 1 - [...t.counts].reverse().findIndex((c) => c > 0);
  return Math.min(t.limit, Math.max(Math.abs(edge(t, first)), Math.abs(edge(t, last + 1))) * 1.02);
}

/** One outline for each layer, one above the other. */
export function ridge(plot, family, chosen, pick) {
  const width = widthOf(plot),
    step = 24,
    left = 92;
  const height = family.length * step + 70,
    bottom = height - 30;
  const reach = Math.max(...family.map((t) => 4.5 * t.rms));
  const x = linear([-reach, reach], [left, width - 64]);
  const image = picture(
    width,
    height,
    `Histograms of ${chosen.kind} in ${family.length} layers`,
    axisBelow(x, bottom, { n: 6 }),
  );
  const marks = family.map((t, i) => {
    const base = bottom - 6 - (family.length - 1 - i) * step;
    const bin = (2 * t.limit) / t.counts.length;
    const n = elements(t);
    const peak = 0.45 / t.rms; // approximately the peak of a normal distribution with this RMS
    let path = `M${x(-reach)} ${base}`;
    t.counts.forEach((count, k) => {
      const middle = edge(t, k) + bin / 2;
      if (Math.abs(middle) <= reach)
        path += `L${x(middle)} ${base - 40 * Math.min(count / bin / n / peak, 1.6)}`;
    });
    path += `L${x(reach)} ${base}Z`;
    const mark = s(
      "g",
      {
        role: "button",
        class: t === chosen ? "chosen" : "",
        "data-mark": t.name,
        "aria-label": `${t.name}: root mean square ${format(t.rms)}, largest ${format(t.largest)}`,
        onclick: () => pick(t.name),
      },
      s("path", { d: path, class: t === chosen ? "area second" : "area" }),
      s("path", { d: path, class: `curve ${t === chosen ? "second" : ""}` }),
      s(
        "text",
        { x: left - 8, y: base, "text-anchor": "end", class: t === chosen ? "strong" : "" },
        t.name.match(/^blk\.(\d+)/) ? `layer ${t.name.match(/\d+/)[0]}` : t.kind,
      ),
      s("text", { x: width - 58, y: base }, `${format(Math.abs(t.largest) / t.rms, 3)} σ`),
    );
    return mark;
  });
  image.append(...marks);
  roving(marks, {
    start: Math.max(family.indexOf(chosen), 0),
    rows: true,
    onPress: (i) => pick(family[i].name),
  });
  return image;
}
