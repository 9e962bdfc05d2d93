// Elements of a page. Text enters as text only, never as HTML: names and metadata come out of
// files that nobody vouches for.

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

/** An <svg> that says what it shows. */
export function picture(width, height, title, ...children) {
  return s(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": title },
    ...children,
  );
}

/** How wide a figure may draw: what there is, between 300 and `most`. */
export function widthOf(element, most = 860) {
  return Math.round(Math.max(300, Math.min(most, element.clientWidth || most)));
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
