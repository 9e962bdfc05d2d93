// Whether a model fits: one format as a bar of its buffers, next to the memory limit of each device.

import { axisBelow } from "../../lib/axes.js";
import { announce, h, picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { inBytes } from "../../lib/format.js";
import { roving } from "../../lib/marks.js";
import { linear } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";
import { band, longest, planning, problemOf, questionControls } from "./query.js";

/** @type {[name: string, bytes: (result: any) => number, fill: string][]} */
const PARTS = [
  ["weights", (r) => r.weights_bytes - r.experts_bytes, "f0"],
  ["experts", (r) => r.experts_bytes, "f5"],
  ["cache", (r) => r.kv.all_positions_bytes, "f1"],
  ["windows", (r) => r.kv.windows_bytes, "f3"],
  ["states", (r) => r.kv.states_bytes, "f4"],
  ["buffers", (r) => r.compute_bytes, "f2"],
];

/** The selected result: the chosen model on the chosen device, or the best one. */
export function chosen(ask) {
  const { results } = ask.answer,
    model = ask.at.get("model"),
    device = ask.at.get("device");
  const of = results.filter((r) => r.model === model);
  return of.find((r) => r.device === device) ?? of[0] ?? results[0];
}

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const ask = planning(data, state, "/api/plan"),
    controls = questionControls(data, ask),
    { named } = controls;
  const show = figureParts(
    figure,
    [
      named.models,
      named.sizes,
      named.devices,
      named.ctx,
      named.users,
      named.keys,
      named.values,
      named.objective,
      controls.more,
    ],
    (plot) => {
      controls.sync();
      ask.settled(figure);
      if (!ask.answer) return { plot: [problemOf(ask)], reading: [], table: [["device"], []] };
      const one = chosen(ask),
        places = new Map(ask.answer.devices.map((d) => [d.id, d]));
      const own = ask.answer.results.filter((r) => r.model === one.model);
      const parts = PARTS.filter(([, of]) => own.some((r) => of(r) > 0));
      return {
        plot: [
          bars(plot, own, one, places, parts, (r) =>
            ask.at.set({ model: r.model, device: r.device }, { push: true }),
          ),
          h(
            "p",
            { class: "legend" },
            parts.map(([name, of, fill]) =>
              h("span", {}, h("i", { class: `swatch ${fill}` }), `${name} ${inBytes(of(one))}`),
            ),
          ),
        ],
        reading: [
          fact("model", value("model", null, one.model)),
          fact("needs", value("total", one.total_bytes, inBytes(one.total_bytes))),
          fact(
            `usable on ${places.get(one.device).name}`,
            value("usable", one.usable_bytes, inBytes(one.usable_bytes)),
          ),
          fact("longest context that fits", value("longest", one.longest_context, longest(one))),
          fact("memory is", value("basis", null, one.basis.memory)),
          notesOf(ask.answer.notes),
        ],
        table: [
          [
            "model",
            "device",
            "fits",
            ...parts.map(([name]) => `${name}, bytes`),
            "total, bytes",
            "usable, bytes",
            "longest context",
          ],
          own.map((r) => [
            r.model,
            r.device,
            r.fits ? "yes" : "no",
            ...parts.map(([, of]) => of(r)),
            r.total_bytes,
            r.usable_bytes,
            r.longest_context,
          ]),
        ],
      };
    },
  );
  let said = "";
  ask.hear(() => {
    show();
    if (ask.busy || !ask.answer) return;
    const fit = ask.answer.results.filter((r) => r.fits).length,
      told = `${fit} of ${ask.answer.results.length} answers fit`;
    if (said && said !== told) announce(told);
    said = told;
  });
}

function bars(plot, own, one, places, parts, pick) {
  const width = widthOf(plot),
    step = 62,
    bottom = own.length * step + 6,
    total = Math.max(...own.map((r) => r.total_bytes));
  const most = Math.max(
    total * 1.08,
    Math.min(Math.max(...own.map((r) => r.usable_bytes)) * 1.04, total * 1.6),
  );
  const x = linear([0, most / 2 ** 30], [4, width - 12]),
    at = (bytes) => x(bytes / 2 ** 30);
  const image = picture(
    width,
    bottom + 38,
    `Memory of ${one.model} beside the limits of ${own.length} devices`,
    axisBelow(x, bottom, {
      n: width < 500 ? 4 : 8,
      name: "GiB",
      x: width - 12,
    }),
  );
  const words = s("g", { class: "words" }); // separate from the marks, whose names for screen readers are longer
  const marks = own.map((r, i) => {
    const y = i * step,
      place = places.get(r.device);
    const told = r.fits
      ? `fits, up to ${longest(r)} tokens`
      : r.split
        ? `lacks ${inBytes(r.total_bytes - r.usable_bytes)}; split, ${band(r.split)} tokens/s`
        : `lacks ${inBytes(r.total_bytes - r.usable_bytes)}`;
    const mark = s(
      "g",
      {
        role: "button",
        class: r === one ? "chosen" : "",
        "data-mark": `d${r.device}`,
        "aria-label": `${place.name}: ${told}`,
        "aria-pressed": String(r === one),
        onclick: () => pick(r),
      },
      s("rect", { class: "hit", x: 0, y: y + 2, width, height: step - 4, rx: 4 }),
    );
    words.append(
      s(
        "text",
        { class: r === one ? "strong" : "on", x: 4, y: y + 18 },
        shorter(place.name, width),
      ),
      s(
        "text",
        { x: width - 12, y: y + 18, "text-anchor": "end" },
        width < 500 ? (r.fits ? "✓ fits" : "✗ too large") : `${r.fits ? "✓" : "✗"} ${told}`,
      ),
    );
    let from = 0;
    for (const [name, of, fill] of parts) {
      const bytes = of(r),
        w = at(from + bytes) - at(from);
      if (bytes > 0) {
        mark.append(
          s("rect", {
            class: `part ${fill}`,
            x: at(from),
            y: y + 26,
            width: Math.max(w - 1, 0.7),
            height: 24,
          }),
        );
        if (w > 9 * name.length)
          words.append(
            s(
              "text",
              { class: "on-fill", x: at(from) + w / 2, y: y + 42, "text-anchor": "middle" },
              name,
            ),
          );
      }
      from += bytes;
    }
    const limit = Math.min(at(r.usable_bytes), width - 5),
      beyond = r.usable_bytes > most;
    mark.append(
      s("line", {
        class: `limit ${r.fits ? "" : "over"}`,
        x1: limit,
        x2: limit,
        y1: y + 22,
        y2: y + 54,
        "stroke-dasharray": beyond ? "2 3" : null,
      }),
    );
    if (beyond && width > 500)
      words.append(
        s(
          "text",
          { x: limit - 6, y: y + 42, "text-anchor": "end" },
          `limit ${inBytes(r.usable_bytes)} →`,
        ),
      );
    return mark;
  });
  image.append(...marks, words);
  roving(marks, { start: Math.max(own.indexOf(one), 0), rows: true, onPress: (i) => pick(own[i]) });
  return image;
}

/** The notes of an answer, folded if there are many. */
function notesOf(notes) {
  const list = h(
    "ul",
    { class: "notes" },
    notes.map((note) => h("li", {}, note)),
  );
  if (notes.length < 3) return list;
  return h(
    "details",
    { class: "more" },
    h("summary", {}, `${notes.length} notes on this answer`),
    list,
  );
}

const shorter = (name, width) => (width < 500 && name.length > 30 ? `${name.slice(0, 29)}…` : name);
