// Texts of both models for one prompt, side by side: where they diverge and where they agree again.

import { button, select } from "../../lib/controls.js";
import { announce, h } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format } from "../../lib/format.js";
import { fact, value } from "../../lib/table.js";
import { source } from "../../lib/tensor_picker.js";
import { fill, quantPicker, wayPicker } from "./steps.js";

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const runs = data.drifts.filter((one) => one.texts.length);
  const quants = quantPicker(runs, state, () => show()),
    ways = wayPicker(runs, state, () => show());
  const at = state.scope("texts", { prompt: 0 }, () => show());
  const shown = () =>
    quants.current().texts.filter((text) => text.way === ways.of(quants.current()));
  const go = (i) => at.set({ prompt: i }, { push: true });
  const menu = select({
    label: "Prompt",
    name: "prompt",
    options: [],
    onChange: (i) => go(Number(i)),
  });
  const step = (by) => () =>
    go(Math.min(Math.max(Math.round(at.get("prompt")) + by, 0), shown().length - 1));
  const show = figureParts(
    figure,
    [
      quants.control,
      ways.control,
      menu,
      h(
        "div",
        { class: "control buttons" },
        button("← before", "before", step(-1)),
        button("next →", "next", step(1)),
      ),
    ],
    () => {
      const one = quants.current(),
        texts = shown(),
        i = texts[at.get("prompt")] ? at.get("prompt") : 0,
        text = texts[i];
      quants.sync();
      ways.sync(one);
      fill(
        menu,
        texts.map((t, k) => [String(k), titleOf(t, one.unit)]),
        String(i),
      );
      const sides = [0, 1].map((side) => cut(text, side));
      announce(
        text.split === null
          ? "These texts are the same."
          : `These texts part at ${one.unit} ${text.split + 1}.`,
      );
      return {
        plot: [
          h("p", { class: "asked-for" }, h("span", { class: "note" }, "Prompt"), text.prompt),
          h(
            "div",
            { class: "answers" },
            written("reference", one.reference, sides[0]),
            written("quant", one.name, sides[1]),
          ),
          key(text),
        ],
        reading: [
          fact(
            "diverges at",
            value(
              "split",
              text.split,
              text.split === null ? "never" : `${one.unit} ${text.split + 1}`,
            ),
          ),
          fact(
            "meets again",
            value(
              "met",
              text.met_again?.[1] ?? null,
              text.met_again
                ? `${one.unit} ${text.met_again[1] + 1} of the ` +
                    `quant's, ${text.met_again[0] + 1} of the reference's`
                : "no",
            ),
          ),
          fact(
            "same answer",
            value("same", text.same_answer ? 1 : 0, text.same_answer ? "yes" : "no"),
          ),
          text.kl
            ? fact(
                "KL along its own text",
                value("kl", sum(text.kl[1]), `${format(sum(text.kl[1]), 3)} nats`),
              )
            : null,
          source(
            `the run ${one.run}, both from the same prompt` +
              `${ways.of(one) === "sampled" ? ` with the same noise, temperature ${format(one.temperature, 3)}` : ""}` +
              `${one.left_out ? `; ${one.left_out} texts of it are left out of this page` : ""}`,
          ),
        ].filter(Boolean),
        table: () => [
          [one.unit, "reference", "quant", "KL on the reference's text", "KL on the quant's"],
          Array.from({ length: Math.max(...sides.map((side) => side.pieces.length)) }, (_, k) => [
            k + 1,
            ...sides.map((side) => visible(side.pieces[k])),
            text.kl?.[0]?.[k] ?? null,
            text.kl?.[1]?.[k] ?? null,
          ]),
        ],
      };
    },
  );
}

function titleOf(text, unit) {
  const line = text.prompt.replaceAll("\n", " ");
  return `${line.length > 48 ? `${line.slice(0, 47)}…` : line} · ${
    text.split === null ? "never diverges" : `diverges at ${unit} ${text.split + 1}`
  }`;
}

function sum(values) {
  return values.reduce((a, v) => a + v, 0);
}

function visible(piece) {
  return piece === undefined
    ? ""
    : piece.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replace(/^ /, "␣") || "(nothing)";
}

/** One model's text in parts: common, different, common again for a stretch, different. */
function cut(text, side) {
  const pieces = text.pieces ? text.pieces[side] : [...text.texts[side]];
  const part = (from, to) => pieces.slice(from, to).join("");
  if (text.split === null) return { pieces, same: part(0), parts: [] };
  const other = text.pieces ? text.pieces[1 - side] : [...text.texts[1 - side]];
  if (!text.met_again)
    return { pieces, same: part(0, text.split), parts: [["own", part(text.split)]] };
  const [from, there] = side ? [text.met_again[1], text.met_again[0]] : text.met_again;
  let length = 0;
  while (from + length < pieces.length && pieces[from + length] === other[there + length])
    length += 1;
  return {
    pieces,
    same: part(0, text.split),
    parts: [
      ["own", part(text.split, from)],
      ["met", part(from, from + length)],
      ["own", part(from + length)],
    ],
  };
}

function written(side, name, { same, parts }) {
  return h(
    "div",
    {},
    h("h3", {}, `${side}: ${name}`),
    same,
    parts.map(([kind, text], i) => [
      i === 0
        ? h("b", { class: "where" }, "parts")
        : kind === "met"
          ? h("b", { class: "where" }, "meets again")
          : null,
      kind === "own" ? h("mark", {}, text) : text,
    ]),
  );
}

function key(text) {
  return text.split === null
    ? h("p", { class: "note" }, "Both wrote the same, to the last token.")
    : h(
        "p",
        { class: "legend" },
        h("span", {}, h("mark", {}, "marked"), ": what the other did not write"),
        text.met_again
          ? h("span", {}, "meets again: from there both go on with the same words")
          : h("span", {}, "they do not meet again"),
      );
}
