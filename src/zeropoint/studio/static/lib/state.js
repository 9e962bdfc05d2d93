// What a page shows, kept in its address: #section&key=value&key=value.
//
// A link is a session: whoever opens it sees the same. Values that equal their default are left
// out. Dragging replaces the address, a finished choice adds to the history, so that Back works.

const values = new Map();
const listeners = []; // [keys it reads, function]
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

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // an address that somebody cut: read as it stands
  }
}

function write(push) {
  const parts = section ? [section] : [];
  for (const [key, value] of values) {
    parts.push(`${encodeURIComponent(key)}=${encodeURIComponent(value).replaceAll("%2C", ",")}`);
  }
  const address = parts.length ? `#${parts.join("&")}` : location.pathname + location.search;
  try {
    history[push ? "pushState" : "replaceState"](null, "", address);
  } catch {
    // Some browsers limit how often a page may do this, or forbid it on a disk: nothing is lost
    // but the link.
  }
}

function changed() {
  const before = new Map(values);
  read();
  if (!values.size && before.size && section) {
    // A link inside the page was followed: the section is new, what is shown stays.
    for (const [key, value] of before) values.set(key, value);
    write(false);
    return;
  }
  tell(
    [...new Set([...before.keys(), ...values.keys()])].filter(
      (key) => before.get(key) !== values.get(key),
    ),
  );
}

/** Let those draw again that read one of these keys. */
function tell(keys) {
  const told = new Set();
  for (const [own, listener] of listeners) {
    if (!told.has(listener) && keys.some((key) => own.has(key))) {
      told.add(listener);
      listener();
    }
  }
}

read();
addEventListener("hashchange", changed);
addEventListener("popstate", changed);

/** The section that the address names, or "". */
export function currentSection() {
  return section;
}

/**
 * The part of the state that one visual owns: `defaults` says its keys and their types (number,
 * string, boolean, or an array of numbers). `onChange` runs after every change, from wherever.
 */
export function scope(name, defaults, onChange) {
  const full = (key) => (name ? `${name}.${key}` : key);
  listeners.push([new Set(Object.keys(defaults).map(full)), onChange]);
  return {
    get(key) {
      const text = values.get(full(key)),
        usual = defaults[key];
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
      tell(changed);
    },
  };
}

function asText(value) {
  if (Array.isArray(value)) return value.join(",");
  return typeof value === "boolean" ? (value ? "1" : "") : String(value);
}
