// The transcript of the chat page: messages, and the answers of both models with their differences marked.

import { button } from "../lib/controls.js";
import { h } from "../lib/dom.js";
import { format, percent } from "../lib/format.js";
import { fact, value } from "../lib/table.js";
import { wordDifferences } from "../lib/word_diff.js";

/** @typedef {import("./chat_store.js").Turn} Turn */

/**
 * One turn: the message, and both answers side by side.
 * @param {Turn} turn
 * @param {{ names: string[], flip: boolean, blind: boolean }} shown
 * @param {(which: string) => void} vote
 */
export function drawTurn(turn, { names, flip, blind }, vote) {
  const secret = blind && !turn.vote,
    order = flip ? [1, 0] : [0, 1];
  const sides = order.map((side) => turn.sides[side]);
  const pieces = piecesOf(turn, sides);
  const columns = order.map((side, k) =>
    h(
      "div",
      { class: "answer", "data-side": secret ? "AB"[k] : ["reference", "quant"][side] },
      h("h2", {}, secret ? "AB"[k] : names[side]),
      h(
        "p",
        { class: "said" },
        pieces[k].map(([text, differs]) => (differs ? h("mark", {}, text) : text)),
        turn.done ? null : h("span", { class: "cursor" }),
      ),
      sides[k].plain
        ? h("p", { class: "note" }, "No chat template: the model continues the text.")
        : null,
    ),
  );
  return h(
    "div",
    { class: "turn" },
    h("p", { class: "message" }, turn.text),
    h("div", { class: "answers" }, columns),
    turn.told ? h("p", { class: "note", role: "status" }, turn.told) : null,
    secret && turn.done && !turn.told ? ballot(order, vote) : null,
  );
}

function ballot(order, vote) {
  return h(
    "div",
    { class: "control buttons", role: "group", "aria-label": "Your vote" },
    h("span", {}, "Which is better?"),
    order.map((side, k) =>
      button("AB"[k], `vote-${"AB"[k]}`, () => vote(["reference", "quant"][side])),
    ),
    button("No difference", "vote-same", () => vote("same")),
  );
}

/** The pieces of both answers. While they are written, all after the first difference is marked. */
function piecesOf(turn, sides) {
  const texts = sides.map((side) => side.text.replace(/\n{3,}/g, "\n\n").trimEnd());
  if (turn.done) return wordDifferences(texts[0], texts[1]);
  const length = Math.min(texts[0].length, texts[1].length);
  let common = 0;
  while (common < length && texts[0][common] === texts[1][common]) common++;
  return texts.map((text) => [
    [text.slice(0, common), false],
    [text.slice(common), common < length],
  ]);
}

/**
 * The numbers of the latest turn, and of all votes.
 * @param {Turn | undefined} turn
 * @param {Record<string, number>} votes
 */
export function readingOf(turn, votes) {
  const cast = votes.reference + votes.quant + votes.same;
  const alike = turn ? together(turn) : null;
  return [
    turn ? fact("identical tokens at the start", value("together", alike, format(alike))) : null,
    turn
      ? fact(
          "tokens, reference and quantized",
          value(
            "tokens",
            turn.sides[0].ids.length,
            turn.sides.map((s) => s.ids.length).join(" and "),
          ),
        )
      : null,
    ...(cast
      ? [
          fact("votes", value("votes", cast)),
          fact(
            "for the reference",
            value("for-reference", votes.reference / cast, percent(votes.reference / cast, 0)),
          ),
          fact(
            "for the quantized model",
            value("for-quant", votes.quant / cast, percent(votes.quant / cast, 0)),
          ),
        ]
      : []),
  ].filter(Boolean);
}

/** The number of tokens before the first divergent one. */
function together(turn) {
  const [a, b] = turn.sides.map((side) => side.ids);
  let n = 0;
  while (n < Math.min(a.length, b.length) && a[n] === b[n]) n++;
  return n;
}
