// Data flow of a format on other machines and runtimes: from the stored bytes to the product.

import { lanes } from "../../labs/lanes.js";
import { choice, select } from "../../lib/controls.js";
import { h } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { ask } from "../../lib/server.js";
import { fact, value } from "../../lib/table.js";
import { tensorPicker } from "../loss/histogram.js";

const BITS = { fp4: 4, int4: 4, fp6: 6, fp8: 8, int8: 8, fp16: 16, bf16: 16, fp32: 32, ternary: 2 };
const PHASES = [
  ["generate", "generate text"],
  ["prompt", "read a prompt"],
];

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const found = new Map();
  const get = (address) => {
    if (!found.has(address)) {
      found.set(address, undefined);
      ask(address)
        .catch((error) => error)
        .then((answer) => {
          found.set(address, answer);
          show();
        });
    }
    return found.get(address);
  };
  const picker = tensorPicker(data, state, "tensor", () => show());
  const shared = state.scope("multiply", { format: "" }, () => show());
  const at = state.scope(
    "ways",
    { device: data.machines[0].id, runtime: "llama.cpp", phase: "generate" },
    () => show(),
  );
  const put = (key) => (x) => at.set({ [key]: x }, { push: true });
  const device = select({
    label: "Machine",
    name: "device",
    options: data.machines.map((m) => [m.id, m.name]),
    onChange: put("device"),
  });
  const codes = select({
    label: "Format",
    name: "way-format",
    options: [["", "that of the tensor above"], ...data.formats.map((f) => [f, f])],
    onChange: (x) => shared.set({ format: x }, { push: true }),
  });
  const phase = choice({ label: "To", name: "phase", options: PHASES, onChange: put("phase") });
  const runtimes = h("div", {});
  let offered = "";
  let runtime = choice({ label: "With", name: "runtime", options: [], onChange: () => {} });
  const show = figureParts(figure, [device, codes, phase, runtimes], (plot) => {
    const where = data.machines.some((m) => m.id === at.get("device"))
      ? at.get("device")
      : data.machines[0].id;
    const name = shared.get("format") || picker.current().format;
    device.set(where);
    codes.set(shared.get("format"));
    phase.set(at.get("phase"));
    const all = get(
      `/api/multiply?device=${encodeURIComponent(where)}&format=${encodeURIComponent(name)}`,
    );
    if (!all) return { plot: [h("p", { class: "note" }, "Looking it up …")], table: null };
    if (all instanceof Error)
      return { plot: [h("p", { class: "problem" }, all.message)], table: null };
    const names = [...new Set(all.ways.map((w) => w.runtime))];
    if (offered !== names.join()) {
      offered = names.join();
      runtime = choice({
        label: "With",
        name: "runtime",
        options: names.map((n) => [n, n]),
        onChange: put("runtime"),
      });
      runtimes.replaceChildren(runtime);
    }
    const one = names.includes(at.get("runtime")) ? at.get("runtime") : names[0];
    runtime.set(one ?? "");
    const way = all.ways.find((w) => w.runtime === one && w.phase === at.get("phase"));
    figure.dataset.drawn = `${where} ${name} ${one} ${at.get("phase")}`;
    return {
      plot: way
        ? told(plot, all, way)
        : [h("p", {}, "No runtime that is known here runs this format on this machine.")],
      reading: [
        fact("machine", value("device", null, all.device)),
        fact("multiplies natively", value("native", null, all.native.join(", "))),
        fact("format", value("format", null, all.format)),
        fact("multiplied as", value("unit", null, way?.unit || "–")),
        h(
          "p",
          { class: "source" },
          `${way ? `From ${way.source}. ` : ""}${all.note.replace(/([^.])$/, "$1.")} The same as `,
          h("code", {}, `zeropoint explain multiply --device ${where} --format ${name}`),
        ),
      ],
      table: [
        ["runtime", "phase", "multiplied as", "natively", "activations", "source"],
        all.ways.map((w) => [
          w.runtime,
          w.phase,
          w.unit || "not run",
          w.native ? "yes" : "no",
          w.activations,
          w.source,
        ]),
      ],
    };
  });
}

function told(plot, all, way) {
  if (!way.unit) return [h("p", {}, way.steps.join("; "), ".")];
  const from = all.bits,
    to = BITS[way.unit] ?? 32,
    count = Math.max(Math.floor(64 / to), 2);
  const cells = (bits, kind, text) =>
    Array.from({ length: count }, (_, i) => ({
      text,
      kind,
      name: `number ${i + 1}: ${bits} bits`,
    }));
  return [
    h(
      "p",
      { class: "note" },
      `${count} weights as they are stored, ${from} bit${from > 1 ? "s" : ""} each (scales left out):`,
    ),
    lanes(plot, `${count} codes of ${from} bits`, cells(from, "stored", ""), {
      bits: from,
      start: "w",
    }),
    h(
      "p",
      { class: "note" },
      `and as they are multiplied, ${way.unit}${way.native ? "" : ", which this machine converts further"}:`,
    ),
    lanes(plot, `${count} numbers of ${to} bits`, cells(to, "code", way.unit), {
      bits: to,
      start: "u",
    }),
    h(
      "ol",
      { class: "way" },
      h("li", {}, `Activations: ${way.activations}.`),
      way.steps.map((step) => h("li", {}, `${step}.`)),
    ),
  ];
}
