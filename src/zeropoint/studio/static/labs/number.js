// Number lab: one number, bit by bit, in any type; its neighbours to scale; other meanings of the code of −0.
//
// A float consists of sign, exponent and significand. In the other types a code is an index into a table (for
// integers: the integer) whose value is multiplied by a scale: that of the selected piece of a row.

import { FLOATS } from "../codecs/floats.js";
import { button, moreOptions, numbers, range, select, toggle } from "../lib/controls.js";
import { announce, h } from "../lib/dom.js";
import { figureParts } from "../lib/figure.js";
import { format } from "../lib/format.js";
import { fact, value } from "../lib/table.js";
import { piecePicker } from "../lib/tensor_picker.js";
import { bits, codes, formula, line, places, rowsOf } from "./number_drawing.js";
import { floatKind, TABLES, tableKind } from "./number_types.js";

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const picker = piecePicker(data, state, () => show());
  const at = state.scope(
    figure.dataset.scope ?? "number",
    {
      type: figure.dataset.type ?? "F32",
      value: Number(figure.dataset.value ?? NaN),
      code: -1,
      reuse: false,
    },
    () => show(),
  );
  const type = () =>
    TABLES[at.get("type")]
      ? tableKind(at.get("type"), picker.current().values)
      : floatKind(FLOATS[at.get("type")] ?? FLOATS.F32);
  const typed = () => {
    const found = at.get("value");
    return Number.isNaN(found) ? largestOf(picker.current().values) : found;
  };
  const code = () =>
    at.get("code") >= 0 && at.get("code") < 2 ** type().bits
      ? at.get("code")
      : type().encode(typed());
  const setCode = (next, push = true) => {
    const found = type().decode(next);
    at.set({ code: next, value: Number.isFinite(found) ? found : NaN }, { push });
    announce(`${format(found, 7)} in ${type().name}`);
  };
  const setValue = (next, push = false) => at.set({ value: next, code: -1 }, { push });

  const names = (all) => Object.keys(all).map((n) => [n, n.replace("_", " ")]);
  const typeMenu = select({
    label: "Type",
    name: "type",
    options: [
      ["Floats", names(FLOATS)],
      ["With a scale", names(TABLES)],
    ],
    onChange: (next) => at.set({ type: next, value: typed(), code: -1 }, { push: true }),
  });
  const box = numbers({ label: "Number", name: "number", onChange: ([x]) => setValue(x, true) });
  box.classList.remove("wide");
  const slider = range({
    label: "Magnitude, as a power of 2",
    min: -30,
    max: 30,
    step: 0.01,
    name: "magnitude",
    onInput: (x) => setValue(Math.sign(typed() || 1) * 2 ** x),
  });
  const reuse = toggle({
    label: "put −0 to use as ±5",
    name: "reuse",
    onChange: (on) => at.set({ reuse: on }, { push: true }),
  });
  const step = (side) => {
    const next = type().beside(code())[side];
    if (next !== null) setCode(type().encode(next));
  };
  const steps = h(
    "div",
    { class: "control buttons" },
    button("− next below", "below", () => step(0)),
    button("+ next above", "above", () => step(1)),
  );
  const own = button("a weight of the tensor", "reset", () =>
    setValue(largestOf(picker.current().values), true),
  );
  /** @type {HTMLElement[]} */
  const first = figure.dataset.scope === "next" ? [steps] : [typeMenu, reuse];
  const rest = [typeMenu, box, slider, steps, own, picker.control].filter(
    (x) => !first.includes(x),
  );
  const controls = [...first, moreOptions(...rest)];

  const show = figureParts(figure, controls, (plot) => {
    const kind = type(),
      now = code(),
      stored = kind.decode(now);
    const exact = at.get("code") >= 0 ? stored : typed();
    typeMenu.set(kind.name);
    box.set([exact]);
    slider.set(Math.min(Math.max(Math.log2(Math.abs(exact) || 2 ** -30), -30), 30));
    picker.sync();
    reuse.set(at.get("reuse"));
    reuse.hidden = kind.name !== "FP4_E2M1";
    const error = stored - exact;
    const [below, above] = Number.isFinite(stored) ? kind.beside(now) : [null, null];
    const all = kind.name === "FP4_E2M1";
    return {
      plot: [
        bits(kind, now, setCode),
        formula(kind, now, stored),
        line(plot, kind, now, exact),
        all ? codes(picker.current(), at.get("reuse")) : null,
      ].filter(Boolean),
      reading: [
        fact("stored", value("stored", stored, digits(kind, stored))),
        fact("error", value("error", error)),
        fact("next below", value("below", below, format(below, places(kind)))),
        fact("next above", value("above", above, format(above, places(kind)))),
        kind.table
          ? fact("scale", value("scale", kind.scale, format(kind.scale, 6)))
          : fact("step here", value("step", stepAt(kind, now))),
        Math.abs(exact) > kind.max
          ? h(
              "p",
              { class: "note" },
              `${kind.name} ends at ${format(kind.max, 6)}: what is larger is stored as that.`,
            )
          : null,
      ].filter(Boolean),
      table: [["part", "bits", "meaning"], rowsOf(kind, now)],
    };
  });
}

function largestOf(values) {
  return values.reduce((a, x) => (Math.abs(x) > Math.abs(a) ? x : a), 0);
}

function stepAt(kind, code) {
  const magnitude = code % 2 ** (kind.bits - 1);
  const exponent = Math.max(Math.floor(magnitude / 2 ** kind.mantissaBits), 1);
  return 2 ** (exponent - kind.bias - kind.mantissaBits);
}

/** The decimal digits; those that the type always preserves are underlined. */
export function digits(kind, x) {
  if (!Number.isFinite(x) || x === 0) return format(x);
  const promised = Math.floor((kind.mantissaBits + 1) * Math.log10(2) - 1e-9);
  const text = format(x, 12);
  let seen = 0,
    end = 0,
    started = false;
  for (; end < text.length && seen < promised; end++) {
    if (/[1-9]/.test(text[end])) started = true;
    if (/\d/.test(text[end]) && started) seen += 1;
    if (text[end] === " ") break;
  }
  const promisedPart = h(
    "u",
    { title: `${promised} digits are safe in this type` },
    text.slice(0, end),
  );
  return h("span", {}, promisedPart, text.slice(end));
}
