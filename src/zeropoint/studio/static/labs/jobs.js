// Starts, watches, cancels and resumes jobs, which are verbs of the command line. The server sends the forms.

import { button, choice, listed, select, several, toggle, withSet } from "../lib/controls.js";
import { announce, h } from "../lib/dom.js";
import { figureParts } from "../lib/figure.js";
import { percent } from "../lib/format.js";
import { ask, send } from "../lib/server.js";

const ENDED = {
  done: "Done",
  no: "Done: the answer is no",
  failed: "Failed",
  cancelled: "Cancelled",
  interrupted: "Interrupted: the studio was closed",
};
const RESUMABLE = ["cancelled", "interrupted"];

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const { forms } = data,
    fields = forms.flatMap((form) => form.fields);
  const at = state.scope(
    "jobs",
    {
      verb: forms[0].verb,
      name: "",
      ...Object.fromEntries(fields.map((f) => [f.key, isModels(f) ? "" : f.usual])),
    },
    () => show(),
  );
  /** The value of a field; models that were not chosen are those that the form begins with. */
  const chosenValue = (field) =>
    isModels(field) && at.get(field.key) === "" ? field.usual : at.get(field.key);
  const set = (key) => (x) => at.set({ [key]: x }, { push: true });
  const current = () => forms.find((form) => form.verb === at.get("verb")) ?? forms[0];
  let jobs = [],
    problem = "",
    drawn = null,
    controls = {};
  const said = new Map(),
    box = h("div", { class: "form" });
  const verb = choice({
    label: "Job",
    name: "verb",
    options: forms.map((form) => [form.verb, form.title]),
    onChange: set("verb"),
  });
  verb.hidden = forms.length === 1;
  const start = button(
    "Start",
    "start",
    () =>
      post("/api/jobs/start", () =>
        Object.fromEntries([
          ["verb", current().verb],
          ["name", at.get("name")],
          ...current().fields.map((field) => [
            field.key,
            field.kind === "models" ? listed(chosenValue(field)) : chosenValue(field),
          ]),
        ]),
      ),
    { class: "primary" },
  );

  /** Send a request, then show the state of the jobs. */
  async function post(address, words) {
    problem = "";
    try {
      await send(address, words());
    } catch (error) {
      problem = error.message;
    }
    await refresh(problem);
  }

  async function refresh(before = "") {
    try {
      jobs = await ask("/api/jobs");
      tellChanges(jobs, said);
      problem = before || problem;
    } catch (error) {
      problem = error.message;
    }
    show();
  }

  async function watch() {
    for (;;) {
      await refresh();
      const busy = jobs.some((job) => job.state === "running" || job.state === "waiting");
      await new Promise((resume) => setTimeout(resume, busy ? 500 : 2000));
    }
  }

  /** The controls of the open form. */
  function open(form) {
    if (drawn === form) return;
    drawn = form;
    controls = Object.fromEntries([
      ...form.fields.map((field) => [
        field.key,
        control(field, () => chosenValue(field), set(field.key)),
      ]),
      [
        "name",
        typed(
          { key: "name", label: "Name of the result (empty: from the model's name)" },
          set("name"),
        ),
      ],
    ]);
    start.textContent = form.action;
    box.replaceChildren(
      h("p", { class: "note does" }, form.does),
      form.advice ? h("p", { class: "note does advice" }, form.advice) : "",
      ...Object.values(controls),
    );
  }

  const act = {
    cancel: (job) => {
      job.cancelling = true; // shown at once, before the server has answered
      show();
      post(`/api/jobs/${job.id}/cancel`, () => ({}));
    },
    again: (job) => post("/api/jobs/start", () => job.asked),
  };
  const show = figureParts(
    figure,
    [verb, box, h("div", { class: "control buttons" }, start)],
    () => {
      const form = current();
      verb.set(form.verb);
      open(form);
      controls.name.set(at.get("name"));
      for (const field of form.fields) controls[field.key].set(chosenValue(field));
      return {
        plot: [
          problem ? h("p", { class: "problem", role: "alert" }, problem) : null,
          ...jobs.map((job) =>
            card(
              job,
              jobs,
              act,
              figure.querySelector(`[data-job="${job.id}"] details`)?.hasAttribute("open"),
            ),
          ),
          jobs.length ? null : h("p", { class: "note" }, "No job has been started yet."),
        ].filter(Boolean),
        table: [
          ["job", "command", "state", "done", "seconds"],
          jobs.map((job) => [job.id, job.command, job.state, job.done, job.seconds]),
        ],
      };
    },
  );
  watch();
}

/** The control of a field; `now()` reads its value from the page's state, `hear` stores it. */
function control(field, now, hear) {
  const { key, label, options } = field;
  if (field.kind === "flag") return toggle({ label, name: key, onChange: hear });
  if (field.kind === "whole" || field.kind === "levels") return typed(field, hear);
  return field.kind === "models"
    ? several({ label, name: key, options, now, onChange: hear })
    : select({ label, name: key, options, onChange: hear });
}

/**
 * A box for text or a whole number.
 * @param {{ key: string, label: string, kind?: string, least?: number, most?: number }} field
 * @param {(x: any) => void} hear
 */
function typed({ key, label, kind, least = 0, most = 0 }, hear) {
  const numbers = kind === "whole";
  const box = h("input", {
    type: numbers ? "number" : "text",
    "data-control": key,
    autocomplete: "off",
    spellcheck: "false",
    min: numbers && String(least),
    max: numbers && String(most),
  });
  box.addEventListener("change", () =>
    hear(
      numbers
        ? Math.min(Math.max(Math.round(Number(box.value) || 0), least), most)
        : box.value.trim(),
    ),
  );
  const element = h("label", { class: "control" }, h("span", { class: "note" }, label), box);
  return withSet(element, (x) => {
    if (document.activeElement !== box) box.value = String(x);
  });
}

/** Announce to screen readers that a job starts, is at 25, 50 or 75 %, or ends. */
function tellChanges(jobs, said) {
  for (const job of jobs) {
    const stage = `${job.state} ${job.state === "running" ? Math.floor(4 * job.done) : ""}`;
    if (said.has(job.id) && said.get(job.id) !== stage) {
      announce(`${job.verb} ${ENDED[job.state] ?? percent(Math.floor(4 * job.done) / 4, 0)}`);
    }
    said.set(job.id, stage);
  }
}

/** Whether a field chooses models. */
function isModels({ kind }) {
  return kind === "model" || kind === "models";
}

/** A duration as text: 34 s, 5 min 20 s, 1 h 12 min. */
function duration(seconds) {
  const whole = Math.max(Math.round(seconds), 0);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** What a job is doing, or how it ended. */
function stateOf(job) {
  if (job.state === "waiting") return "Waiting for the job before it";
  if (job.state !== "running") {
    const took = job.seconds === null ? "" : ` ${job.state === "done" ? "in" : "after"} `;
    return `${ENDED[job.state]}${took && `${took}${duration(job.seconds)}`}`;
  }
  const elapsed = duration(job.seconds ?? 0);
  if (job.cancelling) return `Cancelling … (${elapsed})`;
  if (!job.done) return `${job.step || "Starting"} … (${elapsed})`;
  if (job.done >= 1) return `${job.step}: finishing … (${elapsed})`;
  const left = job.seconds_left > 1 ? `, about ${duration(job.seconds_left)} left` : "";
  return `${job.step ? `${job.step}: ` : ""}${percent(job.done, 0)}, ${elapsed} so far${left}`;
}

function card(job, jobs, act, wasOpen) {
  const open = job.state === "running" || job.state === "waiting",
    broken = job.state === "failed" || RESUMABLE.includes(job.state),
    later = jobs.some((one) => one.id > job.id && one.run === job.run);
  const begun = job.seconds !== null,
    again = !begun
      ? "Start"
      : job.resumes && RESUMABLE.includes(job.state)
        ? "Resume"
        : "Start again";
  const result = job.result ?? {};
  return h(
    "div",
    { class: "job", "data-job": job.id, "data-state": job.state },
    h(
      "p",
      { class: "job-head" },
      h("b", {}, job.title ?? job.verb),
      result.verdict
        ? h(
            "span",
            { class: "chip", "data-verdict": result.verdict.split(",")[0].toLowerCase() },
            result.verdict,
          )
        : null,
      h("span", { class: "note", "data-name": "state" }, stateOf(job)),
    ),
    open
      ? h("progress", {
          max: "1",
          value: job.done > 0 && job.done < 1 ? job.done : null,
          "aria-label": `job ${job.id}`,
        })
      : null,
    result.finding ? h("p", { class: "finding" }, result.finding) : null,
    job.error ? h("p", { class: "problem" }, job.error) : null,
    h("p", { class: "command" }, h("code", {}, job.command)),
    h(
      "p",
      { class: "choices" },
      open && !job.cancelling
        ? button("Cancel", "cancel", () => act.cancel(job), { "data-mark": `cancel${job.id}` })
        : null,
      broken && !later
        ? button(again, "again", () => act.again(job), { "data-mark": `again${job.id}` })
        : null,
      Object.entries(job.state === "done" ? job.see : {}).map(([to, name]) =>
        h("a", { href: to }, name),
      ),
    ),
    job.said.length
      ? h(
          "details",
          { open: wasOpen },
          h("summary", {}, "Output"),
          h("pre", {}, job.said.join("\n")),
        )
      : null,
  );
}
