// The model with one weight set to 0: the text that it generates, and the KL divergence that this causes.

import { button } from "../../lib/controls.js";
import { announce, h } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format, percent } from "../../lib/format.js";
import { ask, tell } from "../../lib/server.js";
import { fact, value } from "../../lib/table.js";
import { tensorPicker } from "./histogram.js";

const PROMPT = "The capital of France is";

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const picker = tensorPicker(data, state, "tensor", () => show());
  const place = state.scope("weights", { row: 0, column: 0 }, () => show());
  const at = state.scope("ablate", { prompt: PROMPT, text: "" }, () => show());
  const done = []; // results, the latest first
  /** @type {AbortController | null} */
  let busy = null;
  let told = "";
  const words = (key, label) => {
    const box = h("textarea", {
      rows: key === "text" ? "3" : "1",
      "data-control": key,
      "aria-label": label,
      placeholder: key === "text" ? "Empty: a little of the built-in text" : "",
    });
    box.addEventListener("change", () =>
      at.set({ [key]: box.value.slice(0, 2000) }, { push: true }),
    );
    return {
      box,
      element: h("div", { class: "control wide" }, h("span", { class: "note" }, label), box),
    };
  };
  const prompt = words("prompt", "Go on with"),
    text = words("text", "Text that the KL is measured on");
  prompt.box.value = at.get("prompt");
  text.box.value = at.get("text");
  const spot = () => {
    const t = picker.current(),
      columns = t.shape.at(-1),
      rowsOf = t.shape.slice(0, -1).reduce((a, n) => a * n, 1);
    const cut = (x, most) => Math.min(Math.max(Math.round(x), 0), most - 1);
    return { t, row: cut(place.get("row"), rowsOf), column: cut(place.get("column"), columns) };
  };
  const run = button("Set this weight to 0", "ablate", () => take()),
    stop = button("Stop", "stop", () => busy?.abort());
  const largest = button("The largest weight of this tensor", "largest", async () => {
    try {
      const seen = await ask(`/api/models/${data.id}/tensors/${picker.current().index}`);
      place.set({ row: seen.row, column: seen.column }, { push: true });
    } catch (error) {
      told = error.message;
      show();
    }
  });

  async function take() {
    if (busy) return;
    const { t, row, column } = spot();
    const own = new AbortController();
    busy = own;
    told = "The model is being loaded, once …";
    show();
    try {
      await tell(
        `/api/models/${data.id}/tensors/${t.index}/ablate`,
        { row, column, prompt: prompt.box.value || PROMPT, text: text.box.value },
        (record) => {
          if (record.kl !== undefined) done.unshift(record);
          told = record.reading
            ? "Reading the text, with the weight and without …"
            : record.waiting
              ? "Another request is being computed …"
              : told;
          show();
        },
        own.signal,
      );
      told = "";
      if (done[0]) announce(`KL ${format(done[0].kl)} nats per token`);
    } catch (error) {
      told = error.message;
    }
    busy = null;
    show();
  }

  const show = figureParts(
    figure,
    [
      picker.control,
      h("div", { class: "control buttons" }, largest, run, stop),
      prompt.element,
      text.element,
    ],
    () => {
      const { t, row, column } = spot(),
        one = done[0];
      picker.sync();
      run.disabled = Boolean(busy) || t.shape.length !== 2;
      stop.disabled = !busy;
      figure.dataset.busy = busy ? "yes" : "no";
      return {
        plot: [
          h(
            "p",
            { class: "note" },
            `Chosen: row ${row}, column ${column} of ${t.name}${
              t.shape.length === 2 ? "" : "; weights of experts are not taken out one by one"
            }.`,
          ),
          told ? h("p", { class: busy ? "note" : "problem" }, told) : null,
          one ? both(one) : null,
        ].filter(Boolean),
        reading: one
          ? [
              fact("weight", value("value", one.value)),
              fact("KL, nats per token", value("kl", one.kl)),
              fact("same most likely token", value("top1", one.top1, percent(one.top1, 2))),
              fact("positions", value("positions", one.positions)),
              h(
                "p",
                { class: "source" },
                `Measured on ${one.tensor}, row ${one.row}, column ${one.column}, set to 0: ` +
                  "KL(model ‖ model without it), as measure does on a file with this weight 0",
              ),
            ]
          : [],
        table: [
          ["tensor", "row", "column", "weight", "KL", "same token"],
          done.map((x) => [x.tensor, x.row, x.column, x.value, x.kl, x.top1]),
        ],
      };
    },
  );
}

function both(one) {
  let same = 0;
  while (same < one.answer.length && one.answer[same] === one.before[same]) same++;
  return h(
    "div",
    { class: "answers" },
    h("div", {}, h("h2", {}, "as it is"), h("b", {}, one.prompt), one.before),
    h(
      "div",
      {},
      h("h2", {}, "without this weight"),
      h("b", {}, one.prompt),
      one.answer.slice(0, same),
      h("mark", {}, one.answer.slice(same)),
    ),
  );
}
