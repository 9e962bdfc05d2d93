// The loss on held-out text against the number of tokens, of each format that was trained.

import { axisBelow, axisLeft } from "../../lib/axes.js";
import { select } from "../../lib/controls.js";
import { h, picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format } from "../../lib/format.js";
import { linear } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";
import { source } from "../../lib/tensor_picker.js";
import { summary } from "./seeds.js";

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const runs = data.training;
  const lines = runs.flatMap((run) => run.formats.map((one) => ({ ...one, run: run.run })));
  const first = lines.findIndex((one) => one.gap) + 1 || 1;
  const at = state.scope("training", { format: first }, () => show());
  const menu = select({
    label: "Format",
    name: "format",
    options: lines.map((one, i) => [
      i + 1,
      runs.length > 1 ? `${one.label} (${one.run})` : one.label,
    ]),
    onChange: (i) => at.set({ format: Number(i) }, { push: true }),
  });
  const show = figureParts(figure, [menu], (plot) => {
    const one = lines[at.get("format") - 1] ?? lines[0];
    const base = lines.find((other) => other.run === one.run && other.baseline && other !== one);
    menu.set(lines.indexOf(one) + 1);
    const others = lines.filter((other) => other !== one && other !== base);
    const far = one.gap && one.gap.low === null ? " (one seed)" : "";
    return {
      plot: [chart(plot, one, base, others), legend(one, base, others)],
      reading: [
        fact("held-out loss", value("loss", one.loss.mean, `${format(one.loss.mean, 4)} nats`)),
        one.gap
          ? fact(
              `above ${base?.label ?? "the baseline"}`,
              value("gap", one.gap.mean, `${format(one.gap.mean, 3)} nats${far}`),
            )
          : null,
        one.gap && one.gap.low !== null
          ? fact(
              "95 % interval",
              value("high", one.gap.high, `${format(one.gap.low, 3)} … ${format(one.gap.high, 3)}`),
            )
          : null,
        one.rounded === null
          ? null
          : fact(
              "rounded afterwards",
              value("rounded", one.rounded, `${format(one.rounded, 4)} nats`),
            ),
        source(
          `the run ${one.run}: the mean over ${one.curves.length} seeds; the band goes from the ` +
            "lowest to the highest seed",
        ),
      ].filter(Boolean),
      table: () => [
        ["format", "seed", "tokens", "training loss", "held-out loss"],
        lines.flatMap((line) =>
          line.curves.flatMap((curve) =>
            curve.tokens.map((tokens, i) => [
              line.label,
              curve.seed,
              tokens,
              curve.training[i],
              curve.held_out[i],
            ]),
          ),
        ),
      ],
    };
  });
}

function legend(one, base, others) {
  return h(
    "p",
    { class: "legend" },
    h("span", {}, h("i", { class: "swatch quant" }), `dashed: ${one.label}`),
    base ? h("span", {}, `solid: ${base.label}`) : null,
    others.length ? h("span", {}, `grey: ${others.map((other) => other.label).join(", ")}`) : null,
  );
}

function chart(plot, one, base, others) {
  const width = widthOf(plot),
    height = 320,
    left = 52,
    right = width - 14,
    bottom = height - 44;
  const drawn = [...others, base, one].filter((line) => line?.curves.length);
  const points = drawn.flatMap((line) => summary(line.curves));
  const x = linear([0, Math.max(...points.map((p) => p.tokens), 1)], [left, right]),
    low = Math.min(...points.map((p) => p.low)),
    high = Math.max(...points.map((p) => p.high)),
    y = linear([low - (high - low) / 20 - 1e-6, high + 1e-6], [bottom, 14]);
  const image = picture(
    width,
    height,
    `Held-out loss of ${drawn.length} formats by the number of tokens`,
    axisLeft(y, left, right),
    axisBelow(x, bottom, { n: width > 500 ? 6 : 3, name: "tokens", x: right }),
    s("text", { x: left + 4, y: 26, class: "axis-name" }, "held-out loss, nats per token"),
  );
  for (const line of drawn) {
    const seeds = summary(line.curves);
    const path = (key) => seeds.map((p) => `${x(p.tokens)} ${y(p[key])}`);
    if (line.curves.length > 1)
      image.append(
        s("path", {
          class: "band",
          d: `M${[...path("low"), ...path("high").reverse()].join("L")}Z`,
        }),
      );
    const kind = line === one ? "quant" : line === base ? "" : "ghost";
    image.append(s("path", { class: `curve ${kind}`, d: `M${path("mean").join("L")}` }));
  }
  return image;
}
