// Shared state of the figures over many steps: the quant, greedy or sampled, and the steps.

import { choice, select } from "../../lib/controls.js";
import { h, s } from "../../lib/dom.js";
import { format, percent } from "../../lib/format.js";
import { roving } from "../../lib/marks.js";

/** A menu of quants ({id, label}) that all figures of the page share; hidden for a single quant. */
export function quantPicker(list, state, onChange) {
  const at = state.scope("", { quant: list[0].id }, onChange);
  const control = select({
    label: "Quant",
    name: "quant",
    options: list.map((one) => [one.id, one.label]),
    onChange: (id) => at.set({ quant: id }, { push: true }),
  });
  const current = () => list.find((one) => one.id === at.get("quant")) ?? list[0];
  control.hidden = list.length < 2;
  return { control, current, sync: () => control.set(current().id) };
}

const WAYS = { greedy: "the best one", sampled: "sampled, same noise" };

/** The choice between greedy and sampled text, shared by the page; `of(one)` is this run's part of it. */
export function wayPicker(list, state, onChange) {
  const ways = Object.keys(WAYS).filter((way) => list.some((one) => one.ways[way]));
  const at = state.scope("", { way: ways[0] }, onChange);
  const control = choice({
    label: "Each token is",
    name: "way",
    options: ways.map((way) => [way, WAYS[way]]),
    onChange: (way) => at.set({ way }, { push: true }),
  });
  const of = (one) => (one.ways[at.get("way")] ? at.get("way") : Object.keys(one.ways)[0]);
  control.hidden = ways.length < 2;
  return { control, of, sync: (one) => control.set(of(one)) };
}

/** Set the options of a menu, [value, text], and the selected one. */
export function fill(control, options, now) {
  control
    .querySelector("select")
    .replaceChildren(...options.map(([id, text]) => h("option", { value: id }, text)));
  if (now !== undefined) control.set(now);
}

/** A fraction with its interval, as text. */
export function spread(one, told = (x) => percent(x, 0)) {
  if (one === null || one === undefined || one.mean === null) return "–";
  return one.low === null
    ? told(one.mean)
    : `${told(one.mean)} (${told(one.low)} … ${told(one.high)})`;
}

/** A p-value as text. */
export function chance(p) {
  return p < 0.0001 ? "p < 0.0001" : `p ${format(p, 2)}`;
}

/** An interval as a vertical line from `high` to `low`, with end caps. */
export function whisker(x, low, high) {
  return s("path", {
    class: "whisker",
    d: `M${x - 4} ${high}h8M${x - 4} ${low}h8M${x} ${high}V${low}`,
  });
}

/** Marks that arrow keys move along; the mark in focus is the selected one. */
export function walkable(image, marks, start, pick) {
  image.append(...marks);
  roving(marks, { start, onFocus: (i) => i !== start && pick(i) });
  return image;
}
