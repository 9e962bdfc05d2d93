// Perplexity, token by token: the probability that both models assigned to the actual next token.

import { axisBelow, axisLeft } from "../../lib/axes.js";
import { button, moreOptions } from "../../lib/controls.js";
import { h, picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { percent } from "../../lib/format.js";
import { drawnOnce } from "../../lib/marks.js";
import { linear, logarithmic } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";
import { source } from "../../lib/tensor_picker.js";
import { pieceOf, shownPiece, sides, targetOf, textPicker } from "../../lib/text.js";

const CONTEXT = 40;

/** exp(mean −log p) over the first 1, 2, … scores. */
function running(nll) {
  let sum = 0;
  return Array.from(nll, (v, i) => {
    sum += v;
    return Math.exp(sum / (i + 1));
  });
}

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const picker = textPicker(data, state, () => show());
  const back = button("← back", "back", () => picker.go(picker.position() - 1));
  const on = button("forward →", "forward", () => picker.go(picker.position() + 1));
  const worst = button("hardest token", "hardest", () => {
    const nll = picker.current().nll_reference;
    picker.go(nll.indexOf(Math.max(...nll)), true);
  });
  const known = new Map(); // text → its running perplexities and its table
  const of = (text) => {
    if (!known.has(text)) {
      const [reference, quant] = [running(text.nll_reference), running(text.nll_quant)];
      known.set(text, {
        reference,
        quant,
        table: () => [
          ["token", "p, reference", "p, quant", "perplexity so far, reference", "quant"],
          Array.from(text.kl, (_, k) => [
            shownPiece(text, targetOf(text, k)),
            Math.exp(-text.nll_reference[k]),
            Math.exp(-text.nll_quant[k]),
            reference[k],
            quant[k],
          ]),
        ],
      });
    }
    return known.get(text);
  };
  const drawn = drawnOnce(chart);
  const show = figureParts(
    figure,
    [h("div", { class: "control buttons" }, back, on, worst), moreOptions(picker.control)],
    (plot) => {
      const text = picker.current(),
        i = picker.position();
      picker.sync();
      back.disabled = i === 0;
      on.disabled = i === text.kl.length - 1;
      const at = text.first + 1 + i;
      const context = text.tokens
        .slice(Math.max(at - CONTEXT, 0), at)
        .map((id) => pieceOf(text, id))
        .join("");
      const p = [Math.exp(-text.nll_reference[i]), Math.exp(-text.nll_quant[i])];
      const curves = of(text),
        ppl = [curves.reference[i], curves.quant[i]];
      return {
        plot: [
          h(
            "p",
            { class: "tokens" },
            h("span", { class: "tok context" }, at > CONTEXT ? "… " : "", context),
            h("mark", {}, pieceOf(text, targetOf(text, i))),
          ),
          drawn(`${text.domain} ${widthOf(plot)}`, i, widthOf(plot), curves),
        ],
        reading: [
          fact(
            `p(${shownPiece(text, targetOf(text, i))}), reference`,
            value("p-reference", p[0], percent(p[0], 2)),
          ),
          fact("quant", value("p-quant", p[1], percent(p[1], 2))),
          fact(
            `perplexity of ${i + 1} token${i ? "s" : ""}, reference`,
            value("ppl-reference", ppl[0]),
          ),
          fact("quant", value("ppl-quant", ppl[1])),
          sides(),
          source(
            `the run ${data.run}: ${text.kl.length} scored tokens of ${text.domain}; every token before them ` +
              "is context",
          ),
        ],
        table: curves.table,
      };
    },
  );
}

function chart(width, { reference, quant }) {
  const height = 200,
    left = 52,
    bottom = height - 28,
    n = reference.length;
  const settled = [reference, quant].flatMap((c) => c.slice(Math.min(4, n - 1)));
  const [low, high] = settled.reduce(
    ([a, b], v) => [Math.min(a, v), Math.max(b, v)],
    [Infinity, 2],
  );
  const x = linear([1, Math.max(n, 2)], [left, width - 12]);
  const y = logarithmic([Math.max(low / 1.4, 1), high * 1.3], [bottom, 12]);
  const path = (list) =>
    `M${list.map((v, i) => `${x(i + 1)} ${Math.min(Math.max(y(v), 4), bottom)}`).join("L")}`;
  const needle = s("line", { class: "needle", y1: 12, y2: bottom });
  return {
    element: picture(
      width,
      height,
      "Perplexity so far, token by token, of both models",
      axisLeft(y, left, width - 12),
      axisBelow(x, bottom, { n: 6 }),
      s("path", { class: "curve", d: path(reference) }),
      s("path", { class: "curve quant", d: path(quant) }),
      needle,
    ),
    mark(now) {
      for (const end of ["x1", "x2"]) needle.setAttribute(end, String(x(now + 1)));
    },
  };
}
