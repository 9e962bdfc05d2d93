// The text that the model has written: a label where the bits change, a mark on words that the 16-bit model finds odd.

import { END, gap } from "../../language_model/stories.js";
import { h } from "../../lib/dom.js";
import { format } from "../../lib/format.js";

const MAX_WORDS = 400; // in the page; the oldest leave
const ODD = 0.01; // probability in the 16-bit model

/**
 * Whether the 16-bit model would hardly have written a word.
 * @param {{ probability: number }} written
 */
export const isOdd = ({ probability }) => probability < ODD;

/**
 * A written word as an element.
 * @param {string} text
 * @param {{ probability: number }} written
 */
export function wordElement(text, written) {
  if (!isOdd(written)) return h("span", {}, text);
  const title = `probability in the 16-bit model: ${format(written.probability, 2)}`;
  return h("span", { class: "tok odd", title }, text);
}

/** A box of words that grows at its end. */
export class WrittenText {
  /** @param {string[]} words */
  constructor(words) {
    this.words = words;
    this.element = h("div", {
      class: "tokens story",
      tabindex: "0",
      role: "group",
      "aria-label": "What the model writes",
    });
    this.before = "";
    this.bits = 16;
  }

  clear() {
    this.element.replaceChildren();
    this.before = "";
    this.bits = 16;
  }

  /** @param {import("../../language_model/writer.js").Written} written */
  add(written) {
    const { element } = this;
    if (written.bits !== this.bits) {
      this.bits = written.bits;
      element.append(" ", h("span", { class: "where" }, `${written.bits} bits`));
      if (this.before === "") this.before = " ";
    }
    if (written.id === END) {
      element.append(h("br"), h("br"));
      this.before = "";
      return;
    }
    const word = this.words[written.id];
    element.append(gap(this.before, word), wordElement(word, written));
    this.before = word;
    while (element.childNodes.length > 2 * MAX_WORDS) element.firstChild?.remove();
    element.scrollTop = element.scrollHeight;
  }
}
