// Perplexity, one token after the other: what both models gave to the word that really came.

import { axisBelow, axisLeft, button, fact, figureParts, h, linear, logarithmic, percent, picture, s, value, widthOf }
  from "./draw.js";
import { source } from "./pick.js";
import { pieceOf, shownPiece, sides, targetOf, textPicker } from "./text.js";

const CONTEXT = 40;

/** exp(mean −log p) over the first n scores. */
export function perplexity(nll, n) {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += nll[i];
  return Math.exp(sum / n);
}

export function mount(figure, data, state) {
  const picker = textPicker(data, state, () => show());
  const back = button("← back", "back", () => picker.go(picker.position() - 1));
  const on = button("forward →", "forward", () => picker.go(picker.position() + 1));
  const worst = button("hardest token", "hardest", () => {
    const nll = picker.current().nll_reference;
    picker.go(nll.indexOf(Math.max(...nll)), true);
  });
  const show = figureParts(figure, [picker.control, h("div", { class: "control buttons" }, back, on, worst)],
    (plot) => {
      const text = picker.current(), i = picker.position();
      picker.sync();
      back.disabled = i === 0;
      on.disabled = i === text.kl.length - 1;
      const at = text.first + 1 + i;
      const context = text.tokens.slice(Math.max(at - CONTEXT, 0), at).map((id) => pieceOf(text, id)).join("");
      const p = [Math.exp(-text.nll_reference[i]), Math.exp(-text.nll_quant[i])];
      const ppl = [perplexity(text.nll_reference, i + 1), perplexity(text.nll_quant, i + 1)];
      return {
        plot: [h("p", { class: "tokens" }, h("span", { class: "tok context" }, at > CONTEXT ? "… " : "", context),
          h("mark", {}, pieceOf(text, targetOf(text, i)))), running(plot, text, i)],
        reading: [fact(`p(${shownPiece(text, targetOf(text, i))}), reference`, value("p-reference", p[0], percent(p[0], 2))),
          fact("quant", value("p-quant", p[1], percent(p[1], 2))),
          fact(`perplexity of ${i + 1} token${i ? "s" : ""}, reference`, value("ppl-reference", ppl[0])),
          fact("quant", value("ppl-quant", ppl[1])), sides(),
          source(`the run ${data.run}: ${text.kl.length} scored tokens of ${text.domain}; every token before them `
            + "is context")],
        table: [["token", "p, reference", "p, quant", "perplexity so far, reference", "quant"], Array.from(text.kl,
          (_, k) => [shownPiece(text, targetOf(text, k)), Math.exp(-text.nll_reference[k]), Math.exp(-text.nll_quant[k]),
            perplexity(text.nll_reference, k + 1), perplexity(text.nll_quant, k + 1)])],
      };
    });
}

function running(plot, text, now) {
  const width = widthOf(plot), height = 200, left = 52, bottom = height - 28, n = text.kl.length;
  const curves = [text.nll_reference, text.nll_quant].map((nll) => {
    let sum = 0;
    return Array.from(nll, (v, i) => Math.exp((sum += v) / (i + 1)));
  });
  const settled = curves.flatMap((c) => c.slice(Math.min(4, n - 1)));
  const x = linear([1, Math.max(n, 2)], [left, width - 12]);
  const y = logarithmic([Math.max(Math.min(...settled) / 1.4, 1), Math.max(...settled, 2) * 1.3], [bottom, 12]);
  const path = (list) => `M${list.map((v, i) => `${x(i + 1)} ${Math.min(Math.max(y(v), 4), bottom)}`).join("L")}`;
  return picture(width, height, "Perplexity so far, token by token, of both models", axisLeft(y, left, width - 12),
    axisBelow(x, bottom, { n: 6 }), s("path", { class: "curve", d: path(curves[0]) }), s("path", { class: "curve quant",
      d: path(curves[1]) }), s("line", { class: "needle", x1: x(now + 1), x2: x(now + 1), y1: 12, y2: bottom }));
}
