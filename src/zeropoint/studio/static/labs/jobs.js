// Starts, watches, cancels and resumes jobs, which are verbs of the command line. The server sends the forms.

import { button, choice, listed, select, several, toggle, withSet } from "../lib/controls.js";
import { announce, h } from "../lib/dom.js";
import { figureParts } from "../lib/figure.js";
import { format, percent } from "../lib/format.js";
import { ask, send } from "../lib/server.js";

const ENDED = {
  done: "done",
  no: "done: the answer is no",
  failed: "failed",
  cancelled: "cancelled",
};

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
    { verb: forms[0].verb, name: "", ...Object.fromEntries(fields.map((f) => [f.key, f.usual])) },
    () => show(),
  );
  const set = (key) => (x) => at.set({ [key]: x }, { push: true });
  const current = () => forms.find((form) => form.verb === at.get("verb")) ?? forms[0];
  let jobs = [],
    problem = "",
    drawn = null,
    controls = {};
  const said = new Map(),
    box = h("div", { class: "form" });
  const verb = choice({
    label: "What",
    name: "verb",
    options: forms.map((form) => [form.verb, form.verb]),
    onChange: set("verb"),
  });
  const start = button("Start", "start", () =>
    post("/api/jobs/start", () =>
      Object.fromEntries([
        ["verb", current().verb],
        ["name", at.get("name")],
        ...current().fields.map(({ key, kind }) => [
          key,
          kind === "models" ? listed(at.get(key)) : at.get(key),
        ]),
      ]),
    ),
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
        control(field, () => at.get(field.key), set(field.key)),
      ]),
      [
        "name",
        typed({ key: "name", label: "Name of what it writes (empty: by the model)" }, set("name")),
      ],
    ]);
    box.replaceChildren(h("p", { class: "note does" }, form.does), ...Object.values(controls));
  }

  const act = {
    cancel: (job) => post(`/api/jobs/${job.id}/cancel`, () => ({})),
    again: (job) => post("/api/jobs/start", () => job.asked),
  };
  const show = figureParts(
    figure,
    [verb, box, h("div", { class: "control buttons" }, start)],
    () => {
      const form = current();
      verb.set(form.verb);
      open(form);
      for (const [key, control] of Object.entries(controls)) control.set(at.get(key));
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
          jobs.length ? null : h("p", { class: "note" }, "Nothing was started yet."),
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

function card(job, jobs, act, wasOpen) {
  const open = job.state === "running" || job.state === "waiting";
  const left =
    job.seconds_left > 1 ? `, about ${format(Math.ceil(job.seconds_left), 3)} s left` : "";
  const told =
    ENDED[job.state] ??
    (job.state === "waiting"
      ? "waits for the one before it"
      : `${job.step ? `${job.step}: ` : ""}${percent(job.done, 0)}${left}`);
  const broken = job.state === "cancelled" || job.state === "failed",
    later = jobs.some((one) => one.id > job.id && one.run === job.run);
  const links = Object.entries(job.state === "done" ? job.see : {});
  return h(
    "div",
    { class: "job", "data-job": job.id, "data-state": job.state },
    h("p", {}, h("code", {}, job.command)),
    h(
      "p",
      {},
      broken ? null : h("progress", { max: "1", value: job.done, "aria-label": `job ${job.id}` }),
      ` ${told}`,
      open
        ? button("Cancel", "cancel", () => act.cancel(job), { "data-mark": `cancel${job.id}` })
        : null,
      broken && !later
        ? button(
            job.resumes && job.state === "cancelled" ? "Go on" : "Start again",
            "again",
            () => act.again(job),
            { "data-mark": `again${job.id}` },
          )
        : null,
      links.map(([to, name], i) => [i ? " · " : " ", h("a", { href: to }, name)]),
    ),
    job.said.length
      ? h(
          "details",
          { open: wasOpen ?? job.state === "failed" },
          h("summary", {}, "What it said"),
          h("pre", {}, job.said.join("\n")),
        )
      : null,
  );
}
