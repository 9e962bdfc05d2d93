// The page Recipe: changes formats by kind, layers or tensor; the server answers with the exact size.

import { recipeCell, shadeLegend } from "../figures/allocation/shades.js";
import { tensorMap } from "../figures/loss/tensor_map.js";
import { button, choice, listed, select, withSet } from "../lib/controls.js";
import { announce, h, widthOf } from "../lib/dom.js";
import { figureParts } from "../lib/figure.js";
import { format, inBytes } from "../lib/format.js";
import { drawnOnce } from "../lib/marks.js";
import { send } from "../lib/server.js";
import { fact, value } from "../lib/table.js";
import { outputOf } from "./recipe_output.js";
import { prediction } from "./recipe_prediction.js";

const USUAL_FORMAT = "Q4_K"; // that the menu begins with, if tensors can have it

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const { draft, id } = data;
  const usual = draft.bits[USUAL_FORMAT] ? USUAL_FORMAT : (Object.keys(draft.bits)[0] ?? "");
  const at = state.scope(
    "edit",
    { start: draft.start, kind: "*", layers: "", format: usual, edits: "", colour: "bits" },
    () => changed(),
  );
  const edits = () => listed(at.get("edits"));
  /** @type {any} the recipe as the server answered */
  let answer = null;
  let asked = "",
    problem = "",
    serial = 0;

  const controls = {
    start: select({
      label: "Start from",
      name: "start",
      options: draft.starts.map((name) => [name, name]),
      onChange: (start) => at.set({ start }, { push: true }),
    }),
    kind: select({
      label: "Tensors",
      name: "kind",
      options: [
        ["*", "all kinds"],
        ...[...new Set(draft.tensors.map((t) => t.kind))].map((k) => [k, k]),
      ],
      onChange: (kind) => at.set({ kind }, { push: true }),
    }),
    layers: layersBox((layers) => at.set({ layers }, { push: true })),
    format: select({
      label: "Format",
      name: "format",
      options: Object.entries(draft.bits).map(([name, bits]) => [
        name,
        `${name}, ${format(bits, 4)} bits`,
      ]),
      onChange: (name) => at.set({ format: name }, { push: true }),
    }),
    colour: choice({
      label: "Colour",
      name: "colour",
      options: [
        ["bits", "bits per weight"],
        ["loss", "predicted loss"],
      ],
      onChange: (colour) => at.set({ colour }, { push: true }),
    }),
  };
  const give = button("Give them this format", "give", () => {
    const layers = at.get("layers") ? `@${at.get("layers")}` : "";
    const edit = `${at.get("kind")}${layers}=${at.get("format")}`;
    at.set({ edits: [...edits(), edit].join(",") }, { push: true });
  });
  const undo = button("Undo", "undo", () => {
    announce(`Undone: ${inWords(edits().at(-1) ?? "")}`);
    at.set({ edits: edits().slice(0, -1).join(",") }, { push: true });
  });
  const output = outputOf(data, () => answer);
  const predicting = prediction(id, () => ask(true));

  /** Whether a tensor is among those that the controls choose. */
  const chosen = (t) => {
    const [first, last] = at.get("layers").split("-").map(Number);
    const within = !at.get("layers") || (t.layer !== null && t.layer >= first && t.layer <= last);
    return within && (at.get("kind") === "*" || t.kind === at.get("kind"));
  };
  /** The tensors that a frame marks in the map: those that are chosen, unless all are. */
  const marked = (rows) => (rows.every(chosen) ? [] : rows.filter(chosen));
  const pick = (name) => {
    const t = draft.tensors.find((one) => one.name === name);
    at.set(
      { kind: t.kind, layers: t.layer === null ? "" : `${t.layer}-${t.layer}` },
      { push: true },
    );
  };
  const tensors = () =>
    draft.tensors.map((t) => ({
      ...t,
      format: answer.formats[t.name],
      bits: draft.bits[answer.formats[t.name]],
      loss: answer.losses?.[t.name] ?? null,
    }));
  const drawn = drawnOnce((width, rows, cellOf, title) =>
    tensorMap(width, rows, {
      title,
      cellOf,
      current: () => rows.find(chosen) ?? rows[0],
      pick,
    }),
  );

  /** Ask for the recipe of the address, unless that is what is shown. */
  async function ask(again = false) {
    const words = { start: at.get("start"), edits: edits() };
    const key = JSON.stringify(words);
    if (key === asked && !again) return;
    asked = key;
    figure.dataset.drawn = "";
    try {
      const found = await send(`/api/models/${id}/recipe`, words);
      if (asked !== key) return; // a later change was made meanwhile
      answer = found;
      problem = "";
      serial++;
    } catch (error) {
      if (asked !== key) return;
      problem = error.message;
    }
    figure.dataset.drawn = "answered";
    show();
  }
  function changed() {
    ask();
    show();
  }

  const show = figureParts(
    figure,
    [
      controls.start,
      controls.kind,
      controls.layers,
      controls.format,
      h("div", { class: "control buttons" }, give, undo),
      controls.colour,
    ],
    (plot) => {
      for (const [key, control] of Object.entries(controls)) control.set(at.get(key));
      undo.disabled = edits().length === 0;
      if (problem)
        return { plot: [h("p", { class: "problem", role: "alert" }, problem)], table: null };
      if (!answer) return { plot: [h("p", { class: "note skeleton" }, "")], table: null };
      const rows = tensors(),
        byLoss = at.get("colour") === "loss" && answer.losses;
      const cellOf = byLoss ? lossCell(rows) : recipeCell;
      const title = `${byLoss ? "Predicted losses" : "Formats"} of the recipe, layers across`;
      const width = widthOf(plot);
      return {
        plot: [
          drawn(`${serial} ${byLoss} ${width}`, marked(rows), width, rows, cellOf, title),
          byLoss ? lossLegend() : shadeLegend(rows),
          at.get("colour") === "loss" && !answer.losses
            ? h("p", { class: "note" }, "The losses have not been predicted yet, see below.")
            : null,
        ],
        reading: [
          fact("file", value("bytes", answer.bytes, `${answer.bytes.toLocaleString("en")} bytes`)),
          fact("that is", value("size", null, inBytes(answer.bytes))),
          fact("bits per weight", value("bits", answer.bits_per_weight)),
          ...predicting.facts(answer),
          h("p", { class: "note" }, chosenInWords(rows.filter(chosen))),
          changesList(edits(), answer.skipped),
          predicting.element(answer),
          output.element(),
        ],
        table: [
          ["tensor", "format", "bits per weight", "predicted loss"],
          rows.map((t) => [t.name, t.format, t.bits, t.loss]),
        ],
      };
    },
  );
  ask();
}

/** A box for layers: empty for all, one number, or two with a dash. `set` and `onChange` use "3-5". */
function layersBox(onChange) {
  const box = h("input", {
    type: "text",
    "data-control": "layers",
    autocomplete: "off",
    placeholder: "all, or 0-5",
    size: "10",
  });
  box.addEventListener("change", () => {
    const found = /^\s*(?:(\d{1,6})(?:\s*[-–]\s*(\d{1,6}))?)?\s*$/.exec(box.value);
    box.setAttribute("aria-invalid", String(!found));
    if (found) onChange(found[1] ? `${found[1]}-${found[2] ?? found[1]}` : "");
  });
  const element = h("label", { class: "control" }, h("span", { class: "note" }, "Layers"), box);
  return withSet(element, (layers) => {
    const [first, last] = layers.split("-");
    if (document.activeElement !== box) box.value = first === last ? first : layers;
  });
}

/** The tensors that the controls choose, and their formats. */
function chosenInWords(rows) {
  if (!rows.length) return "No tensor is chosen: there is none of this kind in these layers.";
  const counts = new Map();
  for (const t of rows) counts.set(t.format, (counts.get(t.format) ?? 0) + 1);
  const formats = [...counts].map(([name, n]) => (rows.length > 1 ? `${name} × ${n}` : name));
  const what = rows.length > 1 ? `${rows.length} tensors are` : `${rows[0].name} is`;
  return `${what} chosen, now ${formats.join(", ")}.`;
}

/** A change in words: "ffn_down of layers 0 to 5: Q6_K". */
function inWords(edit) {
  const [, kind, , first, last, name] = /^([^@=]+)(@(\d+)-(\d+))?=(.+)$/.exec(edit) ?? [];
  if (!name) return edit;
  const layers =
    first === undefined
      ? ""
      : first === last
        ? ` of layer ${first}`
        : ` of layers ${first} to ${last}`;
  return `${kind === "*" ? "all tensors" : kind}${layers}: ${name}`;
}

function changesList(edits, skipped) {
  if (!edits.length) return h("p", { class: "note" }, "Nothing was changed yet.");
  const told = (edit, i) =>
    inWords(edit) +
    (skipped[i]
      ? ` (${skipped[i] > 1 ? `${skipped[i]} tensors` : "1 tensor"} cannot have this format)`
      : "");
  return h(
    "details",
    { class: "full", open: true },
    h("summary", {}, `Changes: ${edits.length}`),
    h(
      "ol",
      { class: "changes" },
      edits.map((edit, i) => h("li", {}, told(edit, i))),
    ),
  );
}

/** Cells shaded by the share of a tensor in the predicted loss: each shade is three times the one before. */
function lossCell(rows) {
  const total = rows.reduce((sum, t) => sum + Math.max(t.loss, 0), 0) || 1;
  return (t) => {
    const share = Math.max(t.loss, 0) / total;
    const k = 1 + LOSS_ENDS.filter((end) => share > end).length;
    return { k, text: String(k), told: `${t.format}, predicted loss ${format(t.loss, 3)} nats` };
  };
}

const LOSS_ENDS = [0.001, 0.003, 0.01, 0.03];

function lossLegend() {
  const names = ["at most 0.1 %", "0.1 – 0.3 %", "0.3 – 1 %", "1 – 3 %", "above 3 %"];
  return h(
    "p",
    { class: "legend" },
    "share of the predicted loss",
    names.map((name, i) => h("span", {}, h("i", { class: `swatch h${i + 1}` }), name)),
  );
}
