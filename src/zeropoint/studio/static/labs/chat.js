// The chat page: one message, two models, the same seed. Both answers appear as they are generated.

import { button, range, select, showState, toggle } from "../lib/controls.js";
import { announce, h } from "../lib/dom.js";
import { figureParts } from "../lib/figure.js";
import { tell } from "../lib/server.js";
import { drawTurn, readingOf } from "./chat_drawing.js";
import { historyOf, keepChat, keptChats, newChat } from "./chat_store.js";

const SAVE_MILLISECONDS = 1000; // between two saves of an answer that is being written
const EMPTY_NOTE =
  "Both models answer the same message with the same seed. Words that differ are marked.";

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const known = new Map(data.models.map((m) => [m.id, m.name]));
  const usual = { reference: data.pair[0], quant: data.pair[1] };
  const at = state.scope(
    "chat",
    { ...usual, seed: 0, tokens: 256, temperature: 0.8, blind: false },
    () => {
      if (chat.reference !== model("reference") || chat.quant !== model("quant")) {
        begin(latestOf(model("reference"), model("quant")));
      }
      show();
    },
  );
  const model = (key) => (known.has(at.get(key)) ? at.get(key) : usual[key]);
  let chat = latestOf(model("reference"), model("quant")),
    problem = "",
    /** @type {AbortController | null} */
    busy = null,
    saved = 0;

  /** The latest kept conversation of two models, or a new one. */
  function latestOf(reference, quant) {
    const kept = keptChats().find((one) => one.reference === reference && one.quant === quant);
    for (const turn of kept?.turns ?? []) {
      if (!turn.done) Object.assign(turn, { done: true, told: "Stopped." });
    }
    return kept ?? newChat(reference, quant, at.get("blind"));
  }

  function begin(next) {
    busy?.abort();
    busy = null;
    keepChat(chat);
    chat = next;
    problem = "";
  }

  const change = (changes) => at.set(changes, { push: true });
  const options = [...known];
  const menu = (label, name) =>
    select({ label, name, options, onChange: (x) => change({ [name]: x }) });
  const reference = menu("Reference", "reference"),
    quant = menu("Quantized model", "quant");
  const fresh = button("New chat", "again", () => {
    begin(newChat(model("reference"), model("quant"), at.get("blind")));
    show();
    box.focus();
  });
  const earlier = h("span", { class: "control" });
  const number = (label, name, min, max, step) =>
    range({
      label,
      name,
      min,
      max,
      step,
      onInput: (x) => at.set({ [name]: step === 1 ? Math.round(x) : x }),
      onDone: () => at.set({}, { push: true }),
    });
  const seed = number("Seed", "seed", 0, 9999, 1),
    tokens = number("Maximum tokens of an answer", "tokens", 1, 1024, 1),
    temperature = number("Temperature", "temperature", 0, 2, 0.05);
  const blind = toggle({
    label: "Hide which model is which until I vote",
    name: "blind",
    onChange: (x) => {
      begin(newChat(model("reference"), model("quant"), x));
      change({ blind: x });
    },
  });
  const settings = h(
    "details",
    { class: "more" },
    h("summary", {}, "Settings"),
    h("div", { class: "controls" }, seed, tokens, temperature, blind),
  );
  const box = h("textarea", {
    rows: "1",
    "aria-label": "Message to both models",
    placeholder: "Message to both models",
    "data-control": "text",
    maxlength: "100000",
  });
  box.addEventListener("input", grow);
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    say();
  });
  const send = button("Send", "say", () => (busy ? busy.abort() : say()), { class: "primary" });
  const composer = h("div", { class: "composer" }, box, send);

  /** Make the box as high as its text. */
  function grow() {
    box.style.height = "auto";
    box.style.height = `${Math.min(box.scrollHeight + 2, 200)}px`;
  }

  async function say() {
    const text = box.value.trim();
    if (!text || busy) return;
    const history = historyOf(chat),
      own = new AbortController(),
      talk = chat;
    /** @type {import("./chat_store.js").Turn} */
    const turn = { text, sides: [emptyAnswer(), emptyAnswer()], vote: "", told: "" };
    talk.turns.push(turn);
    problem = "";
    busy = own;
    box.value = "";
    grow();
    save(talk, true);
    show(true);
    try {
      await tell(
        "/api/chat",
        {
          models: [talk.reference, talk.quant],
          talk: talk.id,
          text,
          history,
          seed: at.get("seed"),
          tokens: at.get("tokens"),
          temperature: at.get("temperature"),
        },
        (record) => {
          hear(turn, record, at.get("blind"));
          save(talk, false);
          if (talk === chat) show();
        },
        own.signal,
      );
      announce("Both models have answered.");
    } catch (error) {
      problem = error.message;
    }
    turn.told = own.signal.aborted ? "Stopped." : "";
    turn.done = true;
    if (busy === own) busy = null;
    save(talk, true);
    show();
  }

  /** Keep the conversation, at most once in a second unless it must be now. */
  function save(talk, now) {
    if (!now && Date.now() - saved < SAVE_MILLISECONDS) return;
    saved = Date.now();
    keepChat(talk);
  }
  addEventListener("pagehide", () => keepChat(chat));

  const vote = (turn, which) => {
    turn.vote = which;
    keepChat(chat);
    announce(which === "same" ? "No difference" : `You chose the ${which}`);
    show();
  };

  /** The menu of conversations that were kept, if there are others. */
  function showEarlier() {
    const others = keptChats().filter((one) => one.id !== chat.id && known.has(one.reference));
    if (!others.length || earlier.contains(document.activeElement)) return;
    const list = select({
      label: "Earlier chats",
      name: "earlier",
      options: [["", "choose …"], ...others.map((one) => [one.id, titleOf(one)])],
      onChange: (id) => {
        const found = others.find((one) => one.id === id);
        if (!found) return;
        begin(found);
        change({ reference: found.reference, quant: found.quant });
        show(true);
      },
    });
    earlier.replaceChildren(list);
  }

  const draw = figureParts(
    figure,
    [reference, quant, h("div", { class: "control buttons" }, fresh), earlier, settings],
    () => {
      showState(
        [
          [seed, "seed"],
          [tokens, "tokens"],
          [temperature, "temperature"],
          [blind, "blind"],
        ],
        at,
      );
      reference.set(model("reference"));
      quant.set(model("quant"));
      showEarlier();
      send.textContent = busy ? "Stop" : "Send";
      figure.dataset.busy = busy ? "yes" : "no";
      const hidden = at.get("blind");
      const names = [known.get(chat.reference) ?? "reference", known.get(chat.quant) ?? "quant"];
      const votes = { reference: 0, quant: 0, same: 0, "": 0 };
      for (const turn of chat.turns) votes[turn.vote] += 1;
      return {
        plot: [
          chat.turns.length ? null : h("p", { class: "note" }, EMPTY_NOTE),
          ...chat.turns.map((turn) =>
            drawTurn(turn, { names, flip: chat.flip, blind: hidden }, (x) => vote(turn, x)),
          ),
          problem ? h("p", { class: "problem", role: "alert" }, problem) : null,
        ].filter(Boolean),
        reading: readingOf(chat.turns.at(-1), votes),
        table: [
          ["turn", "message", "model", "answer", "tokens", "ended"],
          chat.turns.flatMap((turn, i) =>
            hidden && !turn.vote
              ? []
              : turn.sides.map((side, k) => [
                  i + 1,
                  turn.text,
                  names[k],
                  side.text,
                  side.ids.length,
                  side.finished ?? "–",
                ]),
          ),
        ],
      };
    },
  );
  const plot = /** @type {HTMLElement} */ (figure.querySelector(".plot"));
  for (const [name, text] of [
    ["tabindex", "0"],
    ["role", "log"],
    ["aria-label", "Conversation"],
  ]) {
    plot.setAttribute(name, text);
  }
  plot.after(composer);
  box.focus({ preventScroll: true });

  /** Draw, and stay at the end of the conversation if the reader is there. */
  function show(toEnd = false) {
    const end = toEnd || plot.scrollHeight - plot.scrollTop - plot.clientHeight < 60;
    draw();
    if (end) plot.scrollTop = plot.scrollHeight;
  }
}

/** Put a record of the answer into the turn. */
function hear(turn, record, blind) {
  if (record.waiting) turn.told = "Another request is being computed …";
  else if (record.loading) turn.told = blind ? "Loading …" : `Loading ${record.loading} …`;
  else if (record.read) turn.told = `Reading the message: ${record.read} of ${record.of} tokens`;
  else turn.told = "";
  const side = turn.sides[record.side];
  if (!side) return;
  if (record.template === false) side.plain = true;
  if (record.text !== undefined) side.text += record.text;
  if (record.id !== undefined) side.ids.push(record.id);
  if (record.finished) side.finished = record.finished;
}

/** The first words of a conversation. */
function titleOf(chat) {
  const text = chat.turns[0]?.text ?? "";
  return text.length > 48 ? `${text.slice(0, 47)}…` : text;
}

/** @returns {import("./chat_store.js").Answer} */
const emptyAnswer = () => ({ text: "", ids: [] });
