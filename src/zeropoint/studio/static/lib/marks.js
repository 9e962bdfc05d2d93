// The marks of a picture: moving among them by keys, dragging them, drawing very many.

import { s } from "./dom.js";

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
