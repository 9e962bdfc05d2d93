// How many bits the small language model needs: what it writes at each, and the reader's guess.

import { END, gap, QuantizedStories } from "../../language_model/stories.js";
import { withStories } from "../../language_model/stories_file.js";
import { Writer } from "../../language_model/writer.js";
import { announce, h } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format, percent } from "../../lib/format.js";
import { runInSlices } from "../../lib/slices.js";
import { fact, value } from "../../lib/table.js";
import { BITS, blockControl, guessControl, storyScope, symmetryControl } from "./settings.js";
import { isOdd, wordElement } from "./written_text.js";

const WORDS = 80; // that each model writes
const SHOWN_WORDS = 36;
const WORDS_AT_ONCE = 6;
const MAX_ODD_SHARE = 0.1; // more than that makes no sense

/**
 * @param {HTMLElement} figure
 * @param {PageData} _data
 * @param {PageState} state
 */
export function mount(figure, _data, state) {
  withStories((stories) => {
    const quantized = new QuantizedStories(stories);
    /** @type {Map<string, any[]>} the levels of each rule and block that was asked for */
    const known = new Map();
    let seen = false;
    const at = storyScope(state, () => update());
    const guess = guessControl(at);
    const symmetry = symmetryControl(at);
    const block = blockControl(at);
    const details = h(
      "details",
      { class: "more" },
      h("summary", {}, "More options"),
      h("div", { class: "controls" }, symmetry, block),
    );
    const key = () => `${at.get("rule")} ${at.get("block")}`;
    const show = figureParts(figure, [guess, details], () => {
      guess.set(at.get("guess"));
      symmetry.set(at.get("rule"));
      block.set(at.get("block"));
      return drawn(stories.words, known.get(key()) ?? [], at.get("guess"));
    });
    const update = () => {
      show();
      if (!seen || known.has(key())) return;
      const setting = { symmetric: at.get("rule") === "sym", block: at.get("block") };
      const levels = known.set(key(), []).get(key()) ?? [];
      const own = key();
      runInSlices("answer", everyLevel(stories, quantized, setting, levels, show), () => {
        if (own === key()) announce(resolution(levels, at.get("guess")));
        show();
      });
    };
    new IntersectionObserver(
      ([entry]) => {
        if (!entry.isIntersecting || seen) return;
        seen = true;
        update();
      },
      { rootMargin: "400px" },
    ).observe(figure);
  });
}

/** Quantize, compare and write at every number of bits. */
function* everyLevel(stories, quantized, setting, levels, show) {
  for (const bits of BITS) {
    const model = quantized.at({ ...setting, bits });
    yield;
    const { kl, same } = yield* stories.compare(model);
    const writer = new Writer(stories, { seed: 3, temperature: 0.8 });
    writer.use(model, bits);
    const written = [];
    while (written.length < WORDS) {
      for (let i = 0; i < WORDS_AT_ONCE; i++) written.push(writer.write());
      yield;
    }
    levels.push({ bits, kl, same, written, odd: written.filter(isOdd).length / written.length });
    show();
  }
}

/** The first number of bits at which more than a tenth of the words are odd; 0 for none. */
function breakingPoint(levels) {
  return levels.find(({ odd }) => odd > MAX_ODD_SHARE)?.bits ?? 0;
}

/** The outcome as a sentence. */
function resolution(levels, guess) {
  const bits = breakingPoint(levels);
  const found = bits ? `It stops making sense at ${bits} bits.` : "It makes sense down to 2 bits.";
  if (!guess) return found;
  if (guess === bits) return `${found} You guessed it.`;
  return `${found} You guessed ${guess}: ${guess > bits ? "it holds on longer than that" : "it gives up earlier than that"}.`;
}

function drawn(words, levels, guess) {
  const done = levels.length === BITS.length;
  const rows = levels.map(({ bits, kl, odd, written }) =>
    h(
      "li",
      { class: odd > MAX_ODD_SHARE ? "broken" : "", "data-bits": bits },
      h(
        "p",
        { class: "level" },
        h("b", {}, `${bits} bits`),
        bits === guess ? h("span", { class: "where" }, "your guess") : null,
      ),
      h("p", { class: "story" }, sentence(words, written.slice(0, SHOWN_WORDS)), " …"),
      h("p", { class: "note" }, `KL ${format(kl, 2)}, ${percent(odd, 0)} of the words are odd`),
    ),
  );
  return {
    plot: [
      h(
        "p",
        { class: "card" },
        done
          ? resolution(levels, guess)
          : `It writes at ${BITS[levels.length]} bits when it is in sight.`,
      ),
      h("ol", { class: "levels" }, rows),
    ],
    reading: [
      done
        ? fact(
            "stops making sense at",
            value(
              "breaks",
              breakingPoint(levels),
              `${breakingPoint(levels) || "fewer than 2"} bits`,
            ),
          )
        : null,
      h(
        "p",
        { class: "note" },
        `Each line begins a text of ${WORDS} words. A word is odd if the 16-bit model gives it less than 1 % there; ` +
          "a text in which more than one word in ten is odd makes no sense.",
      ),
    ],
    table: () => [
      ["bits", "odd words", "KL, nats per word", "same likeliest word"],
      levels.map(({ bits, odd, kl, same }) => [bits, odd, kl, same]),
    ],
  };
}

/** Words as running text, the odd ones marked. */
function sentence(words, written) {
  let before = "";
  return written.map((one) => {
    const word = one.id === END ? "¶" : words[one.id];
    const space = gap(before, word);
    before = word;
    return [space, wordElement(word, one)];
  });
}
