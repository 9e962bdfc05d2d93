// The selected tensor and the piece of it that is shown, shared by all figures of the page.

import { select } from "./controls.js";
import { h } from "./dom.js";

/**
 * The pieces of real rows that the page contains: [{tensor, row, column, values, what}].
 * @param {PageData} data
 * @returns {any[]}
 */
function piecesOf(data) {
  return data.tensors.flatMap((/** @type {any} */ tensor) =>
    (tensor.pieces ?? []).map((/** @type {any} */ piece) => ({
      ...piece,
      tensor: tensor.name,
      format: tensor.format,
      shape: tensor.shape,
      id: `${tensor.name}:${piece.row}:${piece.column}`,
    })),
  );
}

/**
 * A menu of the pieces; `current()` returns the selected one. All figures share the key.
 * @param {PageData} data
 * @param {PageState} state
 * @param {() => void} onChange
 */
export function piecePicker(data, state, onChange) {
  const pieces = piecesOf(data);
  const at = state.scope("", { piece: pieces[0].id }, onChange);
  const groups = new Map();
  for (const piece of pieces) {
    if (!groups.has(piece.tensor)) groups.set(piece.tensor, []);
    groups
      .get(piece.tensor)
      .push([piece.id, `${shortName(piece.tensor)} · row ${piece.row}, ${piece.what}`]);
  }
  const control = select({
    label: "Weights",
    name: "piece",
    options: [...groups],
    onChange: (id) => at.set({ piece: id }, { push: true }),
  });
  const current = () => pieces.find((piece) => piece.id === at.get("piece")) ?? pieces[0];
  return { control, current, sync: () => control.set(current().id) };
}

/**
 * A short form of a tensor's name.
 * @param {string} name
 */
export function shortName(name) {
  return name.replace(/^blk\./, "").replace(/\.weight$/, "");
}

/**
 * The source of the numbers, as a line under a figure.
 * @param {Child} text
 */
export function source(text) {
  return h("p", { class: "source" }, "Read from ", text);
}
