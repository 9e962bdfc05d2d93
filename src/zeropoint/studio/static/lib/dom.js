// Elements of a page. Text is inserted as text only, never as HTML, because names and metadata come
// from untrusted files.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An HTML element: h("p", {class: "note", onclick: f}, "text", child, …).
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Properties} [properties]
 * @param {Child[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/**
 * An SVG element, with the arguments of `h`.
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Properties} [properties]
 * @param {Child[]} children
 * @returns {SVGElementTagNameMap[Tag]}
 */
export function s(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

/**
 * @template {Element} E
 * @param {E} element
 * @param {Properties} properties
 * @param {Child[]} children
 */
function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name === "value" && "value" in element && element.tagName !== "DATA") {
      element.value = value;
    } else if (name === "checked" && "checked" in element) element.checked = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...flattened(children));
  return element;
}

/**
 * Replace the children of an element.
 * @param {Element} element
 * @param {Child[]} children
 */
export function setChildren(element, ...children) {
  element.replaceChildren(...flattened(children));
}

/**
 * Flatten nested lists of nodes and texts, and drop the empty ones.
 * @param {Child[]} children
 * @returns {(Node | string)[]}
 */
function flattened(children) {
  return children.flatMap((child) => {
    if (Array.isArray(child)) return flattened(child);
    if (child === null || child === undefined) return [];
    return [child instanceof Node ? child : String(child)];
  });
}

/**
 * An <svg> with a description for screen readers.
 * @param {number} width
 * @param {number} height
 * @param {string} title
 * @param {Child[]} children
 */
export function picture(width, height, title, ...children) {
  return s(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": title },
    ...children,
  );
}

/**
 * The width of a figure's drawing in pixels: the available width, but at least 300 and at most `max`.
 * @param {Element} element
 * @param {number} [max]
 */
export function widthOf(element, max = 980) {
  return Math.round(Math.max(300, Math.min(max, element.clientWidth || max)));
}

/** @type {HTMLElement | null} */
let liveRegion = null;
let pending = 0;

/**
 * Announce a text to screen readers; a later text replaces one that has not been announced yet.
 * @param {string} text
 */
export function announce(text) {
  liveRegion ??= document.body.appendChild(h("div", { class: "unseen", "aria-live": "polite" }));
  const region = liveRegion;
  clearTimeout(pending);
  pending = setTimeout(() => {
    region.textContent = text;
  }, 150);
}
