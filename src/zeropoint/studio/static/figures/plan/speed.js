// Tokens per second by format: measured values, and the upper limit that memory bandwidth sets.

import { axisBelow } from "../../lib/axes.js";
import { choice, moreOptions, range, select } from "../../lib/controls.js";
import { picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format, inBytes } from "../../lib/format.js";
import { linear } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";
import { source } from "../../lib/tensor_picker.js";

const MAX_CEILING = 4; // times the fastest bar; higher ceilings stand at the edge

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const levels = data.ladder.filter((l) => l.generation_tokens_per_second);
  const reached =
    Math.round((levels[0]?.generation_tokens_per_second * levels[0]?.bytes) / 1e8) / 10;
  const usual = { what: "generation", bandwidth: reached || 50, level: -1 };
  const at = state.scope("speed", usual, () => show());
  const what = choice({
    label: "Speed of",
    name: "what",
    options: [
      ["generation", "writing"],
      ["prompt", "reading"],
    ],
    onChange: (x) => at.set({ what: x }, { push: true }),
  });
  const level = select({
    label: "Format",
    name: "level",
    options: levels.map((l, i) => [String(i), l.format]),
    onChange: (i) => at.set({ level: Number(i) }, { push: true }),
  });
  const bandwidth = range({
    label: "Memory bandwidth, GB/s",
    min: 0.01,
    max: 8000,
    name: "bandwidth",
    toSlider: Math.log10,
    fromSlider: (x) => Number((10 ** x).toPrecision(3)),
    sliderStep: 0.01,
    onInput: (x) => at.set({ bandwidth: x }),
    onDone: () => at.set({}, { push: true }),
  });
  const show = figureParts(figure, [level, moreOptions(what, bandwidth)], (plot) => {
    const writing = at.get("what") === "generation",
      key = `${at.get("what")}_tokens_per_second`;
    const chosen = levels[at.get("level")] ?? levels.at(-1),
      first = levels[0];
    const ceiling = (l) => (at.get("bandwidth") * 1e9) / l.bytes;
    what.set(at.get("what"));
    level.set(String(levels.indexOf(chosen)));
    bandwidth.set(at.get("bandwidth"));
    bandwidth.hidden = !writing;
    return {
      plot: [bars(plot, levels, key, chosen, writing ? ceiling : null)],
      reading: [
        fact("measured", value("speed", chosen[key], `${format(chosen[key], 4)} tokens/s`)),
        fact(
          `times ${first.format}`,
          value("faster", chosen[key] / first[key], `${format(chosen[key] / first[key], 3)} ×`),
        ),
        fact(
          "times smaller",
          value(
            "smaller",
            first.bytes / chosen.bytes,
            `${format(first.bytes / chosen.bytes, 3)} ×`,
          ),
        ),
        writing
          ? fact(
              `ceiling at ${format(at.get("bandwidth"), 3)} GB/s`,
              value("ceiling", ceiling(chosen), `${format(ceiling(chosen), 4)} tokens/s`),
            )
          : null,
        source(
          `${data.ladder_run}, on the machine it ran on. To write a token, every weight is read once: no ` +
            `machine writes faster than bandwidth ∕ bytes. ${first.format} reached ${format(reached, 3)} GB/s`,
        ),
      ].filter(Boolean),
      table: [
        ["format", "bytes", "writing, tokens/s", "reading, tokens/s", "ceiling, tokens/s"],
        levels.map((l) => [
          l.format,
          l.bytes,
          l.generation_tokens_per_second,
          l.prompt_tokens_per_second,
          ceiling(l),
        ]),
      ],
    };
  });
}

function bars(plot, levels, key, chosen, ceiling) {
  const width = widthOf(plot),
    left = Math.min(150, width / 2.6),
    step = 30;
  const fastest = Math.max(...levels.map((l) => l[key]));
  const highest = ceiling ? Math.max(...levels.map(ceiling)) : 0;
  const end = Math.max(fastest, Math.min(highest, MAX_CEILING * fastest)) * 1.02;
  const x = linear([0, end], [left, width - 120]);
  const bottom = levels.length * step + 4;
  const image = picture(
    width,
    bottom + 30,
    "Tokens per second by format",
    axisBelow(x, bottom, { n: 5 }),
  );
  levels.forEach((l, i) => {
    const y = i * step + 4;
    image.append(
      s(
        "text",
        { x: left - 8, y: y + 15, "text-anchor": "end", class: l === chosen ? "strong" : "" },
        l.format,
      ),
      s("rect", {
        class: `bar ${l === chosen ? "second" : ""}`,
        x: left,
        width: Math.max(x(l[key]) - left, 1),
        y,
        height: 20,
        rx: 3,
      }),
      s(
        "text",
        {
          x: Math.max(x(l[key]), ceiling ? Math.min(x(ceiling(l)), width - 120) : 0) + 6,
          y: y + 15,
        },
        `${format(l[key], 3)} · ${inBytes(l.bytes)}`,
      ),
    );
    if (!ceiling) return;
    const place = Math.min(x(ceiling(l)), width - 2);
    image.append(s("line", { class: "needle", x1: place, x2: place, y1: y - 3, y2: y + 23 }));
  });
  return image;
}
