// The few parts that all figures are made of: elements, scales, axes, controls, tables.
//
// Text enters the page as text only (never as HTML): names and metadata come out of files that
// nobody vouches for. A number that is shown keeps its exact value in <data value="…">.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element: h("p", {class: "note", onclick: f}, "text", child, …). */
export function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** An SVG element, likewise. */
export function s(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" && "value" in element && element.tagName !== "DATA") {
      element.value = value;
    } else if (name === "checked") element.checked = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined),
  );
  return element;
}

// Numbers -------------------------------------------------------------------------------------

/** A number for people: so many significant digits, a real minus sign, no trailing zeros. */
export function format(x, digits = 4) {
  if (x === null || x === undefined || Number.isNaN(x)) return "–";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  if (x === 0) return Object.is(x, -0) ? "−0" : "0";
  const size = Math.abs(x);
  let text;
  if (size >= 1e6 || size < 1e-4) {
    const [mantissa, power] = size.toExponential(digits - 1).split("e");
    text = `${trim(mantissa)} × 10${superscript(Number(power))}`;
  } else {
    text = trim(
      size.toPrecision(digits).includes("e") ? String(Math.round(size)) : size.toPrecision(digits),
    );
  }
  return (x < 0 ? "−" : "") + text;
}

function trim(text) {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

function superscript(power) {
  return String(power)
    .replace("-", "⁻")
    .replace(/\d/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]);
}

/** A share as per cent. */
export function percent(x, digits = 1) {
  return x === null || x === undefined ? "–" : `${(100 * x).toFixed(digits)} %`.replace("-", "−");
}

/** Bytes in GiB, MiB or KiB. */
export function inBytes(count) {
  for (const [unit, size] of [
    ["GiB", 2 ** 30],
    ["MiB", 2 ** 20],
    ["KiB", 2 ** 10],
  ]) {
    if (count >= size) return `${format(count / size, 3)} ${unit}`;
  }
  return `${count} bytes`;
}

/** A count for people: 268 M, 1.54 G. */
export function inCount(count) {
  for (const [unit, size] of [
    ["T", 1e12],
    ["G", 1e9],
    ["M", 1e6],
    ["k", 1e3],
  ]) {
    if (count >= size) return `${format(count / size, 3)} ${unit}`;
  }
  return String(count);
}

/** A shown number with its exact value and a name for tests and scripts. */
export function value(name, x, text = format(x)) {
  return h(
    "data",
    { value: x === null ? "" : String(Object.is(x, -0) ? "-0" : x), "data-name": name },
    text,
  );
}

// Scales and axes -------------------------------------------------------------------------------

/** x ↦ pixels, linear; scale.from is the inverse. */
export function linear([d0, d1], [r0, r1]) {
  const scale = (x) => r0 + ((x - d0) / (d1 - d0 || 1)) * (r1 - r0);
  scale.from = (r) => d0 + ((r - r0) / (r1 - r0 || 1)) * (d1 - d0);
  scale.ticks = (n = 5) => ticks(d0, d1, n);
  return scale;
}

/** x ↦ pixels, logarithmic. */
export function logarithmic([d0, d1], range) {
  const inner = linear([Math.log10(d0), Math.log10(d1)], range);
  const scale = (x) => inner(Math.log10(Math.max(x, 1e-300)));
  scale.from = (r) => 10 ** inner.from(r);
  scale.ticks = (n = 6) => {
    const [low, high] = [Math.ceil(Math.log10(d0) - 1e-9), Math.floor(Math.log10(d1) + 1e-9)];
    const step = Math.max(1, Math.ceil((high - low) / n));
    const found = [];
    for (let power = low; power <= high; power += step) found.push(10 ** power);
    if (found.length > 2) return found;
    const finer = [];
    for (let power = low - 1; power <= high; power++) {
      for (const digit of [1, 2, 5]) finer.push(Number((digit * 10 ** power).toPrecision(3)));
    }
    const inside = finer.filter((x) => x >= d0 && x <= d1);
    return inside.length > 1 ? inside : ticks(d0, d1, 4);
  };
  return scale;
}

/** Round numbers between two ends, about n of them. */
export function ticks(low, high, n = 5) {
  if (!(high > low)) return [low];
  const rough = (high - low) / n,
    power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) {
    found.push(Number((k * step).toPrecision(12)));
  }
  return found;
}

/** An axis along the bottom: ticks, numbers, a name. */
export function axisBelow(scale, y, { name = "", n = 5, label = (x) => format(x, 3), x = 0 } = {}) {
  const group = s("g", { class: "axis" });
  for (const tick of scale.ticks(n)) {
    group.append(
      s("line", { x1: scale(tick), x2: scale(tick), y1: y, y2: y + 4 }),
      s("text", { x: scale(tick), y: y + 17, "text-anchor": "middle" }, label(tick)),
    );
  }
  if (name) {
    group.append(s("text", { x, y: y + 34, class: "axis-name", "text-anchor": "end" }, name));
  }
  return group;
}

/** An axis on the left, with faint lines across. */
export function axisLeft(scale, x, x2, { n = 4, label = (v) => format(v, 3) } = {}) {
  const group = s("g", { class: "axis" });
  for (const tick of scale.ticks(n)) {
    group.append(
      s("line", { x1: x, x2, y1: scale(tick), y2: scale(tick), class: "grid" }),
      s("text", { x: x - 6, y: scale(tick) + 4, "text-anchor": "end" }, label(tick)),
    );
  }
  return group;
}

/** How wide a figure may draw: what there is, between 300 and `most`. */
export function widthOf(element, most = 860) {
  return Math.round(Math.max(300, Math.min(most, element.clientWidth || most)));
}

/** An <svg> that says what it shows. */
export function picture(width, height, title, ...children) {
  return s(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": title },
    ...children,
  );
}

// Controls --------------------------------------------------------------------------------------

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

/**
 * A dense picture that is drawn once for each key and then only marked: `make()` returns {element,
 * mark(chosen)}. With ten thousand marks, drawing takes a second and marking a millisecond.
 */
export function drawnOnce(make) {
  let known = null;
  return (key, chosen, ...rest) => {
    if (known?.key !== key) known = { key, ...make(...rest) };
    known.mark(chosen);
    return known.element;
  };
}

const CLICKABLE = 2000; // marks of which each is an element of its own

/** Whether so many marks are too many to be elements: see `dense`. */
export function isDense(count) {
  return count > CLICKABLE;
}

/**
 * Many rectangles as a few paths, one for each class, and one stop for the keyboard that moves over them: elements
 * cost at every change, paths only when they are drawn. `boxes` are {x, y, width, height, class, name, told}; `pick(i)`
 * is called by pointer and keys, `onKey(i, event)` may return where else a key leads. Returns mark(i).
 */
export function dense(image, boxes, { pick, onKey = () => undefined }) {
  const paths = new Map();
  for (const { x, y, width, height, class: kind } of boxes) {
    if (!paths.has(kind)) paths.set(kind, []);
    paths
      .get(kind)
      .push(`M${x.toFixed(2)} ${y}h${width.toFixed(2)}v${height}h${(-width).toFixed(2)}z`);
  }
  const drawn = [...paths].map(([kind, parts]) => s("path", { class: kind, d: parts.join("") }));
  const title = s("title"),
    stop = s("rect", { class: "frame stop", role: "button", tabindex: "0", rx: 2 });
  image.setAttribute("role", "group");
  image.append(title, ...drawn, stop);
  let now = 0;
  const under = (event) => {
    const place = image.getBoundingClientRect(),
      scale = image.viewBox.baseVal.width / (place.width || 1);
    const px = (event.clientX - place.left) * scale,
      py = (event.clientY - place.top) * scale;
    return boxes.findIndex(
      (b) => px >= b.x && px < b.x + Math.max(b.width, 1) && py >= b.y && py < b.y + b.height,
    );
  };
  image.addEventListener("click", (event) => {
    const i = under(event);
    if (i < 0) return;
    pick(i);
    stop.focus({ preventScroll: true });
  });
  image.addEventListener("pointermove", (event) => {
    title.textContent = boxes[under(event)]?.told ?? "";
  });
  stop.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const to =
      { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: boxes.length - 1 }[event.key] ??
      onKey(now, event);
    if (to === undefined) return;
    event.preventDefault();
    pick(Math.min(Math.max(to, 0), boxes.length - 1));
  });
  return (i) => {
    const box = boxes[i];
    if (!box) return;
    now = i;
    for (const [name, at] of [
      ["x", box.x - 1],
      ["y", box.y - 2],
      ["width", Math.max(box.width + 2, 3)],
      ["height", box.height + 4],
      ["aria-label", box.told],
      ["data-mark", box.name],
    ])
      stop.setAttribute(name, at);
  };
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

// Figures ---------------------------------------------------------------------------------------

/**
 * The inside of a figure: controls, plot, reading and, behind it, its table. `draw()` fills them:
 * it returns {plot, reading, table: [columns, rows, caption], or a function that returns it; the very same one
 * as before is not made again};
 * `show()` draws again: at once what is near the screen, the rest when there is time.
 */
export function figureParts(figure, controls, draw) {
  const plot = h("div", { class: "plot" }),
    reading = h("div", { class: "reading" });
  const inside = h("div", {
    class: "scroll",
    tabindex: "0",
    role: "group",
    "aria-label": "Table of the figure's numbers",
  });
  const details = h(
    "details",
    { class: "numbers" },
    h("summary", {}, "The numbers as a table"),
    inside,
  );
  figure.append(h("div", { class: "controls" }, controls), plot, reading, details);
  let rows = null,
    filled = null;
  const fillTable = () => {
    if (!details.open || !rows || rows === filled) return; // the same table stays: it may have ten thousand rows
    filled = rows;
    inside.replaceChildren(table(...(typeof rows === "function" ? rows() : rows)));
  };
  details.addEventListener("toggle", fillTable);
  const now = () => {
    const drawn = draw(plot);
    keepFocus(plot, drawn.plot);
    reading.replaceChildren(...[drawn.reading ?? []].flat());
    rows = drawn.table;
    fillTable();
  };
  let width = 0,
    near = true;
  new ResizeObserver(() => {
    if (figure.clientWidth !== width) {
      width = figure.clientWidth;
      now();
    }
  }).observe(figure);
  new IntersectionObserver(
    ([entry]) => {
      near = entry.isIntersecting;
    },
    { rootMargin: "300px" },
  ).observe(figure);
  return () => (near || figure.contains(document.activeElement) ? now() : later(now));
}

const waiting = new Set();
const idle = globalThis.requestIdleCallback ?? ((run) => setTimeout(run, 1));

/** Draw when there is nothing better to do: a figure that nobody sees does not slow the one in hand. */
function later(draw) {
  if (!waiting.size) idle(drawWaiting, { timeout: 300 });
  waiting.add(draw);
  document.documentElement.dataset.busy = "";
}

function drawWaiting() {
  const [next] = waiting;
  waiting.delete(next);
  next?.();
  if (waiting.size) idle(drawWaiting, { timeout: 300 });
  else delete document.documentElement.dataset.busy;
}

addEventListener("beforeprint", () => {
  while (waiting.size) drawWaiting();
});

/** Put new children in place, and the focus back on the mark that had it (by data-mark). */
function keepFocus(parent, children) {
  const next = [children].flat();
  const mark = parent.contains(document.activeElement) && document.activeElement.dataset?.mark;
  next.forEach((child, i) => {
    // what is the same stays where it is: its layout is known
    const old = parent.childNodes[i];
    if (!old) parent.append(child);
    else if (old !== child) parent.replaceChild(child, old);
  });
  while (parent.childNodes.length > next.length) parent.lastChild.remove();
  if (mark && document.activeElement?.dataset?.mark !== mark) {
    parent.querySelector(`[data-mark="${CSS.escape(mark)}"]`)?.focus();
  }
}

/** A named number under a figure. */
export function fact(name, shown) {
  return h("p", { class: "fact" }, h("span", {}, name), shown);
}

/** A table of columns and rows; numbers are set right and keep their exact value. */
export function table(columns, rows, caption) {
  const cell = (x) =>
    typeof x === "number"
      ? h(
          "td",
          { class: "number" },
          h("data", { value: String(Object.is(x, -0) ? "-0" : x) }, format(x, 6)),
        )
      : h("td", {}, x ?? "–");
  return h(
    "table",
    {},
    caption ? h("caption", {}, caption) : null,
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        columns.map((name) => h("th", { scope: "col" }, name)),
      ),
    ),
    h(
      "tbody",
      {},
      rows.map((row) => h("tr", {}, row.map(cell))),
    ),
  );
}

/**
 * One tab stop for many marks: arrows move along them (also up and down where they are `rows`), Home and End to the ends,
 * Enter and space press.
 */
export function roving(
  marks,
  { onFocus = () => {}, onKey = () => false, onPress = null, start = 0, rows = false } = {},
) {
  marks[0]?.ownerSVGElement?.setAttribute("role", "group"); // an image has nothing to press
  let stop = marks[start];
  marks.forEach((mark, i) => {
    mark.setAttribute("tabindex", i === start ? "0" : "-1");
    mark.addEventListener("focus", () => {
      stop?.setAttribute("tabindex", "-1");
      stop = mark;
      mark.setAttribute("tabindex", "0");
      onFocus(i);
    });
    mark.addEventListener("keydown", (event) => {
      const pressed = onPress && (event.key === "Enter" || event.key === " ");
      if (pressed) onPress(i);
      if (pressed || onKey(i, event)) {
        event.preventDefault();
        return;
      }
      const to = {
        ArrowRight: i + 1,
        ArrowLeft: i - 1,
        Home: 0,
        End: marks.length - 1,
        ...(rows && { ArrowDown: i + 1, ArrowUp: i - 1 }),
      }[event.key];
      if (to === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      marks[Math.min(Math.max(to, 0), marks.length - 1)]?.focus();
    });
  });
}

/** Let a mark be dragged: `move(x, y)` in the picture's coordinates, `done()` at the end. */
export function draggable(mark, move, done = () => {}) {
  mark.addEventListener("pointerdown", (down) => {
    const picture = mark.ownerSVGElement;
    if (!picture) return;
    const plot = picture.parentElement;
    down.preventDefault();
    mark.focus?.();
    const place = (event) => {
      const current = plot.querySelector("svg") ?? picture; // it may have been drawn again
      const box = current.getBoundingClientRect();
      const units = current.viewBox.baseVal.width / (box.width || 1);
      move((event.clientX - box.left) * units, (event.clientY - box.top) * units);
    };
    const end = () => {
      removeEventListener("pointermove", place);
      removeEventListener("pointerup", end);
      removeEventListener("pointercancel", end);
      done();
    };
    addEventListener("pointermove", place);
    addEventListener("pointerup", end);
    addEventListener("pointercancel", end);
  });
}

let live = null,
  pending = 0;

/** Say something to whoever listens to the page; a later message replaces one not yet said. */
export function announce(text) {
  live ??= document.body.appendChild(h("div", { class: "unseen", "aria-live": "polite" }));
  clearTimeout(pending);
  pending = setTimeout(() => {
    live.textContent = text;
  }, 150);
}
