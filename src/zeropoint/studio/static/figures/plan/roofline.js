// The roofline: the limits of a device, the estimate for a format, and times measured on this machine.
//
// Horizontal: operations per byte read. Vertical: operations per second. Under the slope, memory is
// the limit; under the flat part, arithmetic is. More users share each byte read: the point moves right.

import { range, select, toggle } from "../../lib/controls.js";
import { h } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format, percent } from "../../lib/format.js";
import { fact, value } from "../../lib/table.js";
import { band, planning, problemOf, questionControls } from "./query.js";
import { chart, legend, peakOf } from "./roofline_chart.js";

const COLUMNS = ["Runtime", "Phase", "Multiplies", "Activations", "What happens", "Known from"];

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const ask = planning(data, state, "/api/speed"),
    { at } = ask,
    controls = questionControls(data, ask),
    { named } = controls;
  const steps = data.batches.length - 1;
  const batch = range({
    label: "Users whose tokens are computed together",
    name: "batch",
    min: 1,
    max: data.batches[steps],
    toSlider: (x) =>
      Math.max(
        data.batches.findLastIndex((b) => b <= x),
        0,
      ),
    fromSlider: (i) => data.batches[Math.round(i)],
    sliderStep: 1,
    onInput: (x) => at.set({ batch: data.batches.findLast((b) => b <= x) ?? 1 }),
    onDone: () => at.set({}, { push: true }),
  });
  const device = select({
    label: "Explain this device",
    name: "device",
    options: [],
    onChange: ask.set("device"),
  });
  const own = state.scope("roof", { timed: true, format: "" }, () => show());
  const kind = select({
    label: "in this format",
    name: "format",
    options: [],
    onChange: (x) => own.set({ format: x }, { push: true }),
  });
  const timed = toggle({
    label: "What bench timed on this machine",
    name: "timed",
    onChange: (x) => own.set({ timed: x }, { push: true }),
  });
  const show = figureParts(
    figure,
    [named.models, named.sizes, named.devices, batch, device, kind, timed, controls.more],
    (plot) => {
      controls.sync();
      batch.set(at.get("batch"));
      timed.set(own.get("timed"));
      ask.settled(figure);
      if (!ask.answer) return { plot: [problemOf(ask)], reading: [], table: [["device"], []] };
      const a = ask.answer,
        formats = [...new Set(a.marks.map((m) => m.format))];
      if (!a.roofs.length)
        return {
          plot: [h("p", { class: "note" }, "No device with a known bandwidth is chosen.")],
          reading: [],
          table: [["device"], []],
        };
      refill(
        device,
        a.devices.map((d) => [d.id, d.name]),
        at.get("device"),
      );
      refill(
        kind,
        formats.map((name) => [name, name]),
        own.get("format"),
      );
      const drawn = {
        roofs: a.roofs,
        formats,
        names: new Map(a.devices.map((d) => [d.id, d.name])),
        device: device.querySelector("select")?.value,
        format: kind.querySelector("select")?.value,
        batch: at.get("batch"),
        timed: own.get("timed") ? a.timed : [],
        phase: at.get("phase"),
      };
      drawn.marks = a.marks.filter((m) => m.phase === "prompt" || m.batch === drawn.batch);
      const one = a.marks.find(
        (m) =>
          m.device === drawn.device &&
          m.format === drawn.format &&
          m.phase === drawn.phase &&
          (drawn.phase === "prompt" || m.batch === drawn.batch),
      );
      const roof = a.roofs.find((r) => r.device === one.device),
        flat = peakOf(roof, one.unit),
        most = Math.min(flat, one.intensity * roof.bandwidth),
        does = one.speed.tokens_per_second * one.operations;
      const pick = (m) => {
        at.set({ device: m.device, phase: m.phase });
        own.set({ format: m.format }, { push: true });
      };
      return {
        plot: [
          chart(plot, drawn, one, pick),
          legend(drawn),
          arithmetic(a.multiply[`${one.device}/${one.format}`], one),
        ],
        reading: [
          fact(
            `${one.model} ${one.format}, ${one.phase === "prompt" ? "reading a prompt" : `writing for ${one.batch}`}, tokens/s`,
            value("speed", one.speed.tokens_per_second, band(one.speed)),
          ),
          fact("speed is", value("basis", null, one.speed.basis)),
          fact("operations a byte", value("intensity", one.intensity)),
          fact(
            "limited by",
            value("limit", null, one.intensity * roof.bandwidth < flat ? "memory" : "arithmetic"),
          ),
          fact("of what could be", value("share", does / most, percent(does / most))),
          one.fits
            ? null
            : h(
                "p",
                { class: "note" },
                "It does not fit there: this would be its speed if it did.",
              ),
          roof.assumed
            ? h(
                "p",
                { class: "note" },
                "The peak of this device is not stated: 25 operations a byte are assumed.",
              )
            : null,
        ].filter(Boolean),
        table: [
          [
            "device",
            "format",
            "phase",
            "batch",
            "operations a byte",
            "operations a second",
            "tokens/s",
            "lowest",
            "highest",
            "is",
          ],
          [
            ...drawn.marks.map((m) => [
              drawn.names.get(m.device),
              m.format,
              m.phase,
              m.batch,
              m.intensity,
              m.speed.tokens_per_second * m.operations,
              m.speed.tokens_per_second,
              m.speed.low,
              m.speed.high,
              m.speed.basis,
            ]),
            ...drawn.timed.map((t) => [
              "this machine",
              t.model,
              t.phase,
              t.batch,
              t.intensity,
              t.tokens_per_second * t.operations,
              t.tokens_per_second,
              t.low,
              t.high,
              "measured",
            ]),
          ],
        ],
      };
    },
  );
  ask.hear(() => show());
}

function refill(control, options, x) {
  const menu = control.querySelector("select"),
    key = JSON.stringify(options);
  if (menu.dataset.key !== key)
    menu.replaceChildren(...options.map(([id, name]) => h("option", { value: id }, name)));
  menu.dataset.key = key;
  menu.value = options.some(([id]) => id === x) ? x : options[0][0];
}

/** The arithmetic that each runtime uses on the device, by phase. */
function arithmetic(found, one) {
  const kinds = found.native.join(", ");
  return h(
    "div",
    { class: "arithmetic" },
    h("p", { class: "sub" }, `What ${found.device} multiplies for ${found.format}`),
    h(
      "p",
      { class: "note" },
      `${found.family} multiplies ${kinds} natively. A code is ${found.kind} of ${found.bits} bits, ${format(
        found.codes_per_byte,
        3,
      )} to a byte; ${
        found.becomes === found.kind
          ? "the device multiplies it as it is"
          : `at least ${found.becomes} is what the device needs`
      }. ${found.note}`,
    ),
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "group", "aria-label": "What runtimes do" },
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            COLUMNS.map((name) => h("th", { scope: "col" }, name)),
          ),
        ),
        h(
          "tbody",
          {},
          found.ways.map((way) =>
            h(
              "tr",
              { class: way.phase === one.phase ? "chosen" : "" },
              [
                way.runtime,
                way.phase === "prompt" ? "prompt" : "writing",
                way.unit ? `${way.unit}${way.native ? "" : ", not natively"}` : "cannot",
                way.activations,
                h(
                  "ol",
                  {},
                  way.steps.map((step) => h("li", {}, step)),
                ),
                way.source,
              ].map((cell, i) => h("td", { "data-label": COLUMNS[i] }, cell)),
            ),
          ),
        ),
      ),
    ),
  );
}
