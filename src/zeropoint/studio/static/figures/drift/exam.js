// The user's own tasks for both models: accuracy with intervals, flips in both directions, every answer.

import { axisBelow } from "../../lib/axes.js";
import { button, choice, select } from "../../lib/controls.js";
import { h, picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format, inBytes, percent } from "../../lib/format.js";
import { roving } from "../../lib/marks.js";
import { linear } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";
import { source } from "../../lib/tensor_picker.js";
import { bar, NAMES } from "../loss/flips.js";
import { chance, fill, spread } from "./steps.js";

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const runs = data.tasks;
  const at = state.scope("tasks", { run: 0, model: 1, show: "all", task: "" }, () => show());
  const run = select({
    label: "Run",
    name: "run",
    options: runs.map((one, i) => [String(i), one.run]),
    onChange: (i) => at.set({ run: Number(i) }, { push: true }),
  });
  const model = select({
    label: "Beside the first",
    name: "model",
    options: [],
    onChange: (i) => at.set({ model: Number(i) }, { push: true }),
  });
  const shown = choice({
    label: "Tasks",
    name: "show",
    options: [
      ["all", "all"],
      ["lost", "lost"],
      ["won", "won"],
      ["wrong", "wrong in both"],
    ],
    onChange: (x) => at.set({ show: x }, { push: true }),
  });
  const task = select({
    label: "Task",
    name: "task",
    options: [],
    onChange: (id) => at.set({ task: id }, { push: true }),
  });
  const step = (by) => () => {
    const { list, i } = chosen(runs, at);
    if (list.length)
      at.set({ task: list[Math.min(Math.max(i + by, 0), list.length - 1)].id }, { push: true });
  };
  run.hidden = runs.length < 2;
  const show = figureParts(
    figure,
    [
      run,
      model,
      shown,
      task,
      h(
        "div",
        { class: "control buttons" },
        button("← before", "before", step(-1)),
        button("next →", "next", step(1)),
      ),
    ],
    (plot) => {
      const { one, place, found, list, i } = chosen(runs, at),
        first = one.models[0],
        beside = found.beside_first;
      run.set(String(runs.indexOf(one)));
      model.hidden = one.models.length < 3;
      fill(model, one.models.map((m, k) => [String(k), m.name]).slice(1), String(place));
      shown.set(at.get("show"));
      fill(
        task,
        list.map((t) => [t.id, `${t.id}: ${t.prompt.replaceAll("\n", " ").slice(0, 44)}`]),
        list[i]?.id,
      );
      const pair = place > 0;
      return {
        plot: [
          chart(plot, one.models, place, (k) => k > 0 && at.set({ model: k }, { push: true })),
          pair
            ? bar(
                plot,
                Object.keys(NAMES).map((name) => [
                  name,
                  one.tasks.filter((t) => t.outcome[place] === name).length,
                ]),
                one.tasks.length,
              )
            : null,
          list[i]
            ? asked(one, list[i], pair ? [0, place] : [0])
            : h("p", { class: "note" }, "There is no such task."),
        ].filter(Boolean),
        reading: [
          fact(
            `${first.name} right`,
            value("first", first.right, `${first.right} of ${first.tasks}`),
          ),
          pair
            ? fact(
                `${found.name} right`,
                value("right", found.right, `${found.right} of ${found.tasks}`),
              )
            : null,
          pair
            ? fact(
                "lost, won",
                value("lost", beside.lost.length, `${beside.lost.length}, ${beside.won.length}`),
              )
            : null,
          pair
            ? fact(
                "difference",
                value("difference", beside.difference.mean, spread(beside.difference)),
              )
            : null,
          pair ? fact("exact McNemar test", value("p", beside.p, chance(beside.p))) : null,
          fact(
            "tokens per answer",
            value(
              "tokens",
              found.tokens.mean,
              pair
                ? `${format(first.tokens.mean, 3)} → ${format(found.tokens.mean, 3)}`
                : format(found.tokens.mean, 3),
            ),
          ),
          pair ? h("p", { class: "card" }, verdict(beside)) : null,
          source(
            `the run ${one.run}; whiskers are Wilson's 95 % intervals` +
              `${one.left_out ? `; ${one.left_out} tasks are left out of this page` : ""}`,
          ),
        ].filter(Boolean),
        table: () => [
          ["task", "kind", ...one.models.map((m) => m.name)],
          one.tasks.map((t) => [
            t.id,
            t.kind,
            ...t.answers.map((a) => (a.right ? "right" : `wrong: ${a.reason}`)),
          ]),
        ],
      };
    },
  );
}

/** The selection in the page's state: run, model, the listed tasks, and the task that is shown. */
function chosen(runs, at) {
  const one = runs[at.get("run")] ?? runs[0];
  const place =
    one.models.length > 1
      ? Math.min(Math.max(Math.round(at.get("model")), 1), one.models.length - 1)
      : 0;
  const kind = { lost: "lost", won: "won", wrong: "neither" }[at.get("show")];
  const list = one.tasks.filter((t) => !kind || t.outcome[place] === kind);
  return {
    one,
    place,
    found: one.models[place],
    list,
    i: Math.max(
      list.findIndex((t) => t.id === at.get("task")),
      0,
    ),
  };
}

function verdict({ difference, lost, won, p }) {
  if (lost.length + won.length === 0) return "Every task has the same outcome.";
  return p < 0.05
    ? `Shown to answer ${difference.mean < 0 ? "fewer" : "more"} tasks rightly.`
    : "No significant difference on these tasks: this many flips can happen by chance.";
}

/** Accuracy of each model with its interval. */
function chart(plot, models, chosen, pick) {
  const width = widthOf(plot),
    left = Math.min(200, width / 2.4),
    step = 34,
    bottom = models.length * step + 8,
    right = width - 70;
  const x = linear([0, 1], [left, right]);
  const image = picture(
    width,
    bottom + 40,
    "Share of tasks answered rightly, by model",
    axisBelow(x, bottom, {
      n: width > 500 ? 5 : 2,
      name: "answered rightly",
      x: right,
      label: (v) => percent(v, 0),
    }),
  );
  const marks = models.map((one, i) => {
    const y = i * step + 20,
      { mean, low, high } = one.accuracy;
    return s(
      "g",
      {
        role: "button",
        class: i === chosen ? "chosen" : "",
        "data-mark": `m${i}`,
        onclick: () => pick(i),
        "aria-label": `${one.name}: ${one.right} of ${one.tasks} right, ${inBytes(one.file_bytes)}`,
      },
      s("rect", { class: "hit", x: 0, y: y - 15, width, height: 30 }),
      s("path", {
        class: "whisker",
        d: `M${x(low)} ${y - 5}v10M${x(high)} ${y - 5}v10M${x(low)} ${y}H${x(high)}`,
      }),
      i
        ? s("rect", {
            class: "dot second",
            x: x(mean) - 5.5,
            y: y - 5.5,
            width: 11,
            height: 11,
            rx: 2,
          })
        : s("circle", { class: "dot", cx: x(mean), cy: y, r: 6 }),
    );
  });
  image.append(
    ...marks,
    ...models.flatMap((one, i) => {
      // separate from the marks, which have names for screen readers
      const y = i * step + 24,
        short = Math.floor(left / 7.5),
        name = one.name;
      return [
        s(
          "text",
          {
            x: left - 10,
            y,
            "text-anchor": "end",
            class: i ? "" : "strong",
            "pointer-events": "none",
          },
          name.length > short ? `…${name.slice(1 - short)}` : name,
        ),
        s("text", { x: right + 12, y, "pointer-events": "none" }, `${one.right} of ${one.tasks}`),
      ];
    }),
  );
  roving(marks, { start: chosen, rows: true, onFocus: (i) => i !== chosen && pick(i) });
  return image;
}

/** One task and what these models answered. */
function asked(one, task, places) {
  return h(
    "div",
    {},
    h(
      "p",
      { class: "asked-for" },
      h("span", { class: "note" }, `${task.id} (${task.kind})`),
      task.prompt,
    ),
    h(
      "div",
      { class: "answers" },
      places.map((k) =>
        h(
          "div",
          {},
          h("h3", {}, `${one.models[k].name}: ${task.answers[k].right ? "✓ right" : "✗ wrong"}`),
          task.answers[k].text || "(nothing)",
          task.answers[k].right ? null : h("p", { class: "source" }, task.answers[k].reason),
        ),
      ),
    ),
  );
}
