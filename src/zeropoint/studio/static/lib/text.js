// The selected text and the position in it, shared by all figures that use them.

import { select } from "./controls.js";
import { h } from "./dom.js";

/**
 * A menu of the texts, and the selected text; `at` is the scored position, shared by all figures.
 * @param {PageData} data
 * @param {PageState} state
 * @param {() => void} onChange
 */
export function textPicker(data, state, onChange) {
  const own = state.scope("", { text: data.texts[0].domain, at: 0 }, onChange);
  const control = select({
    label: "Text",
    name: "text",
    options: data.texts.map((/** @type {PageData} */ t) => [t.domain, t.domain]),
    onChange: (domain) => own.set({ text: domain, at: 0 }, { push: true }),
  });
  const current = () =>
    data.texts.find((/** @type {PageData} */ t) => t.domain === own.get("text")) ?? data.texts[0];
  const position = () => Math.min(Math.max(Math.round(own.get("at")), 0), current().kl.length - 1);
  return {
    control,
    current,
    position,
    sync: () => control.set(current().domain),
    go: (/** @type {number} */ i, push = false) =>
      own.set({ at: Math.min(Math.max(i, 0), current().kl.length - 1) }, { push }),
  };
}

/**
 * A token as it appears in running text.
 * @param {PageData} text
 * @param {number} id
 * @returns {string}
 */
export function pieceOf(text, id) {
  return text.pieces[id] ?? `<${id}>`;
}

/**
 * A token shown alone, with visible spaces and line ends.
 * @param {PageData} text
 * @param {number} id
 */
export function shownPiece(text, id) {
  return (
    pieceOf(text, id)
      .replaceAll("▁", " ")
      .replace(/^ /, "␣")
      .replaceAll("\n", "⏎")
      .replaceAll("\t", "⇥") || "(nothing)"
  );
}

/**
 * The token that follows scored position i in the text.
 * @param {PageData} text
 * @param {number} i
 * @returns {number}
 */
export function targetOf(text, i) {
  return text.tokens[text.first + 1 + i];
}

/**
 * The ten most likely tokens of both models at position i; null: not among that model's ten.
 * @param {PageData} text
 * @param {number} i
 * @returns {{ id: number, reference: number | null, quant: number | null }[]}
 */
export function nextTokens(text, i) {
  const found = new Map();
  for (const side of [0, 1]) {
    for (let k = 0; k < 10; k++) {
      const at = (i * 2 + side) * 10 + k,
        id = text.ids[at];
      if (id < 0) continue;
      if (!found.has(id)) found.set(id, { id, reference: null, quant: null });
      found.get(id)[side ? "quant" : "reference"] = Math.exp(text.logp[at]);
    }
  }
  return [...found.values()].sort(
    (a, b) => Math.max(b.reference, b.quant) - Math.max(a.reference, a.quant),
  );
}

/**
 * The most likely token of each model at position i.
 * @param {PageData} text
 * @param {number} i
 * @returns {[number, number]}
 */
export function topOf(text, i) {
  return [text.ids[i * 20], text.ids[i * 20 + 10]];
}

/** The names of the two models, in their colours. */
export function sides() {
  return h(
    "p",
    { class: "legend" },
    h("span", {}, h("i", { class: "swatch reference" }), "reference"),
    h("span", {}, h("i", { class: "swatch quant" }), "quant"),
  );
}
