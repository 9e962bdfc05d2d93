// One dot product as the kernel computes it: memory → registers → 8-bit lanes → 32-bit sums → scales → total.

import { h } from "../lib/dom.js";
import { figureParts } from "../lib/figure.js";
import { format } from "../lib/format.js";
import { tell } from "../lib/server.js";
import { fact, value } from "../lib/table.js";
import { source } from "../lib/tensor_picker.js";
import { makeControls } from "./multiply_controls.js";
import { kindOf, STAGES, STEPS, UNIT } from "./multiply_stages.js";

const KEPT = 60; // products in the cache

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const found = new Map(); // request → its answer, an Error, or undefined while it is computed
  let told = "Reading the row …";
  const get = (t, words) => {
    const address = `/api/models/${data.id}/tensors/${t.index}/product`,
      key = address + JSON.stringify(words);
    if (!found.has(key)) {
      found.set(key, undefined);
      if (found.size > KEPT) found.delete(found.keys().next().value);
      let last = null;
      tell(address, words, (record) => {
        last = record;
        told = record.loading
          ? `${record.loading} is being loaded, once …`
          : record.waiting
            ? "Another request is being computed …"
            : told;
        if (record.result === undefined) show();
      })
        .then(
          () => last,
          (error) => error,
        )
        .then((answer) => {
          found.set(key, answer);
          figure.dataset.drawn = "";
          show();
        });
    }
    return found.get(key);
  };
  const controls = makeControls(data, state, () => show());
  let before = null;
  const show = figureParts(figure, controls.elements, (plot) => {
    const spot = controls.spot();
    const one = get(spot.t, controls.words(spot));
    controls.sync(spot, one instanceof Error ? null : one);
    if (!one && !before) return { plot: [h("p", { class: "note" }, told)], table: null };
    if (one instanceof Error)
      return { plot: [h("p", { class: "problem" }, one.message)], table: null };
    const shown = one ?? before; // the previous product stays until the next one arrives
    before = shown;
    if (one) figure.dataset.drawn = `${spot.t.name} ${spot.row} ${spot.column} ${shown.format}`;
    const chosen = Math.min(spot.column - shown.first, shown.weights.length - 1);
    const view = {
      plot,
      one: shown,
      chosen: Math.max(chosen, 0),
      row: spot.row,
      t: spot.t,
      pick: (i) => controls.pick(shown.first + i),
      unit: (u) => controls.pick(u * UNIT),
    };
    const steps = STEPS[kindOf(shown)],
      now = stepOf(shown, controls.step());
    return {
      plot: [
        one ? null : h("p", { class: "note" }, told),
        steps
          .slice(0, now + 1)
          .map(([name, title], i) =>
            stage(i + 1, title, i === now, STAGES[kindOf(shown)][name](view)),
          ),
      ]
        .flat()
        .filter(Boolean),
      reading: readingOf(shown, spot),
      table: () => tableOf(shown),
    };
  });
}

function stepOf(one, step) {
  return Math.min(Math.max(Math.round(step), 0), STEPS[kindOf(one)].length - 1);
}

function stage(number, title, now, parts) {
  return h(
    "section",
    {
      class: `stage ${now ? "now" : ""}`,
      "data-stage": title,
      "aria-current": now ? "step" : null,
    },
    h("h2", {}, h("span", {}, `${number} `), title),
    parts,
  );
}

function readingOf(one, { t, row }) {
  return [
    fact("the product", value("result", one.result, format(one.result, 7))),
    fact("without rounding", value("exact", one.exact, format(one.exact, 7))),
    fact("format", value("format", null, one.format)),
    fact("instruction set", value("variant", null, one.variant)),
    fact("units", value("units", one.totals.length)),
    source(
      `row ${row} of ${t.name}${one.format === t.format ? "" : `, written in ${one.format}`}, and ${one.told}`,
    ),
  ];
}

function tableOf(one) {
  if (!one.codes) {
    return [
      ["column", "weight", "activation", "sum so far"],
      Array.from(one.weights, (w, i) => [one.first + i, w, one.x[i], one.chains[i]]),
    ];
  }
  return [
    ["column", "weight", "code", "less zero point", "activation", "its code", "product"],
    Array.from(one.weights, (w, i) => [
      one.first + i,
      w,
      one.codes[i],
      one.codes[i] - one.zero_point,
      one.x[i],
      one.activation_codes[i],
      (one.codes[i] - one.zero_point) * one.activation_codes[i],
    ]),
  ];
}
