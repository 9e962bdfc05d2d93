// What a recipe is for: its text, the command that uses it, and a job that runs that command.

import { button, toggle } from "../lib/controls.js";
import { announce, h, setChildren } from "../lib/dom.js";
import { send } from "../lib/server.js";

/**
 * @param {PageData} data
 * @param {() => any} now the recipe as the server answered
 */
export function outputOf({ draft, id }, now) {
  let requantize = false,
    importance = false;
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
  const first = toggle({
    label: "Read a text first: importance and error feedback lower the loss, and take time",
    name: "importance",
    onChange: (on) => {
      importance = on;
      fill();
    },
  });
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
      first,
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
        importance,
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
    const needed = answer.importance;
    first.hidden = needed;
    if (needed || importance) words.push("--text builtin");
    if (requantize) words.push("--requantize");
    text.textContent = answer.recipe;
    command.textContent = words.join(" ");
    const why = needed
      ? "Some of these formats need importance, so the command reads a text first. "
      : "";
    note.textContent =
      needed || importance
        ? `${why}What the file records about the text is not in the size above: less than 2 KiB.`
        : "The size above is that of this command's file, to the byte. Its loss is larger than " +
          "predicted, because it is encoded without importance.";
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
