// The predicted loss of a recipe: the button that computes it, its progress, and its figures.

import { button } from "../lib/controls.js";
import { announce, h, setChildren } from "../lib/dom.js";
import { format, percent } from "../lib/format.js";
import { tell } from "../lib/server.js";
import { fact, value } from "../lib/table.js";

/**
 * `facts` and `element` draw what is known of the answer's loss; `ready` is called when losses are.
 * @param {string} id of the model
 * @param {() => void} ready
 */
export function prediction(id, ready) {
  /** @type {AbortController | null} */
  let running = null;
  const told = h("span", { class: "note", role: "status" });
  const start = button("Predict the losses", "predict", () => run());
  const stop = button("Cancel", "cancel", () => running?.abort());
  stop.hidden = true;
  const box = h("div", { class: "control buttons full" }, start, stop, told);

  async function run() {
    running = new AbortController();
    start.disabled = true;
    stop.hidden = false;
    /** @type {any} */
    let last = null;
    setChildren(told, "Loading the model");
    try {
      await tell(
        `/api/models/${id}/recipe/predict`,
        {},
        (record) => {
          last = record;
          if (record.waiting) setChildren(told, "Waiting for another request");
          if (record.total)
            setChildren(told, `${record.step}: ${percent(record.done / record.total, 0)}`);
        },
        running.signal,
      );
      setChildren(told, last?.predicted ? "" : "Cancelled.");
      if (last?.predicted) {
        announce("The losses have been predicted.");
        ready();
      }
    } catch (error) {
      setChildren(told, h("span", { class: "problem" }, error.message));
    }
    running = null;
    start.disabled = false;
    stop.hidden = true;
  }

  return {
    /** @param {any} answer */
    facts(answer) {
      if (answer.predicted === undefined) return [];
      return [
        fact(
          "predicted KL",
          value("predicted", answer.predicted, `${format(answer.predicted, 3)} nats`),
        ),
        fact(
          "its standard error",
          value("error", answer.standard_error, format(answer.standard_error, 2)),
        ),
      ];
    },
    /** @param {any} answer */
    element(answer) {
      return answer.predicted === undefined ? box : null;
    },
  };
}
