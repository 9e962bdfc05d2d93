// The controls of the dot product: the row and its columns, the activations, and the step.

import { elements, tensorPicker } from "../figures/loss/histogram.js";
import { button, choice, numbers, range, select, showState, withSet } from "../lib/controls.js";
import { announce, h } from "../lib/dom.js";
import { kindOf, STEPS, UNIT } from "./multiply_stages.js";

export function makeControls(data, state, onChange) {
  const picker = tensorPicker(data, state, "tensor", onChange);
  const place = state.scope("weights", { row: 0, column: 0 }, onChange); // shared with the Weights lab
  const at = state.scope(
    "multiply",
    { step: 0, format: "", kind: "token", token: "", seed: 1, text: "The capital of France is" },
    onChange,
  );
  const put = (changes) => at.set(changes, { push: true });
  const box = (label, name, hear) => {
    const made = numbers({ label, name, onChange: ([x]) => hear(Math.round(x)) });
    made.classList.remove("wide");
    return made;
  };
  const row = box("Row", "row", (x) => place.set({ row: x }, { push: true }));
  const column = box("Column", "column", (x) => place.set({ column: x }, { push: true }));
  const unit = range({
    label: "Group of 32 columns",
    min: 0,
    max: 1,
    step: 1,
    name: "unit",
    onInput: (u) => place.set({ column: Math.round(u) * UNIT }),
    onDone: () => place.set({}, { push: true }),
  });
  const codes = select({
    label: "Format",
    name: "format",
    options: [["", "as in the file"], ...data.formats.map((name) => [name, name])],
    onChange: (x) => put({ format: x }),
  });
  const kind = choice({
    label: "Activations",
    name: "kind",
    options: [
      ["token", "a token’s embedding"],
      ["text", "what the model computes"],
      ["seed", "random numbers"],
    ],
    onChange: (x) => put({ kind: x }),
  });
  const words = (key, label, most) => {
    const input = h("input", {
      type: "text",
      "data-control": key,
      "aria-label": label,
      maxlength: most,
      spellcheck: "false",
      placeholder: key === "token" ? "the" : "",
    });
    input.addEventListener("change", () => put({ [key]: input.value }));
    const element = h("div", { class: "control" }, h("span", { class: "note" }, label), input);
    return withSet(element, (x) => {
      if (document.activeElement !== input) input.value = String(x);
    });
  };
  const token = words("token", "Token (or #number)", 256),
    text = words("text", "Text; its last token counts", 2000);
  const seed = box("Seed", "seed", (x) => put({ seed: Math.min(Math.max(x, 0), 2 ** 32 - 1) }));
  /** @type {"integers" | "floats" | null} */
  let steps = null;
  const jumps = h("div", { class: "control" });
  const back = button("← back", "back", () => go(-1)),
    next = button("next step →", "next", () => go(1));
  const go = (by) => {
    const names = STEPS[steps ?? "integers"];
    const to = Math.min(Math.max(Math.round(at.get("step")) + by, 0), names.length - 1);
    put({ step: to });
    announce(`Step ${to + 1}: ${names[to][1]}`);
  };
  let jump = choice({ label: "Step", name: "step", options: [], onChange: () => {} });
  const spot = () => {
    const t = picker.current(),
      columns = t.shape.at(-1),
      rows = elements(t) / columns;
    const cut = (x, most) => Math.min(Math.max(Math.round(x), 0), most - 1);
    return { t, row: cut(place.get("row"), rows), column: cut(place.get("column"), columns) };
  };
  return {
    elements: [
      picker.control,
      kind,
      token,
      text,
      h(
        "details",
        { class: "more" },
        h("summary", {}, "More options"),
        h("div", { class: "controls" }, row, column, unit, codes, seed),
      ),
      h("div", { class: "control buttons full" }, back, next, jumps),
    ],
    spot,
    step: () => at.get("step"),
    pick: (x) => place.set({ column: x }),
    words: ({ row: r, column: c }) => ({
      row: r,
      unit: Math.floor(c / UNIT),
      format: at.get("format"),
      kind: at.get("kind"),
      token: at.get("token"),
      seed: at.get("seed"),
      text: at.get("text") || " ",
    }),
    sync({ t, row: r, column: c }, one) {
      picker.sync();
      row.set([r]);
      column.set([c]);
      unit.limit(Math.ceil(t.shape.at(-1) / UNIT) - 1);
      unit.set(Math.floor(c / UNIT));
      showState(
        [
          [codes, "format"],
          [kind, "kind"],
          [token, "token"],
          [text, "text"],
        ],
        at,
      );
      seed.set([at.get("seed")]);
      for (const [name, control] of Object.entries({ token, text, seed })) {
        control.hidden = at.get("kind") !== name;
      }
      const which = one ? kindOf(one) : (steps ?? "integers");
      if (which !== steps) {
        steps = which;
        jump = choice({
          label: "Step",
          name: "step",
          options: STEPS[which].map(([, name], i) => [i, name]),
          onChange: (x) => put({ step: Number(x) }),
        });
        jumps.replaceChildren(jump);
      }
      const now = Math.min(Math.max(Math.round(at.get("step")), 0), STEPS[which].length - 1);
      jump.set(now);
      back.disabled = now === 0;
      next.disabled = now === STEPS[which].length - 1;
    },
  };
}
