// Chains of steps, each based on the model's own answers: the share still correct after each step.

import { axisBelow, axisLeft } from "../../lib/axes.js";
import { select } from "../../lib/controls.js";
import { h, picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { percent } from "../../lib/format.js";
import { linear } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";
import { source } from "../../lib/tensor_picker.js";
import { sides } from "../../lib/text.js";
import { chance, fill, quantPicker, spread, walkable, whisker } from "./steps.js";

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const quants = quantPicker(data.chains, state, () => show());
  const at = state.scope("chains", { family: "", step: 0 }, () => show());
  const family = select({
    label: "Kind of task",
    name: "family",
    options: [],
    onChange: (key) => at.set({ family: key }, { push: true }),
  });
  const show = figureParts(figure, [quants.control, family], (plot) => {
    const one = quants.current(),
      kinds = one.together ? { together: one.together, ...one.families } : one.families;
    const key = kinds[at.get("family")] ? at.get("family") : Object.keys(kinds)[0],
      found = kinds[key];
    const step = Math.min(
      Math.max(Math.round(at.get("step")) || found.steps.length, 1),
      found.steps.length,
    );
    const { lost, won, p } = found.steps[step - 1],
      share = (side) => spread(found[side].accuracy[step - 1]);
    quants.sync();
    fill(
      family,
      Object.entries(kinds).map(([kind, { title }]) => [kind, title ?? "all together"]),
      key,
    );
    return {
      plot: [chart(plot, found, step, (i) => at.set({ step: i + 1 }))],
      reading: [
        fact(
          `reference right after ${step} step${step > 1 ? "s" : ""}`,
          value("reference", found.reference.accuracy[step - 1].mean, share("reference")),
        ),
        fact("quant right", value("quant", found.quant.accuracy[step - 1].mean, share("quant"))),
        fact("lost, won", value("lost", lost, `${lost}, ${won}`)),
        fact("exact McNemar test", value("p", p, chance(p))),
        fact(
          "slip per step",
          value(
            "slip",
            found.quant.slip.mean,
            `${spread(found.reference.slip, tenth)} → ${spread(found.quant.slip, tenth)}`,
          ),
        ),
        fact(
          "wrong after a slip",
          value(
            "after",
            found.quant.after_slip.mean,
            `${percent(found.reference.after_slip.mean, 0)} → ${percent(found.quant.after_slip.mean, 0)}`,
          ),
        ),
        sides(),
        h("p", { class: "card" }, verdict(found)),
        source(
          `the run ${one.run}: ${found.chains} chains of ${one.name} beside ` +
            `${one.reference}${found.level ? `, level ${found.level}` : ""}; whiskers are Wilson's 95 % intervals`,
        ),
      ],
      table: [
        ["steps", "reference", "low", "high", "quant", "low", "high", "lost", "won", "p"],
        found.steps.map((row, i) => [
          i + 1,
          ...["reference", "quant"].flatMap((side) => Object.values(found[side].accuracy[i])),
          row.lost,
          row.won,
          row.p,
        ]),
      ],
    };
  });
}

const tenth = (x) => percent(x, 1);

function verdict(found) {
  if (found.reference.at_floor)
    return "The reference is at the floor here: this tells nothing about the quant.";
  if (found.distinguishable === null)
    return "No significant difference at any of these steps (exact McNemar, all steps together at 5 %).";
  return `Told apart from step ${found.distinguishable} on: ${chance(found.steps[found.distinguishable - 1].p)}.`;
}

function chart(plot, found, step, pick) {
  const width = widthOf(plot),
    height = 280,
    left = 52,
    right = width - 14,
    bottom = height - 44,
    count = found.steps.length;
  const x = linear([0.5, count + 0.5], [left, right]),
    y = linear([0, 1], [bottom, 12]);
  x.ticks = () => found.steps.map((_, i) => i + 1);
  const image = picture(
    width,
    height,
    "Share of chains that are right, by number of steps",
    axisLeft(y, left, right, { n: 5, label: (v) => percent(v, 0) }),
    axisBelow(x, bottom, { label: String, name: "steps", x: right }),
  );
  if (found.distinguishable !== null) {
    const from = x(found.distinguishable - 0.5);
    image.append(
      s("rect", { class: "ground", x: from, y: 12, width: right - from, height: bottom - 12 }),
      s("text", { x: from + 6, y: 25, class: "on" }, "significant"),
    );
  }
  const place = (i, side) => x(i + 1) + (side ? 6 : -6);
  const marks = found.steps.map((_, i) => {
    const [a, b] = ["reference", "quant"].map((side) => found[side].accuracy[i]);
    return s(
      "g",
      {
        role: "button",
        class: i + 1 === step ? "chosen" : "",
        "data-mark": `c${i}`,
        onclick: () => pick(i),
        "aria-label": `after ${i + 1} steps: reference ${spread(a)}, quant ${spread(b)}`,
      },
      s("rect", { class: "hit", x: x(i + 1) - 16, y: 8, width: 32, height: bottom - 8 }),
      whisker(place(i, 0), y(a.low), y(a.high)),
      whisker(place(i, 1), y(b.low), y(b.high)),
      s("circle", { class: "dot", cx: place(i, 0), cy: y(a.mean), r: 5.5 }),
      s("rect", {
        class: "dot second",
        x: place(i, 1) - 5,
        y: y(b.mean) - 5,
        width: 10,
        height: 10,
        rx: 2,
      }),
    );
  });
  walkable(image, marks, step - 1, pick);
  ["reference", "quant"].forEach((side, k) =>
    image.append(
      s("path", {
        class: `curve ${k ? "quant" : ""}`,
        "pointer-events": "none",
        d: `M${found[side].accuracy.map((a, i) => `${place(i, k)} ${y(a.mean)}`).join("L")}`,
      }),
    ),
  );
  return image;
}
