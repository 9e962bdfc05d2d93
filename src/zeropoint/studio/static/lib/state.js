// State of a page, stored in its address: #section&key=value&key=value.
//
// A link restores the view: everyone who opens it sees the same. Values that equal their default are left
// out. Dragging replaces the address, a finished choice adds to the history, so that Back works.

/** @type {Map<string, string>} */
const values = new Map();
/** @type {[Set<string>, () => void][]} the keys that each listener reads */
const listeners = [];
let section = "";

function read() {
  values.clear();
  const [first, ...rest] = location.hash.slice(1).split("&");
  section = first.includes("=") ? "" : first;
  for (const part of first.includes("=") ? [first, ...rest] : rest) {
    const at = part.indexOf("=");
    if (at > 0) values.set(decode(part.slice(0, at)), decode(part.slice(at + 1)));
  }
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a truncated address: use the text without decoding it
  }
}

/** @param {boolean} push add to the history, so that Back works */
function write(push) {
  const parts = section ? [section] : [];
  for (const [key, value] of values) {
    parts.push(`${encodeURIComponent(key)}=${encodeURIComponent(value).replaceAll("%2C", ",")}`);
  }
  const address = parts.length ? `#${parts.join("&")}` : location.pathname + location.search;
  try {
    history[push ? "pushState" : "replaceState"](null, "", address);
  } catch {
    // Some browsers limit how often a page may do this, or forbid it for local files. Then only the link
    // is out of date.
  }
}

function changed() {
  const before = new Map(values);
  read();
  if (!values.size && before.size && section) {
    // A link inside the page was followed: the section changes, the rest of the state does not.
    for (const [key, value] of before) values.set(key, value);
    write(false);
    return;
  }
  notify(
    [...new Set([...before.keys(), ...values.keys()])].filter(
      (key) => before.get(key) !== values.get(key),
    ),
  );
}

/**
 * Call the listeners that read one of these keys.
 * @param {string[]} keys
 */
function notify(keys) {
  const called = new Set();
  for (const [own, listener] of listeners) {
    if (!called.has(listener) && keys.some((key) => own.has(key))) {
      called.add(listener);
      listener();
    }
  }
}

read();
addEventListener("hashchange", changed);
addEventListener("popstate", changed);

/** The section in the address, or "". */
export function currentSection() {
  return section;
}

/**
 * The part of the state that one visual owns: `defaults` defines its keys and their types (number,
 * string, boolean, or an array of numbers). `onChange` runs after every change of one of them.
 * @param {string} name
 * @param {Record<string, StateValue>} defaults
 * @param {() => void} onChange
 * @returns {StateScope}
 */
export function scope(name, defaults, onChange) {
  const full = (/** @type {string} */ key) => (name ? `${name}.${key}` : key);
  listeners.push([new Set(Object.keys(defaults).map(full)), onChange]);
  return {
    get(key) {
      const text = values.get(full(key));
      const usual = defaults[key];
      if (text === undefined) return usual;
      if (Array.isArray(usual)) {
        const numbers = text
          .split(",")
          .filter((part) => part !== "")
          .map(Number);
        return numbers.every(Number.isFinite) && numbers.length ? numbers : usual;
      }
      if (typeof usual === "number") {
        return text !== "" && Number.isFinite(Number(text)) ? Number(text) : usual;
      }
      return typeof usual === "boolean" ? text === "1" : text;
    },
    set(changes, { push = false } = {}) {
      const changed = [];
      for (const [key, value] of Object.entries(changes)) {
        const text = asText(value),
          before = values.get(full(key));
        if (text === asText(defaults[key])) values.delete(full(key));
        else values.set(full(key), text);
        if (values.get(full(key)) !== before) changed.push(full(key));
      }
      write(push);
      notify(changed);
    },
  };
}

/** @param {StateValue} value */
function asText(value) {
  if (Array.isArray(value)) return value.join(",");
  return typeof value === "boolean" ? (value ? "1" : "") : String(value);
}
