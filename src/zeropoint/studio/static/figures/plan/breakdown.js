// Memory by buffer: the size of each, how it is known, and the setting that changes it.

import { axisBelow } from "../../lib/axes.js";
import { h, picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { inBytes } from "../../lib/format.js";
import { linear } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";
import { chosen } from "./bars.js";
import { band, planning, problemOf } from "./query.js";

const MOMENTS = {
  logits: "buffers: the logits of a batch",
  layer: "buffers: one layer at its widest",
  attention: "buffers: attention",
};

/** The parts of a result, in the order in which they are stacked: name, bytes, basis, fill. */
export function partsOf(r) {
  const modelled = r.basis.compute,
    output = r.compute.output_bytes;
  return [
    ["weights that every token uses", r.weights_bytes - r.experts_bytes, r.basis.weights, "f0"],
    ["weights of experts", r.experts_bytes, r.basis.weights, "f5"],
    ["cache of every position", r.kv.all_positions_bytes, r.basis.memory, "f1"],
    ["cache of windows", r.kv.windows_bytes, r.basis.memory, "f3"],
    ["states of recurrent layers", r.kv.states_bytes, r.basis.memory, "f4"],
    [MOMENTS[r.compute.largest], r.compute_bytes - output, modelled, "f2"],
    ["logits that come out", output, modelled, "f2"],
  ].filter(([, bytes]) => bytes > 0);
}

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const ask = planning(data, state, "/api/plan");
  const show = figureParts(figure, [], (plot) => {
    ask.settled(figure);
    if (!ask.answer) return { plot: [problemOf(ask)], reading: [], table: [["part"], []] };
    const r = chosen(ask),
      parts = partsOf(r),
      turn = ask.answer.turn[ask.answer.results.indexOf(r)];
    const name = ask.answer.devices.find((d) => d.id === r.device).name;
    return {
      plot: [
        h(
          "p",
          { class: "card" },
          h("b", {}, `${r.model} on ${name}`),
          r.fits ? ": fits" : `: lacks ${inBytes(r.total_bytes - r.usable_bytes)}`,
        ),
        waterfall(plot, r, parts),
        h("p", { class: "sub" }, r.fits ? "What would free memory" : "What to change"),
        turn.length
          ? h(
              "ul",
              { class: "turn-list" },
              turn.map((text) => h("li", {}, text)),
            )
          : h(
              "p",
              { class: "note" },
              r.fits
                ? "Nothing needs to: it has room for all that it was trained for."
                : "Nothing helps on this device: see the answers below.",
            ),
      ],
      reading: [
        fact("total", value("total", r.total_bytes, inBytes(r.total_bytes))),
        fact(
          "left over",
          value(
            "left",
            r.usable_bytes - r.total_bytes,
            r.fits ? inBytes(r.usable_bytes - r.total_bytes) : "nothing",
          ),
        ),
        fact(
          `generation, tokens/s (${r.basis.speed ?? "not known"})`,
          value("speed", r.tokens_per_second, band(r.split ?? r.generation)),
        ),
        fact(
          `prompt processing, tokens/s (${r.prompt?.basis ?? "not known"})`,
          value("prompt", r.prompt?.tokens_per_second ?? null, band(r.prompt)),
        ),
        r.repacked_bytes
          ? h(
              "p",
              { class: "note" },
              `llama.cpp keeps ${inBytes(r.repacked_bytes)} of it a second time, rearranged, in place of ` +
                "the file's pages; that is not in the total.",
            )
          : null,
      ].filter(Boolean),
      table: [
        ["part", "bytes", "is"],
        [
          ...parts.map(([part, bytes, basis]) => [part, bytes, basis]),
          ["total", r.total_bytes, r.basis.memory],
          ["usable", r.usable_bytes, "of the device"],
          ...(r.split
            ? [
                ["on the device", r.split.device_bytes, r.split.basis],
                ["in RAM", r.split.ram_bytes, r.split.basis],
                ["on an SSD", r.split.ssd_bytes, r.split.basis],
              ]
            : []),
        ],
      ],
    };
  });
  ask.hear(show);
}

function waterfall(plot, r, parts) {
  const width = widthOf(plot),
    step = 40,
    bottom = (parts.length + 1) * step + 4;
  const most = Math.max(r.total_bytes, Math.min(r.usable_bytes, r.total_bytes * 1.5)) * 1.04;
  const x = linear([0, most / 2 ** 30], [4, width - 12]),
    at = (bytes) => x(bytes / 2 ** 30);
  const image = picture(
    width,
    bottom + 38,
    `Memory of ${r.model}, part by part: ${parts
      .map(([name, bytes]) => `${name} ${inBytes(bytes)}`)
      .join(", ")}`,
    axisBelow(x, bottom, { n: width < 500 ? 4 : 8, name: "GiB", x: width - 12 }),
  );
  let from = 0;
  [...parts, ["total", r.total_bytes, r.basis.memory, "total"]].forEach(
    ([name, bytes, basis, fill], i) => {
      const y = i * step,
        start = fill === "total" ? 0 : from,
        w = Math.max(at(start + bytes) - at(start), 1);
      image.append(
        s("text", { class: "on", x: 4, y: y + 15 }, `${name}: ${inBytes(bytes)}`),
        width > 560 ? s("text", { x: width - 12, y: y + 15, "text-anchor": "end" }, basis) : "",
        s("rect", { class: `part ${fill}`, x: at(start), y: y + 20, width: w, height: 14, rx: 2 }),
      );
      if (fill !== "total")
        image.append(
          s("line", {
            class: "step-line",
            x1: at(from + bytes),
            x2: at(from + bytes),
            y1: y + 20,
            y2: y + step + 20,
          }),
        );
      from += fill === "total" ? 0 : bytes;
    },
  );
  const limit = Math.min(at(r.usable_bytes), width - 5);
  image.append(
    s("line", {
      class: `limit ${r.fits ? "" : "over"}`,
      x1: limit,
      x2: limit,
      y1: 0,
      y2: bottom,
      "stroke-dasharray": at(r.usable_bytes) > width ? "2 3" : null,
    }),
  );
  return image;
}
