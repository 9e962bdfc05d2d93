// What a recipe is for: its text, the command that uses it, and a job that runs that command.

import { button, toggle } from "../lib/controls.js";
import { announce, h, setChildren } from "../lib/dom.js";
import { send } from "../lib/server.js";

/**
 * @param {PageData} data
 * @param {() => any} now the recipe as the server answered
 */
export function outputOf({ draft, id }, now) {
  let requantize = false;
  const text = h("pre", {
      "data-name": "recipe",
      tabindex: "0",
      role: "group",
      "aria-label": "The recipe",
    }),
    command = h("pre", { "data-name": "command" }),
    told = h("p", { class: "note", role: "status" }),
    note = h("p", { class: "note" });
  const name = h("input", {
    type: "text",
    "data-control": "name",
    autocomplete: "off",
    spellcheck: "false",
    value: `${stem(draft.model)}-recipe`,
  });
  name.addEventListener("input", () => fill());
  const anyway = toggle({
    label: "The model is quantized already: do it anyway",
    name: "requantize",
    onChange: (on) => {
      requantize = on;
      fill();
    },
  });
  anyway.hidden = !draft.quantized;
  const start = button("Write the file", "write", () => run());
  const element = h(
    "div",
    { class: "full output" },
    h("h2", { class: "sub" }, "The recipe as a text"),
    text,
    h(
      "div",
      { class: "control buttons" },
      button("Copy the recipe", "copy-recipe", () => copy(text, "The recipe")),
    ),
    h("h2", { class: "sub" }, "The command that writes the file"),
    command,
    note,
    h(
      "div",
      { class: "controls" },
      h("label", { class: "control" }, h("span", { class: "note" }, "Name of the file"), name),
      anyway,
      h(
        "div",
        { class: "control buttons" },
        button("Copy the command", "copy-command", () => copy(command, "The command")),
        start,
      ),
    ),
    told,
  );

  /** Put an element's text on the clipboard. */
  async function copy(from, what) {
    try {
      await navigator.clipboard.writeText(from.textContent ?? "");
      setChildren(told, `${what} is on the clipboard.`);
    } catch {
      setChildren(told, "The browser does not let this page write to the clipboard.");
    }
  }

  async function run() {
    start.disabled = true;
    try {
      const words = {
        verb: "recipe",
        model: id,
        name: name.value,
        recipe: now().recipe,
        requantize,
      };
      const job = await send("/api/jobs/start", words);
      setChildren(
        told,
        `Started as job ${job.id}: `,
        h("a", { href: "/jobs" }, "its progress"),
        ".",
      );
      announce("The command was started.");
    } catch (error) {
      setChildren(told, h("span", { class: "problem" }, error.message));
    }
    start.disabled = false;
  }

  function fill() {
    const answer = now();
    const words = [
      "zeropoint quantize",
      draft.model,
      `${name.value}.gguf`,
      "--to",
      `${name.value}.recipe`,
    ];
    if (answer.importance) words.push("--text builtin");
    if (requantize) words.push("--requantize");
    text.textContent = answer.recipe;
    command.textContent = words.join(" ");
    note.textContent = answer.importance
      ? "Some of these formats need importance, so the command reads a text first. What the file " +
        "records about that text is not in the size above; it is less than 1 KiB."
      : "";
  }
  return {
    element() {
      fill();
      return element;
    },
  };
}

/** The name of a model without folders and without its ending. */
const stem = (/** @type {string} */ path) =>
  (path.split("/").at(-1) ?? "")
    .replace(/\.(gguf|safetensors)$/, "")
    .replace(/[^\w.-]/g, "-")
    .slice(0, 48);
