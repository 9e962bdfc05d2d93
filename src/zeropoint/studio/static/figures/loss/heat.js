// Heat map with a column per layer and a row per kind of tensor: error, bits or size in five shades.

import { choice } from "../../lib/controls.js";
import { h, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format, inBytes, percent } from "../../lib/format.js";
import { drawnOnce } from "../../lib/marks.js";
import { fact, value } from "../../lib/table.js";
import { tensorPicker } from "./histogram.js";
import { tensorMap } from "./tensor_map.js";

const COLOURS = {
  error: {
    name: "error ∕ weights",
    of: (t) => (t.relative_error === null ? null : Math.sqrt(t.relative_error)),
    told: (v) => percent(v, 2),
    short: (v) => (100 * v).toFixed(1),
  },
  outliers: {
    name: "largest ∕ σ",
    of: (t) => (t.rms ? Math.abs(t.largest) / t.rms : null),
    told: (v) => format(v, 3),
    short: (v) => String(Math.round(v)),
  },
  bits: {
    name: "bits per weight",
    of: (t) => (8 * t.bytes) / t.shape.reduce((a, n) => a * n, 1),
    told: (v) => format(v, 3),
    short: (v) => v.toFixed(1),
  },
  bytes: { name: "size", of: (t) => t.bytes, told: inBytes, short: () => "" },
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
  const drawn = drawnOnce((width, how, shade) =>
    tensorMap(width, tensors, {
      title: `${how.name} of every tensor, layers across`,
      cellOf(t) {
        const v = how.of(t);
        return v === null
          ? { k: 0, told: "copied" }
          : { k: shade(v), text: how.short(v), told: how.told(v) };
      },
      current: () => picker.current(),
      pick: picker.set,
    }),
  );
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
        drawn(`${how.name} ${widthOf(plot)}`, one, widthOf(plot), how, shade),
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
