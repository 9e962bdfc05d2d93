// The request of the pages Plan and Speed: its controls, its state in the address, its answer.
//
// All figures of a page share one request. The server answers it with the same Python code that the
// command line runs; nothing is computed again here. An error is shown where the answer would be.

import { choice, listed, range, select, several, toggle, withSet } from "../../lib/controls.js";
import { h } from "../../lib/dom.js";
import { format } from "../../lib/format.js";
import { send } from "../../lib/server.js";

const USUAL = {
  models: "",
  sizes: "",
  config: "",
  devices: "",
  ctx: 4096,
  users: 1,
  keys: "f16",
  values: "f16",
  objective: "loss",
  to: "",
  host: "ddr5-5600-64gb",
  ram: "",
  ssd: 7,
  swa: false,
  model: "",
  device: "",
  batch: 1,
  phase: "generate",
};
const ASKED = [
  "models",
  "sizes",
  "config",
  "devices",
  "ctx",
  "users",
  "keys",
  "values",
  "objective",
  "to",
  "host",
  "ram",
  "ssd",
  "swa",
];
const CACHES = ["f32", "f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"];

/** @type {any} */
let shared = null;

/** The page's request: `at` (its state), controls(), answer, problem, and hear(draw), which adds a listener. */
export function planning(data, state, address) {
  shared ??= start(data, state, address);
  return shared;
}

function start(data, state, address) {
  const usual = {
    ...USUAL,
    models: data.models[0]?.id ?? "",
    sizes: data.models.length ? "" : "8B",
    devices: data.usual.join(","),
  };
  const listeners = [];
  let asked = "",
    waiting = 0,
    turn = 0;
  const own = { answer: null, problem: "", busy: true, hear: (draw) => listeners.push(draw) };
  const words = () => Object.fromEntries(ASKED.map((key) => [key, at.get(key)]));
  const tell = () => listeners.forEach((draw) => draw());
  const at = state.scope("plan", usual, () => {
    if (JSON.stringify(words()) !== asked) later();
    tell();
  });

  function later() {
    own.busy = true;
    clearTimeout(waiting);
    waiting = setTimeout(now, own.answer ? 120 : 0);
  }

  async function now() {
    const w = words(),
      mine = ++turn;
    asked = JSON.stringify(w);
    try {
      const found = await send(address, {
        models: listed(w.models),
        sizes: listed(w.sizes),
        config: w.config,
        ctx: w.ctx,
        users: w.users,
        keys: w.keys,
        values: w.values,
        devices: listed(w.devices),
        objective: w.objective,
        to: listed(w.to),
        host: w.host,
        ram: w.ram,
        ssd: w.ssd,
        full_windows: w.swa,
      });
      if (mine !== turn) return; // a later request is in flight
      Object.assign(own, { answer: found, problem: "" });
    } catch (error) {
      if (mine !== turn) return;
      Object.assign(own, { answer: null, problem: error.message });
    }
    own.busy = false;
    tell();
  }
  own.at = at;
  own.set = (key) => (x) => at.set({ [key]: x }, { push: true });
  own.settled = (figure) => {
    figure.dataset.answer = own.busy ? "asked" : own.problem ? "problem" : "answered";
  };
  now();
  return own;
}

/** The server's error, shown where the answer would be. */
export function problemOf(ask) {
  return ask.problem
    ? h("p", { class: "problem", role: "alert" }, ask.problem)
    : h("p", { class: "note skeleton" }, "Working it out …");
}

/** The controls that both pages have; sync() updates them from the state. */
export function questionControls(data, ask) {
  const { at, set } = ask,
    own = (name) => ({ now: () => at.get(name), onChange: set(name) });
  const models = several({
    label: "Models of this folder",
    name: "models",
    options: data.models.map((m) => [m.id, m.name]),
    ...own("models"),
  });
  const devices = several({
    label: "Devices",
    name: "devices",
    options: grouped(data.devices),
    ...own("devices"),
  });
  const sizes = line("Other sizes: 27B, 30B-A3B, 14B:Q4_K_M", "sizes", ask);
  const to = line("Formats (empty: the usual ones)", "to", ask);
  const config = h("textarea", {
    rows: "3",
    "data-control": "config",
    spellcheck: "false",
    "aria-label": "The text of a config.json",
    placeholder: "{ … } the text of a config.json",
  });
  config.addEventListener("change", () => set("config")(config.value.trim()));
  const ctx = range({
    label: "Context of each user, tokens",
    name: "ctx",
    min: 512,
    max: 2 ** 20,
    toSlider: Math.log2,
    sliderStep: 0.05,
    fromSlider: (x) => Math.round(2 ** x / 256) * 256,
    onInput: (x) => at.set({ ctx: Math.round(x) }),
    onDone: () => at.set({}, { push: true }),
  });
  const users = range({
    label: "Concurrent users",
    name: "users",
    min: 1,
    max: 256,
    toSlider: Math.log2,
    sliderStep: 0.1,
    fromSlider: (x) => Math.round(2 ** x),
    onInput: (x) => at.set({ users: Math.round(x) }),
    onDone: () => at.set({}, { push: true }),
  });
  const cache = (name, label) =>
    select({ label, name, options: CACHES.map((k) => [k, k]), onChange: set(name) });
  const keys = cache("keys", "KV cache, keys"),
    values = cache("values", "KV cache, values");
  const objective = choice({
    label: "Rank by",
    name: "objective",
    options: data.objectives.map((o) => [o, o]),
    onChange: set("objective"),
  });
  const host = select({
    label: "Host for a graphics card that is too small",
    name: "host",
    options: data.devices
      .filter((d) => d.kind === "cpu" && d.id !== "here")
      .map((d) => [d.id, d.name]),
    onChange: set("host"),
  });
  const ssd = range({
    label: "SSD read speed, GB/s",
    name: "ssd",
    min: 0.1,
    max: 30,
    sliderStep: 0.1,
    onInput: (x) => at.set({ ssd: x }),
    onDone: () => at.set({}, { push: true }),
  });
  const ram = line("Memory of the host, if different: 256GiB", "ram", ask);
  const swa = toggle({
    label: "Sliding windows keep all tokens (--swa-full)",
    name: "swa",
    onChange: set("swa"),
  });
  const more = h(
    "details",
    { class: "more" },
    h("summary", {}, "More options"),
    h(
      "div",
      { class: "controls" },
      to,
      host,
      ram,
      ssd,
      swa,
      h(
        "div",
        { class: "control wide" },
        h("span", { class: "note" }, "A model described by its config.json"),
        config,
      ),
    ),
  );
  const named = {
    models,
    devices,
    sizes,
    to,
    ctx,
    users,
    keys,
    values,
    objective,
    host,
    ssd,
    ram,
    swa,
  };
  const shown = {};
  return {
    named,
    more,
    config,
    sync() {
      for (const [key, control] of Object.entries(named)) {
        const x = at.get(key); // an answer that arrives during typing must not replace the typed text
        if (x !== shown[key] || !control.contains(document.activeElement)) control.set(x);
        shown[key] = x;
      }
      if (document.activeElement !== config) config.value = at.get("config");
    },
  };
}

function grouped(devices) {
  const kinds = [
    ["gpu", "Graphics cards"],
    ["unified", "Shared memory"],
    ["cpu", "Processors"],
  ];
  const told = (d) => [d.id, `${d.name}, ${format(d.memory_bytes / 2 ** 30, 3)} GiB`];
  return [
    ["This machine", devices.filter((d) => d.id === "here").map(told)],
    ...kinds.map(([kind, name]) => [
      name,
      devices.filter((d) => d.kind === kind && d.id !== "here").map(told),
    ]),
  ];
}

/** A line of text. */
function line(label, name, ask) {
  const box = h("input", {
    type: "text",
    "data-control": name,
    autocomplete: "off",
    spellcheck: "false",
  });
  box.addEventListener("change", () => ask.set(name)(box.value.trim()));
  const element = h("label", { class: "control wide" }, h("span", { class: "note" }, label), box);
  return withSet(element, (x) => {
    if (document.activeElement !== box) box.value = String(x);
  });
}

/** An estimated speed as text: one number, or its range. */
export function band(found) {
  if (!found) return "–";
  const told = (x) => (x >= 1000 ? Number(x.toPrecision(3)).toLocaleString("en") : format(x, 3));
  return found.high / found.low < 1.12
    ? told(found.tokens_per_second)
    : `${told(found.low)} … ${told(found.high)}`;
}

/** The longest context of a result as text; "all" is the context that the model was trained for. */
export function longest(r) {
  if (!r.longest_context) return "–";
  const all = r.trained_context && r.longest_context >= r.trained_context;
  return all
    ? `all ${r.trained_context.toLocaleString("en")}`
    : r.longest_context.toLocaleString("en");
}
