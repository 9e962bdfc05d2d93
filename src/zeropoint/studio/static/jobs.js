// Start, watch and cancel what the command line does: quantize, measure, ladder.

import { announce, button, choice, fact, figureParts, format, h, percent, select, value } from "./draw.js";
import { ask, send } from "./server.js";

const ENDED = { done: "done", no: "done: the answer is no", failed: "failed", cancelled: "cancelled" };

export function mount(figure, data, state) {
  const first = data.models[0]?.id ?? "", second = data.models[1]?.id ?? first;
  const at = state.scope("jobs", { verb: "quantize", model: first, reference: second, to: "Q4_K_M", name: "", chunks: 20,
    levels: "16,8,6,4,3,2", requantize: false }, () => show());
  const set = (key) => (x) => at.set({ [key]: x }, { push: true });
  const options = data.models.map((m) => [m.id, m.name]);
  let jobs = [], problem = "", said = new Map();
  const verb = choice({ label: "What", name: "verb", options: [["quantize", "quantize"], ["measure", "measure"], ["ladder",
    "ladder"]], onChange: set("verb") });
  const model = select({ label: "Model", name: "model", options, onChange: set("model") });
  const reference = select({ label: "Its reference", name: "reference", options, onChange: set("reference") });
  const to = select({ label: "To", name: "to", options: data.presets.map((name) => [name, name]), onChange: set("to") });
  const typed = (key, label, type = "text") => {
    const box = h("input", { type, "data-control": key, autocomplete: "off", spellcheck: "false", min: "1" });
    box.addEventListener("change", () => set(key)(type === "number" ? Math.max(1, Math.round(Number(box.value) || 1)) : box.value));
    const element = h("label", { class: "control" }, h("span", { class: "note" }, label), box);
    element.set = (x) => {
      if (document.activeElement !== box) box.value = x;
    };
    return element;
  };
  const name = typed("name", "Name of what it writes (empty: by the model)"), chunks = typed("chunks", "Chunks of text", "number");
  const levels = typed("levels", "Levels"), again = h("input", { type: "checkbox", "data-control": "requantize",
    onchange: () => set("requantize")(again.checked) });
  const requantize = h("label", { class: "control toggle" }, again, "the model is quantized already: do it anyway");
  const start = button("Start", "start", async () => {
    problem = "";
    const words = { verb: at.get("verb"), model: at.get("model"), reference: at.get("reference"), to: at.get("to"),
      name: at.get("name"), chunks: at.get("chunks"), levels: at.get("levels"), requantize: at.get("requantize") };
    try {
      await send("/api/jobs/start", words);
      await refresh();
    } catch (error) {
      problem = error.message;
      show();
    }
  });

  async function refresh() {
    try {
      jobs = await ask("/api/jobs");
      tellChanges(jobs, said);
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

  const cancel = async (job) => {
    try {
      await send(`/api/jobs/${job.id}/cancel`, {});
    } catch (error) {
      problem = error.message;
    }
    await refresh();
  };
  const show = figureParts(figure, [verb, model, reference, to, levels, chunks, name, requantize, h("div",
    { class: "control buttons" }, start)], () => {
    const what = at.get("verb");
    for (const [control, key] of [[verb, "verb"], [model, "model"], [reference, "reference"], [to, "to"], [name, "name"], [chunks,
      "chunks"], [levels, "levels"]]) control.set(at.get(key));
    again.checked = at.get("requantize");
    reference.hidden = what !== "measure";
    to.hidden = what !== "quantize";
    levels.hidden = what !== "ladder";
    chunks.hidden = what === "quantize";
    requantize.hidden = what === "measure";
    const running = jobs.filter((job) => job.state === "running").length;
    return {
      plot: [problem ? h("p", { class: "problem" }, problem) : null, ...jobs.map((job) => drawn(job, cancel,
        figure.querySelector(`[data-job="${job.id}"] details`)?.open)), jobs.length ? null
        : h("p", { class: "note" }, "Nothing was started yet.")].filter(Boolean),
      reading: [fact("jobs", value("jobs", jobs.length)), fact("running", value("running", running))],
      table: [["job", "command", "state", "done", "seconds"], jobs.map((job) => [job.id, job.command, job.state, job.done,
        job.seconds])],
    };
  });
  watch();
}

/** Say when a job starts, is at a quarter, a half, three quarters, and ends. */
function tellChanges(jobs, said) {
  for (const job of jobs) {
    const stage = `${job.state} ${job.state === "running" ? Math.floor(4 * job.done) : ""}`;
    if (said.has(job.id) && said.get(job.id) !== stage) {
      announce(`${job.verb} ${ENDED[job.state] ?? percent(Math.floor(4 * job.done) / 4, 0)}`);
    }
    said.set(job.id, stage);
  }
}

function drawn(job, cancel, wasOpen) {
  const open = job.state === "running" || job.state === "waiting";
  const left = job.seconds_left > 1 ? `, about ${format(Math.ceil(job.seconds_left), 3)} s left` : "";
  const told = ENDED[job.state] ?? (job.state === "waiting" ? "waits for the one before it" : `${percent(job.done, 0)}${left}`);
  return h("div", { class: "job", "data-job": job.id, "data-state": job.state },
    h("p", {}, h("code", {}, job.command)),
    h("p", {}, h("progress", { max: "1", value: job.done, "aria-label": `job ${job.id}` }), ` ${told}`, open
      ? button("Cancel", "cancel", () => cancel(job), { "data-mark": `cancel${job.id}` }) : null, job.state === "done" && job.run
      ? h("a", { href: `/report?run=${job.run}` }, "its report") : null),
    job.said.length ? h("details", { open: wasOpen ?? job.state === "failed" }, h("summary", {}, "What it said"), h("pre", {}, job.said
      .join("\n"))) : null);
}
