// The controls of figures. Each is an element with `set(x)`, which shows a value and calls no
// listener.

import { h } from "./dom.js";
import { isDense } from "./marks.js";

let serial = 0;

const newId = () => `c${++serial}`;

/**
 * Add the method `set`, which shows a value, to an element.
 * @template {HTMLElement} E
 * @template T
 * @param {E} element
 * @param {(x: T) => void} set
 * @returns {Control<T, E>}
 */
export const withSet = (element, set) => Object.assign(element, { set });

/**
 * One control that consists of a slider and a number box. `toSlider` and `fromSlider` convert to and from
 * the slider's own scale; `limit` changes the maximum.
 * @param {{ label: string, min: number, max: number, step?: number, name: string,
 *   onInput: (x: number) => void, onDone?: () => void, toSlider?: (x: number) => number,
 *   fromSlider?: (x: number) => number, sliderStep?: number }} options
 * @returns {Control<number> & { limit: (max: number) => void }}
 */
export function range({
  label,
  min,
  max,
  step,
  name,
  onInput,
  onDone = () => {},
  toSlider = (x) => x,
  fromSlider = (x) => x,
  sliderStep = step,
}) {
  const id = newId();
  const box = h("input", {
    type: "number",
    id,
    min,
    max,
    step: "any",
    inputmode: "decimal",
    "data-control": name,
  });
  const slider = h("input", {
    type: "range",
    min: toSlider(min),
    max: toSlider(max),
    step: sliderStep,
    "aria-label": `${label}, slider`,
  });
  const currentMax = () => Number(box.max);
  const report = (/** @type {number} */ x) => {
    if (Number.isFinite(x)) onInput(Math.min(Math.max(x, min), currentMax()));
  };
  slider.addEventListener("input", () => report(fromSlider(Number(slider.value))));
  slider.addEventListener("change", () => onDone());
  box.addEventListener("change", () => {
    if (box.value !== "") report(Number(box.value));
    onDone();
  });
  const element = h("div", { class: "control range" }, h("label", { for: id }, label), slider, box);
  const set = (/** @type {number} */ x) => {
    slider.value = String(toSlider(x));
    if (document.activeElement !== box || Number(box.value) !== x) {
      box.value = String(Number(x.toPrecision(9)));
    }
    const [low, high] = [toSlider(min), toSlider(currentMax())];
    slider.style.setProperty("--part", `${(100 * (toSlider(x) - low)) / (high - low)}%`);
  };
  const limit = (/** @type {number} */ to) => {
    box.max = String(to);
    slider.max = String(toSlider(to));
  };
  return Object.assign(element, { set, limit });
}

/**
 * All options of a menu, without their groups.
 * @param {MenuOption[]} options
 * @returns {[string, string][]}
 */
function ungrouped(options) {
  return options.flatMap(([first, second]) =>
    (Array.isArray(second) ? second : [[first, second]]).map(asOption),
  );
}

/**
 * @param {readonly unknown[]} option
 * @returns {[string, string]}
 */
const asOption = ([value, text]) => [String(value), String(text)];

/**
 * A menu, or a text box that completes names if there are thousands of options.
 * @param {{ label: string, options: MenuOption[], name: string, onChange: (x: string) => void }} menu
 * @returns {Control<string | number>}
 */
export function select({ label, options, name, onChange }) {
  const all = ungrouped(options);
  if (isDense(all.length)) {
    return completingBox({ label, values: all.map(([value]) => value), name, onChange });
  }
  const id = newId();
  const option = (/** @type {[string, string]} */ [value, text]) => h("option", { value }, text);
  const menu = h(
    "select",
    { id, "data-control": name, onchange: () => onChange(menu.value) },
    options.map(([first, second]) =>
      Array.isArray(second)
        ? h("optgroup", { label: String(first) }, second.map(asOption).map(option))
        : option(asOption([first, second])),
    ),
  );
  return withSet(h("div", { class: "control" }, h("label", { for: id }, label), menu), (x) => {
    menu.value = String(x);
  });
}

/**
 * A text box for one of many names. (A menu of 10,000 names takes 0.2 seconds to open.)
 * @param {{ label: string, values: string[], name: string, onChange: (x: string) => void }} box
 * @returns {Control<string | number>}
 */
function completingBox({ label, values, name, onChange }) {
  const id = newId();
  const known = new Set(values);
  const box = h("input", {
    type: "text",
    id,
    list: `${id}-list`,
    "data-control": name,
    spellcheck: "false",
    autocomplete: "off",
  });
  box.addEventListener("change", () => {
    box.setAttribute("aria-invalid", String(!known.has(box.value)));
    if (known.has(box.value)) onChange(box.value);
  });
  const element = h(
    "div",
    { class: "control wide" },
    h("label", { for: id }, label),
    box,
    h(
      "datalist",
      { id: `${id}-list` },
      values.map((value) => h("option", { value })),
    ),
  );
  return withSet(element, (x) => {
    box.value = String(x);
    box.removeAttribute("aria-invalid");
  });
}

/**
 * The items of a comma-separated list.
 * @param {string} text
 */
export const listed = (text) =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter(Boolean);

/**
 * A choice of several items: a menu that adds one, and a button per item that removes it. `now()` and
 * `onChange` use comma-separated texts.
 * @param {{ label: string, options: MenuOption[], name: string, now: () => string,
 *   onChange: (x: string) => void }} list
 * @returns {Control<string>}
 */
export function several({ label, name, options, now, onChange }) {
  const names = new Map(ungrouped(options));
  const chosen = h("span", { class: "chosen-list" });
  const change = (/** @type {string[]} */ list) => onChange(list.join(","));
  const menu = select({
    label,
    name,
    options: [["", "add …"], ...options],
    onChange: (id) => {
      element.set(now());
      const list = listed(now());
      if (id && !list.includes(id)) change([...list, id]);
    },
  });
  menu.append(chosen);
  const chooseOption = menu.set;
  const remover = (/** @type {string} */ id, /** @type {string[]} */ list) =>
    h(
      "button",
      {
        type: "button",
        "data-control": `${name}-${id}`,
        "aria-label": `leave out ${names.get(id) ?? id}`,
        onclick: () => {
          change(list.filter((other) => other !== id));
          menu.querySelector("select")?.focus();
        },
      },
      names.get(id) ?? id,
      h("span", { "aria-hidden": "true" }, " ×"),
    );
  menu.hidden = options.length === 0;
  const element = withSet(/** @type {HTMLElement} */ (menu), (/** @type {string} */ text) => {
    chooseOption("");
    const list = listed(text);
    chosen.replaceChildren(...list.map((id) => remover(id, list)));
  });
  return element;
}

/**
 * A few radio buttons side by side.
 * @param {{ label: string, options: readonly (readonly any[])[], name: string, onChange: (x: any) => void }} choices
 * @returns {Control<string | number>}
 */
export function choice({ label, options, name, onChange }) {
  const id = newId();
  const buttons = options.map(([value, text]) => ({
    value,
    text,
    input: h("input", {
      type: "radio",
      name: id,
      value,
      id: `${id}-${value}`,
      "data-control": `${name}=${value}`,
      onchange: () => onChange(value),
    }),
  }));
  const element = h(
    "fieldset",
    { class: "control choice" },
    h("legend", {}, label),
    h(
      "span",
      { class: "segments" },
      buttons.map(({ value, text, input }) => [input, h("label", { for: `${id}-${value}` }, text)]),
    ),
  );
  return withSet(element, (x) => {
    for (const { value, input } of buttons) input.checked = String(value) === String(x);
  });
}

/**
 * A switch.
 * @param {{ label: string, name: string, onChange: (on: boolean) => void }} options
 * @returns {Control<boolean>}
 */
export function toggle({ label, name, onChange }) {
  const box = h("input", {
    type: "checkbox",
    "data-control": name,
    onchange: () => onChange(box.checked),
  });
  return withSet(h("label", { class: "control toggle" }, box, label), (x) => {
    box.checked = x;
  });
}

/**
 * A button.
 * @param {Child} label
 * @param {string} name
 * @param {() => void} onClick
 * @param {Properties} [more]
 */
export function button(label, name, onClick, more = {}) {
  return h("button", { type: "button", "data-control": name, onclick: onClick, ...more }, label);
}

/**
 * Controls that are folded away where a page is read, and in sight where it is worked with.
 * @param {HTMLElement[]} controls
 */
export function moreOptions(...controls) {
  if (document.body.classList.contains("tool")) return controls;
  return h(
    "details",
    { class: "more" },
    h("summary", {}, "More options"),
    h("div", { class: "controls" }, controls),
  );
}

/**
 * A text box for numbers, separated by commas or spaces.
 * @param {{ label: string, name: string, onChange: (list: number[]) => void }} options
 * @returns {Control<number[]>}
 */
export function numbers({ label, name, onChange }) {
  const id = newId();
  const box = h("input", {
    type: "text",
    id,
    "data-control": name,
    spellcheck: "false",
    autocomplete: "off",
  });
  box.addEventListener("change", () => {
    const list = box.value
      .replaceAll("−", "-")
      .split(/[\s,;[\]]+/)
      .filter(Boolean)
      .map(Number);
    const valid = list.length > 0 && list.every(Number.isFinite);
    box.setAttribute("aria-invalid", String(!valid));
    if (valid) onChange(list);
  });
  const element = h("div", { class: "control wide" }, h("label", { for: id }, label), box);
  return withSet(element, (list) => {
    box.value = list.map((x) => Number(x.toPrecision(9))).join(", ");
    box.removeAttribute("aria-invalid");
  });
}

/**
 * Update controls from the state, without calling their listeners.
 * @param {[Control<any>, string][]} pairs each control with its key in the state
 * @param {StateScope} state
 */
export function showState(pairs, state) {
  for (const [control, key] of pairs) control.set(state.get(key));
}
