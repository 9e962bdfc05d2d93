// The parts of a figure, and when it is drawn: at once near the screen, the rest when idle.

import { h } from "./dom.js";
import { table } from "./table.js";

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
