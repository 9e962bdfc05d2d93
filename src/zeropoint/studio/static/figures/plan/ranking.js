// The plans, the best first; picking one opens it in the other figures of the page.

import { h } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format, inBytes } from "../../lib/format.js";
import { fact, value } from "../../lib/table.js";
import { chosen } from "./bars.js";
import { band, longest, planning, problemOf } from "./query.js";

const SHOWN = 60;

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const ask = planning(data, state, "/api/plan");
  const show = figureParts(figure, [], () => {
    ask.settled(figure);
    if (!ask.answer) return { plot: [problemOf(ask)], reading: [], table: [["model"], []] };
    const { results } = ask.answer,
      one = chosen(ask),
      fit = results.filter((r) => r.fits).length;
    return {
      plot: [
        h(
          "div",
          {
            class: "scroll ranks",
            tabindex: "0",
            role: "group",
            "aria-label": "Answers, the best first",
          },
          ranking(ask, results, one),
        ),
      ],
      reading: [
        fact("answers", value("answers", results.length)),
        fact("that fit", value("fit", fit)),
        results.length > SHOWN ? h("p", { class: "note" }, `The first ${SHOWN} are listed.`) : null,
      ].filter(Boolean),
      table: () => [
        [
          "model",
          "device",
          "fits",
          "bits per weight",
          "total, bytes",
          "longest context",
          "prompt processing, tokens/s",
          "generation, tokens/s",
          "lowest",
          "highest",
          "speed is",
        ],
        results.map((r) => [
          r.model,
          r.device,
          r.fits ? "yes" : "no",
          r.bits_per_weight,
          r.total_bytes,
          r.longest_context,
          r.prompt?.tokens_per_second ?? null,
          r.tokens_per_second,
          (r.split ?? r.generation)?.low ?? null,
          (r.split ?? r.generation)?.high ?? null,
          r.basis.speed,
        ]),
      ],
    };
  });
  ask.hear(show);
}

function ranking(ask, results, one) {
  const names = new Map(ask.answer.devices.map((d) => [d.id, d.name]));
  const head = [
    "",
    "Model",
    "Device",
    "Bits per weight",
    "Loss",
    "Needs",
    "Fits",
    "Longest context",
    "Prompt, tokens/s",
    "Generation, tokens/s",
    "Speed is",
  ];
  const right = new Set([3, 5, 7, 8, 9]),
    known = results.some((r) => r.score || r.loss),
    shown = (_, i) => known || i !== 4;
  const rows = results.slice(0, SHOWN).map((r) => {
    const loss = r.score
      ? `${format(r.score.value, 4)} ${r.score.kind} ${r.score.group}`
      : r.loss
        ? `KL ${format(r.loss.mean, 3)}`
        : "";
    const radio = h("input", {
      type: "radio",
      name: "answer",
      checked: r === one,
      "data-control": "answer",
      "data-mark": `a${r.model}/${r.device}`,
      "aria-label": `${r.model} on ${names.get(r.device)}`,
      onchange: () => ask.at.set({ model: r.model, device: r.device }, { push: true }),
    });
    const cells = [
      radio,
      r.model,
      names.get(r.device),
      format(r.bits_per_weight, 3),
      loss,
      inBytes(r.total_bytes),
      r.fits ? "✓ fits" : r.split ? "✗ split" : "✗ no",
      longest(r),
      band(r.prompt),
      band(r.split ?? r.generation),
      r.basis.speed ?? "not known",
    ];
    return h(
      "tr",
      { class: r === one ? "chosen" : "" },
      cells
        .map((cell, i) => h("td", { class: right.has(i) ? "number" : null }, cell))
        .filter(shown),
    );
  });
  return h(
    "table",
    {},
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        head
          .map((name, i) =>
            h(
              "th",
              { scope: "col", class: right.has(i) ? "number" : null },
              name || h("span", { class: "unseen" }, "pick"),
            ),
          )
          .filter(shown),
      ),
    ),
    h("tbody", {}, rows),
  );
}
