// Single weights set to 0, and the text that the model then generates: measured, one forward pass each.

import { axisLeft } from "../../lib/axes.js";
import { select } from "../../lib/controls.js";
import { h, picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format, percent } from "../../lib/format.js";
import { roving } from "../../lib/marks.js";
import { logarithmic } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";
import { shortName, source } from "../../lib/tensor_picker.js";
import { answer } from "./flips.js";

const SUPER_KL = 1; // nats: the text falls apart

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const list = data.ablations.weights;
  const at = state.scope("ablation", { weight: -1 }, () => show());
  const largest = list.reduce((best, a, i) => (a.kl > list[best].kl ? i : best), 0);
  const pick = (i) => at.set({ weight: i }, { push: true });
  const menu = select({
    label: "Weight set to zero",
    name: "weight",
    options: list.map((a, i) => [
      String(i),
      `${shortName(a.tensor)} [${a.row}, ${a.column}] = ${format(a.value, 3)}${a.ordinary ? " (ordinary)" : ""}`,
    ]),
    onChange: (i) => pick(Number(i)),
  });
  const show = figureParts(figure, [menu], (plot) => {
    const i = list[at.get("weight")] ? at.get("weight") : largest,
      one = list[i];
    menu.set(String(i));
    return {
      plot: [
        h("p", { class: "card" }, outcome(list[largest])),
        chart(plot, list, i, pick),
        answers(data.ablations, one),
      ],
      reading: [
        fact("KL without this one weight", value("kl", one.kl, `${format(one.kl, 3)} nats`)),
        fact("same most likely token", value("top1", one.top1, percent(one.top1))),
        fact("this weight ∕ rms of its tensor", value("ratio", one.ratio, format(one.ratio, 3))),
        source(
          `${one.tensor}, row ${one.row}, column ${one.column}; ${data.ablations.positions} positions of ` +
            "the text, the matrix in float32 with this one weight 0, all else as in the file",
        ),
      ],
      table: [
        ["tensor", "row", "column", "weight", "KL, nats", "top-1"],
        list.map((a) => [a.tensor, a.row, a.column, a.value, a.kl, a.top1]),
      ],
    };
  });
}

/** Whether any of the weights is a super weight, as a sentence. */
function outcome(worst) {
  const kept = `without it the model still chooses the same word ${percent(worst.top1)} of the time`;
  return worst.kl >= SUPER_KL
    ? `This model has a super weight: one weight less, and KL is ${format(worst.kl, 3)} nats.`
    : `None of these is a super weight. The one that matters most is ${shortName(worst.tensor)} [${worst.row}, ${worst.column}]: ${kept}.`;
}

function chart(plot, list, chosen, pick) {
  const width = widthOf(plot),
    height = 210,
    left = 64,
    bottom = height - 22;
  const least = Math.max(Math.min(...list.map((a) => a.kl).filter((k) => k > 0)), 1e-12);
  const most = Math.max(...list.map((a) => a.kl), least * 10),
    step = (width - left - 6) / list.length;
  const y = logarithmic([least / 2, most * 1.4], [bottom, 12]);
  const image = picture(
    width,
    height,
    "KL divergence after one weight is set to zero, for several weights",
    axisLeft(y, left, width - 6, { label: (v) => format(v, 2) }),
  );
  const marks = list.map((a, i) => {
    const mark = s("rect", {
      class: `bar ${a.ordinary ? "ghost" : ""} ${i === chosen ? "chosen" : ""}`,
      x: left + i * step + 4,
      width: step - 8,
      y: y(Math.max(a.kl, least / 2)),
      rx: 3,
      height: Math.max(bottom - y(Math.max(a.kl, least / 2)), 2),
      role: "button",
      "data-mark": `a${i}`,
      "aria-label": `${a.tensor} ${a.row}, ${a.column}: KL ${format(a.kl)}`,
      onclick: () => pick(i),
    });
    image.append(
      s(
        "text",
        {
          x: left + (i + 0.5) * step,
          y: height - 6,
          "text-anchor": "middle",
          class: i === chosen ? "strong" : "",
        },
        step > 70 ? shortName(a.tensor).slice(0, 14) : String(i + 1),
      ),
    );
    return mark;
  });
  image.append(...marks);
  roving(marks, { start: chosen, onPress: pick });
  return image;
}

function answers(found, one) {
  return h(
    "div",
    { class: "answers" },
    answer("The model as it is", found.prompt, found.answer, one.answer),
    answer("Without this weight", found.prompt, one.answer, found.answer),
  );
}
