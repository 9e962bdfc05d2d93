// Marks of a drawing move from where they were, so that the eye can follow them.

const MILLISECONDS = 150;
const MAX_MARKS = 300; // a drawing of more would not be smooth
const PLACES = ["x", "y", "width", "height", "cx", "cy", "r"];

const still = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * Move the rectangles and circles of a new drawing from their places in the old one. Drawings with
 * different marks are replaced at once, and so is everything for readers who want no motion.
 * @param {Element} old
 * @param {Element} next
 */
export function moveMarks(old, next) {
  if (still.matches) return;
  const [before, after] = [old, next].map((drawing) => [
    ...drawing.querySelectorAll("rect, circle"),
  ]);
  if (before.length !== after.length || after.length > MAX_MARKS) return;
  after.forEach((mark, i) => {
    const was = before[i];
    if (mark.tagName !== was.tagName) return;
    const changed = PLACES.filter((name) => was.getAttribute(name) !== mark.getAttribute(name));
    if (!changed.length) return;
    const frame = (/** @type {Element} */ from) =>
      Object.fromEntries(changed.map((name) => [name, `${from.getAttribute(name) ?? 0}px`]));
    mark.animate([frame(was), frame(mark)], { duration: MILLISECONDS, easing: "ease-out" });
  });
}
