// The marks of a picture: keyboard navigation, dragging, and fast drawing of thousands of marks.

import { s } from "./dom.js";

/**
 * A dense picture that is drawn once for each key; later only the chosen mark changes. With 10,000 marks,
 * drawing takes about a second and changing the chosen mark about a millisecond.
 * @template {Element} E
 * @param {(...rest: any[]) => { element: E, mark: (chosen: any) => void }} make
 * @returns {(key: unknown, chosen: any, ...rest: any[]) => E}
 */
export function drawnOnce(make) {
  /** @type {{ key: unknown, element: E, mark: (chosen: any) => void } | null} */
  let known = null;
  return (key, chosen, ...rest) => {
    const current = known !== null && known.key === key ? known : { key, ...make(...rest) };
    known = current;
    current.mark(chosen);
    return current.element;
  };
}

const MAX_MARK_ELEMENTS = 2000; // more marks are drawn as a few paths

/**
 * Whether there are too many marks to give each its own element: see `dense`.
 * @param {number} count
 */
export function isDense(count) {
  return count > MAX_MARK_ELEMENTS;
}

/**
 * Many rectangles as a few paths, one for each class, with one tab stop that moves over them:
 * elements cost time at every change, paths only when they are drawn. `pick(i)` is called by
 * pointer and keys; `onKey(i, event)` may return another box that a key leads to.
 * @param {SVGSVGElement} image
 * @param {Box[]} boxes
 * @param {{ pick: (i: number) => void,
 *   onKey?: (i: number, event: KeyboardEvent) => number | undefined }} listeners
 * @returns {(i: number) => void} marks a box
 */
export function dense(image, boxes, { pick, onKey = () => undefined }) {
  /** @type {Map<string, string[]>} */
  const paths = new Map();
  for (const { x, y, width, height, class: kind } of boxes) {
    const parts = paths.get(kind) ?? [];
    parts.push(`M${x.toFixed(2)} ${y}h${width.toFixed(2)}v${height}h${(-width).toFixed(2)}z`);
    paths.set(kind, parts);
  }
  const drawn = [...paths].map(([kind, parts]) => s("path", { class: kind, d: parts.join("") }));
  const title = s("title"),
    stop = s("rect", { class: "frame stop", role: "button", tabindex: "0", rx: 2 });
  image.setAttribute("role", "group");
  image.append(title, ...drawn, stop);
  let now = 0;
  const under = (/** @type {MouseEvent} */ event) => {
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
    const to = step(event.key, now, boxes.length) ?? onKey(now, event);
    if (to === undefined) return;
    event.preventDefault();
    pick(Math.min(Math.max(to, 0), boxes.length - 1));
  });
  return (i) => {
    const box = boxes[i];
    if (!box) return;
    now = i;
    for (const [name, value] of Object.entries({
      x: box.x - 1,
      y: box.y - 2,
      width: Math.max(box.width + 2, 3),
      height: box.height + 4,
      "aria-label": box.told,
      "data-mark": box.name,
    })) {
      stop.setAttribute(name, String(value));
    }
  };
}

/**
 * The mark that a key leads to from mark i of `count`, or undefined for another key.
 * @param {string} key
 * @param {number} i
 * @param {number} count
 * @param {boolean} [rows] up and down also move
 */
function step(key, i, count, rows = false) {
  if (key === "ArrowRight" || (rows && key === "ArrowDown")) return i + 1;
  if (key === "ArrowLeft" || (rows && key === "ArrowUp")) return i - 1;
  if (key === "Home") return 0;
  return key === "End" ? count - 1 : undefined;
}

/**
 * One tab stop for many marks: arrows move along them (also up and down with `rows`), Home and End
 * to the ends; Enter and space press.
 * @param {(HTMLElement | SVGElement)[]} marks
 * @param {{ onFocus?: (i: number) => void, onKey?: (i: number, event: KeyboardEvent) => boolean,
 *   onPress?: ((i: number) => void) | null, start?: number, rows?: boolean }} [options]
 */
export function roving(
  marks,
  { onFocus = () => {}, onKey = () => false, onPress = null, start = 0, rows = false } = {},
) {
  // nothing in an image can be pressed
  if (marks[0] instanceof SVGElement) marks[0].ownerSVGElement?.setAttribute("role", "group");
  let stop = marks[start];
  marks.forEach((mark, i) => {
    mark.setAttribute("tabindex", i === start ? "0" : "-1");
    mark.addEventListener("focus", () => {
      stop?.setAttribute("tabindex", "-1");
      stop = mark;
      mark.setAttribute("tabindex", "0");
      onFocus(i);
    });
    mark.addEventListener("keydown", (/** @type {any} */ event) => {
      const pressed = onPress && (event.key === "Enter" || event.key === " ");
      if (pressed) onPress(i);
      if (pressed || onKey(i, event)) {
        event.preventDefault();
        return;
      }
      const to = step(event.key, i, marks.length, rows);
      if (to === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      marks[Math.min(Math.max(to, 0), marks.length - 1)]?.focus();
    });
  });
}

/**
 * Let a mark be dragged: `move(x, y)` in the picture's coordinates, `done()` at the end.
 * @param {SVGGraphicsElement} mark
 * @param {(x: number, y: number) => void} move
 * @param {() => void} [done]
 */
export function draggable(mark, move, done = () => {}) {
  mark.addEventListener("pointerdown", (down) => {
    const picture = mark.ownerSVGElement;
    if (!picture) return;
    const plot = picture.parentElement;
    down.preventDefault();
    mark.focus?.();
    const place = (/** @type {PointerEvent} */ event) => {
      const current = plot?.querySelector("svg") ?? picture; // the picture may have been drawn again
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
