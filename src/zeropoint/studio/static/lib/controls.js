// The controls of figures. Each is an element with `set(x)`, which shows a value and calls no
// listener.

import { h } from "./dom.js";
import { isDense } from "./marks.js";

let serial = 0;

/** A slider and a number box that are one control. `steps`: [ofSlider, toSlider] for other scales. */
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
  const id = `c${++serial}`;
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
  const most = () => Number(box.max);
  const hear = (x) => Number.isFinite(x) && onInput(Math.min(Math.max(x, min), most()));
  slider.addEventListener("input", () => hear(fromSlider(Number(slider.value))));
  slider.addEventListener("change", () => onDone());
  box.addEventListener("change", () => {
    if (box.value !== "") hear(Number(box.value));
    onDone();
  });
  const element = h("div", { class: "control range" }, h("label", { for: id }, label), slider, box);
  element.set = (x) => {
    slider.value = toSlider(x);
    if (document.activeElement !== box || Number(box.value) !== x) {
      box.value = Number(x.toPrecision(9));
    }
    const ends = [toSlider(min), toSlider(most())];
    slider.style.setProperty("--part", `${(100 * (toSlider(x) - ends[0])) / (ends[1] - ends[0])}%`);
  };
  element.limit = (to) => {
    box.max = to;
    slider.max = toSlider(to);
  };
  return element;
}

/** A menu. Options are [value, text] or [group, [[value, text], …]]; of thousands, a box that knows their names. */
export function select({ label, options, name, onChange }) {
  const all = options.flatMap(([first, second]) =>
    Array.isArray(second) ? second : [[first, second]],
  );
  if (isDense(all.length))
    return named({ label, values: all.map(([value]) => value), name, onChange });
  const id = `c${++serial}`;
  const option = ([value, text]) => h("option", { value }, text);
  const menu = h(
    "select",
    { id, "data-control": name, onchange: () => onChange(menu.value) },
    options.map(([first, second]) =>
      Array.isArray(second)
        ? h("optgroup", { label: first }, second.map(option))
        : option([first, second]),
    ),
  );
  const element = h("div", { class: "control" }, h("label", { for: id }, label), menu);
  element.set = (x) => {
    menu.value = x;
  };
  return element;
}

/** A box that one of many names is typed into (a menu of ten thousand takes a fifth of a second to turn). */
function named({ label, values, name, onChange }) {
  const id = `c${++serial}`,
    known = new Set(values);
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
  element.set = (x) => {
    box.value = x;
    box.removeAttribute("aria-invalid");
  };
  return element;
}

/** The parts of a list that is written with commas. */
export const listed = (text) =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter(Boolean);

/** Several of a list: a menu that adds, and what was added as buttons that take it away. `now()` and `onChange` use commas. */
export function several({ label, name, options, now, onChange }) {
  const names = new Map(
    options.flatMap(([first, second]) => (Array.isArray(second) ? second : [[first, second]])),
  );
  const chips = h("span", { class: "chosen-list" });
  const change = (list) => onChange(list.join(","));
  const menu = select({
    label,
    name,
    options: [["", "add …"], ...options],
    onChange: (id) => {
      menu.set("");
      const list = listed(now());
      if (id && !list.includes(id)) change([...list, id]);
    },
  });
  menu.append(chips);
  const choose = menu.set;
  menu.set = (text) => {
    choose("");
    const list = listed(text);
    chips.replaceChildren(
      ...list.map((id) =>
        h(
          "button",
          {
            type: "button",
            "data-control": `${name}-${id}`,
            "aria-label": `leave out ${names.get(id) ?? id}`,
            onclick: () => {
              change(list.filter((other) => other !== id));
              menu.querySelector("select").focus();
            },
          },
          names.get(id) ?? id,
          h("span", { "aria-hidden": "true" }, " ×"),
        ),
      ),
    );
  };
  menu.hidden = options.length === 0;
  return menu;
}

/** A few choices side by side. */
export function choice({ label, options, name, onChange }) {
  const id = `c${++serial}`;
  const buttons = options.map(([value, text]) => [
    value,
    h("input", {
      type: "radio",
      name: id,
      value,
      id: `${id}-${value}`,
      "data-control": `${name}=${value}`,
      onchange: () => onChange(value),
    }),
    text,
  ]);
  const element = h(
    "fieldset",
    { class: "control choice" },
    h("legend", {}, label),
    h(
      "span",
      { class: "segments" },
      buttons.map(([value, input, text]) => [input, h("label", { for: `${id}-${value}` }, text)]),
    ),
  );
  element.set = (x) => {
    for (const [value, input] of buttons) input.checked = String(value) === String(x);
  };
  return element;
}

/** A switch. */
export function toggle({ label, name, onChange }) {
  const box = h("input", {
    type: "checkbox",
    "data-control": name,
    onchange: () => onChange(box.checked),
  });
  const element = h("label", { class: "control toggle" }, box, label);
  element.set = (x) => {
    box.checked = x;
  };
  return element;
}

/** A button. */
export function button(label, name, onClick, more = {}) {
  return h("button", { type: "button", "data-control": name, onclick: onClick, ...more }, label);
}

/** A line to type numbers into, separated by commas or spaces. */
export function numbers({ label, name, onChange }) {
  const id = `c${++serial}`;
  const box = h("input", {
    type: "text",
    id,
    "data-control": name,
    spellcheck: "false",
    autocomplete: "off",
  });
  box.addEventListener("change", () => {
    const found = box.value
      .replaceAll("−", "-")
      .split(/[\s,;[\]]+/)
      .filter(Boolean)
      .map(Number);
    const good = found.length > 0 && found.every(Number.isFinite);
    box.setAttribute("aria-invalid", String(!good));
    if (good) onChange(found);
  });
  const element = h("div", { class: "control wide" }, h("label", { for: id }, label), box);
  element.set = (list) => {
    box.value = list.map((x) => Number(x.toPrecision(9))).join(", ");
    box.removeAttribute("aria-invalid");
  };
  return element;
}
