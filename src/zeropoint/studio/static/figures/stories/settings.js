// What the figures of the small language model share: the setting of its weights, and the reader's guess.

import { choice } from "../../lib/controls.js";

/** The bits that a reader can choose, from the most to the fewest. */
export const BITS = [16, 8, 7, 6, 5, 4, 3, 2];

/**
 * The part of the page's state that these figures share.
 * @param {PageState} state
 * @param {() => void} onChange
 */
export function storyScope(state, onChange) {
  return state.scope("story", { bits: 16, rule: "sym", block: 32, seed: 1, guess: 0 }, onChange);
}

/**
 * A name for a setting; all settings of 16 bits are the same.
 * @param {import("../../language_model/quantized_matrix.js").Setting} setting
 */
export function settingKey({ bits, symmetric, block }) {
  return bits === 16 ? "16" : `${bits} ${symmetric} ${block}`;
}

/** @param {StateScope} at */
export function guessControl(at) {
  return choice({
    label: "Guess first: at how many bits does it stop making sense?",
    name: "guess",
    options: BITS.slice(1).map((bits) => [bits, String(bits)]),
    onChange: (bits) => at.set({ guess: Number(bits) }),
  });
}

/** @param {StateScope} at */
export function symmetryControl(at) {
  return choice({
    label: "Codes",
    name: "rule",
    options: [
      ["sym", "symmetric"],
      ["asym", "with a zero point"],
    ],
    onChange: (rule) => at.set({ rule }, { push: true }),
  });
}

/** @param {StateScope} at */
export function blockControl(at) {
  return choice({
    label: "Weights that share a scale",
    name: "block",
    options: [
      [16, "16"],
      [32, "32"],
      [64, "64"],
      [0, "a whole row"],
    ],
    onChange: (block) => at.set({ block: Number(block) }, { push: true }),
  });
}
