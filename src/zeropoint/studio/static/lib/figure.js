// The parts of a figure, and when it is drawn: at once near the visible area, otherwise when the browser is idle.

import { h, setChildren } from "./dom.js";
import { moveMarks } from "./motion.js";
import { table } from "./table.js";

/**
 * The content of a figure: controls, plot, numbers and a collapsed table, all filled by `draw`.
 * A table that is the same object as before is not built again. Returns the function that draws
 * again: at once near the visible area, otherwise when the browser is idle.
 * @param {HTMLElement} figure
 * @param {Child[]} controls
 * @param {(plot: HTMLElement) => DrawnFigure} draw
 * @returns {() => void}
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
  /** @type {DrawnFigure["table"]} */
  let rows = null;
  /** @type {DrawnFigure["table"]} */
  let filled = null;
  const fillTable = () => {
    if (!details.open || !rows || rows === filled) return; // a table may have 10,000 rows
    filled = rows;
    inside.replaceChildren(
      table(.../** @type {[string[], Cell[][]]} */ (typeof rows === "function" ? rows() : rows)),
    );
  };
  details.addEventListener("toggle", fillTable);
  const now = () => {
    const drawn = draw(plot);
    keepFocus(plot, drawn.plot);
    setChildren(reading, drawn.reading);
    rows = drawn.table;
    fillTable();
  };
  let width = 0,
    near = true;
  const fit = () => {
    if (figure.clientWidth !== width) {
      width = figure.clientWidth;
      now();
    }
  };
  new ResizeObserver(fit).observe(figure);
  fitting.push(fit);
  new IntersectionObserver(
    ([entry]) => {
      near = entry.isIntersecting;
    },
    { rootMargin: "300px" },
  ).observe(figure);
  return () => (near || figure.contains(document.activeElement) ? now() : later(now));
}

/** Draws a figure again if its width has changed. @type {(() => void)[]} */
const fitting = [];
/** @type {Set<() => void>} */
const waiting = new Set();

/** @type {(run: () => void, options: { timeout: number }) => void} */
const idle = globalThis.requestIdleCallback ?? ((run) => setTimeout(run, 1));

/**
 * Draw when the browser is idle: a figure out of sight does not slow the one in use.
 * @param {() => void} draw
 */
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
  for (const fit of fitting) fit();
  while (waiting.size) drawWaiting();
});

/**
 * Replace the children, and restore the focus to the mark that had it (by data-mark).
 * @param {HTMLElement} parent
 * @param {Element | (Element | null)[]} children
 */
function keepFocus(parent, children) {
  const next = [children].flat().filter((child) => child !== null);
  const mark = parent.contains(document.activeElement) ? focusedMark() : undefined;
  next.forEach((child, i) => {
    // unchanged children stay in place, because their layout is already computed
    const old = parent.childNodes[i];
    if (!old) parent.append(child);
    else if (old !== child) {
      parent.replaceChild(child, old);
      if (old instanceof SVGElement && child instanceof SVGElement) moveMarks(old, child);
    }
  });
  while (parent.childNodes.length > next.length) parent.lastChild?.remove();
  if (mark && focusedMark() !== mark) {
    const again = parent.querySelector(`[data-mark="${CSS.escape(mark)}"]`);
    if (again instanceof HTMLElement || again instanceof SVGElement) again.focus();
  }
}

/** The data-mark of the element that has the focus. */
function focusedMark() {
  return document.activeElement?.getAttribute("data-mark") ?? undefined;
}
