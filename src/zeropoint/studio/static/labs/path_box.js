// The path box of Home: searches the models and runs of the open folder. Nothing typed here is sent.

import { button } from "../lib/controls.js";
import { announce, h } from "../lib/dom.js";

const SHOWN = 8; // matches

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 */
export function mount(figure, data) {
  const box = h("input", {
    type: "text",
    "data-control": "path",
    "aria-label": "Name or path of a model or run",
    placeholder: `${data.root}/…`,
    autocomplete: "off",
    spellcheck: "false",
  });
  const list = h("ul", { class: "matches" });
  const open = () => {
    const [first] = matches(data, box.value);
    if (first && box.value.trim()) location.assign(first.href);
  };
  const form = h("div", { class: "path-box" }, box, button("Open", "open", open));
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter") open();
  });
  box.addEventListener("input", () => show());
  figure.append(form, list);

  function show() {
    const text = box.value.trim(),
      found = text ? matches(data, text) : [];
    list.replaceChildren(
      ...found
        .slice(0, SHOWN)
        .map((one) => h("li", {}, h("a", { href: one.href }, one.name), h("span", {}, one.kind))),
    );
    if (text && !found.length) list.append(h("li", {}, elsewhere(data.root, text)));
    if (text) announce(found.length === 1 ? "1 match" : `${found.length} matches`);
  }
}

/**
 * The entries whose path contains every word of the text, names that begin with it first.
 * @param {PageData} data
 * @param {string} typed
 * @returns {{ kind: string, name: string, href: string }[]}
 */
function matches(data, typed) {
  const text = typed.trim().replace(/^\.\//, ""),
    path = text.startsWith(`${data.root}/`) ? text.slice(data.root.length + 1) : text;
  const words = path.toLowerCase().split(/\s+/).filter(Boolean);
  const found = data.entries.filter((one) =>
    words.every((word) => one.name.toLowerCase().includes(word)),
  );
  const starts = (one) => one.name.toLowerCase().startsWith(words[0] ?? "");
  return [...found.filter(starts), ...found.filter((one) => !starts(one))];
}

/**
 * What to do for a path or a name that is not in the open folder.
 * @param {string} root
 * @param {string} text
 */
function elsewhere(root, text) {
  const isPath = text.startsWith("/") || text.startsWith("~"),
    isHub = /^[\w.-]+\/[\w.-]+$/.test(text);
  if (!isPath && !isHub) return `Nothing in ${root} has this name.`;
  const quoted = /^[\w./~:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
  return h(
    "span",
    {},
    isPath ? `This is not in ${root}. To open it, run ` : "To download and open it, run ",
    h("code", {}, `zeropoint studio ${quoted}`),
    " in a terminal.",
  );
}
