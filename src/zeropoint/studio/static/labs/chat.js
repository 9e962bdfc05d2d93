// Two models, the same prompt, the same seed: both answers as they are generated, and a blind vote.

import { button, range, select, showState, toggle } from "../lib/controls.js";
import { announce, h } from "../lib/dom.js";
import { figureParts } from "../lib/figure.js";
import { format, percent } from "../lib/format.js";
import { tell } from "../lib/server.js";
import { fact, value } from "../lib/table.js";

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const first = data.models[0].id,
    second = data.models[1]?.id ?? first;
  const at = state.scope(
    "chat",
    {
      reference: first,
      quant: second,
      seed: 0,
      tokens: 128,
      temperature: 0.8,
      blind: false,
      text: "",
    },
    () => show(),
  );
  /** @type {{ id: string, turns: any[], flip: boolean, busy: AbortController | null, problem: string }} */
  const talk = { id: newId(), turns: [], flip: false, busy: null, problem: "" };
  talk.flip = at.get("blind") && random() % 2 === 1;
  const votes = { reference: 0, quant: 0, same: 0 };
  const known = new Set(data.models.map((m) => m.id));
  const model = (key) => (known.has(at.get(key)) ? at.get(key) : first);
  const again = () => {
    talk.busy?.abort();
    Object.assign(talk, {
      id: newId(),
      turns: [],
      problem: "",
      busy: null,
      flip: at.get("blind") && random() % 2 === 1,
    });
    show();
  };

  const options = data.models.map((m) => [m.id, m.name]);
  const change = (changes) => {
    at.set(changes, { push: true });
    again();
  };
  const reference = select({
    label: "Reference",
    name: "reference",
    options,
    onChange: (x) => change({ reference: x }),
  });
  const quant = select({
    label: "Quant",
    name: "quant",
    options,
    onChange: (x) => change({ quant: x }),
  });
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
    tokens = number("Tokens at most", "tokens", 1, 1024, 1);
  const temperature = number("Temperature", "temperature", 0, 2, 0.05);
  const blind = toggle({ label: "blind", name: "blind", onChange: (x) => change({ blind: x }) });
  const box = h("textarea", {
    rows: "3",
    "aria-label": "What to say to both",
    "data-control": "text",
    maxlength: "100000",
  });
  box.addEventListener("change", () => at.set({ text: box.value.slice(0, 2000) }, { push: true }));
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) say();
  });
  const send = button("Say it to both", "say", () => say()),
    stop = button("Stop", "stop", () => talk.busy?.abort());
  const fresh = button("Begin anew", "again", again);
  const asking = h(
    "div",
    { class: "control wide" },
    box,
    h("div", { class: "control buttons" }, send, stop, fresh),
  );

  async function say() {
    const text = box.value;
    if (!text || talk.busy) return;
    at.set({ text: text.slice(0, 2000) }, { push: true });
    const turn = {
      text,
      sides: [emptyAnswer(), emptyAnswer()],
      vote: "",
      told: "",
    };
    talk.turns.push(turn);
    talk.problem = "";
    const own = new AbortController();
    talk.busy = own;
    show();
    try {
      await tell(
        "/api/chat",
        {
          models: [model("reference"), model("quant")],
          talk: talk.id,
          text,
          seed: at.get("seed"),
          tokens: at.get("tokens"),
          temperature: at.get("temperature"),
        },
        (record) => {
          turn.told = record.waiting
            ? "Another request is being computed …"
            : record.loading && !at.get("blind")
              ? `Loading ${record.loading} …`
              : record.loading
                ? "Loading …"
                : record.read
                  ? `Reading: ${record.read} of ${record.of} tokens`
                  : "";
          const side = turn.sides[record.side];
          if (side && record.text !== undefined) side.text += record.text;
          if (side && record.id !== undefined) side.ids.push(record.id);
          if (side && record.finished) side.finished = record.finished;
          show();
        },
        own.signal,
      );
      announce("Both have answered.");
    } catch (error) {
      talk.problem = error.message;
    }
    turn.told = own.signal.aborted ? "stopped" : "";
    turn.done = true;
    if (talk.busy === own) talk.busy = null;
    show();
  }

  const vote = (turn, which) => {
    turn.vote = which;
    votes[which] += 1;
    announce(which === "same" ? "No difference" : `You chose the ${which}`);
    show();
  };
  const show = figureParts(
    figure,
    [reference, quant, seed, tokens, temperature, blind, asking],
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
      if (document.activeElement !== box && !box.value) box.value = at.get("text");
      send.disabled = Boolean(talk.busy);
      stop.disabled = !talk.busy;
      figure.dataset.busy = talk.busy ? "yes" : "no";
      return {
        plot: [
          ...talk.turns.map((turn) => drawn(turn, talk, at.get("blind"), vote)),
          talk.problem ? h("p", { class: "problem" }, talk.problem) : null,
        ].filter(Boolean),
        reading: readingOf(talk.turns.at(-1), votes),
        table: [
          ["turn", "said", "side", "answer", "tokens", "ended"],
          talk.turns.flatMap((turn, i) =>
            hidden(turn, at)
              ? []
              : turn.sides.map((side, k) => [
                  i + 1,
                  turn.text,
                  ["reference", "quant"][k],
                  side.text,
                  side.ids.length,
                  side.finished ?? "–",
                ]),
          ),
        ],
      };
    },
  );
}

function hidden(turn, at) {
  return at.get("blind") && !turn.vote;
}

function newId() {
  return crypto.randomUUID();
}

function random() {
  return crypto.getRandomValues(new Uint8Array(1))[0];
}

/** The number of tokens before the first divergent one. */
function together(turn) {
  const [a, b] = turn.sides.map((side) => side.ids);
  let n = 0;
  while (n < Math.min(a.length, b.length) && a[n] === b[n]) n++;
  return n;
}

function readingOf(turn, votes) {
  const cast = votes.reference + votes.quant + votes.same;
  const alike = turn && together(turn);
  return [
    turn ? fact("tokens alike at the start", value("together", alike, format(alike))) : null,
    turn
      ? fact(
          "tokens, reference and quant",
          value(
            "tokens",
            turn.sides[0].ids.length,
            turn.sides.map((s) => s.ids.length).join(" and "),
          ),
        )
      : null,
    ...(cast
      ? [
          fact("votes", value("votes", cast)),
          fact(
            "for the reference",
            value("for-reference", votes.reference / cast, percent(votes.reference / cast, 0)),
          ),
          fact(
            "for the quant",
            value("for-quant", votes.quant / cast, percent(votes.quant / cast, 0)),
          ),
        ]
      : []),
  ].filter(Boolean);
}

function drawn(turn, talk, blind, vote) {
  const secret = blind && !turn.vote,
    order = talk.flip ? [1, 0] : [0, 1];
  const names = order.map((side, k) =>
    secret ? "AB"[k] : `${blind ? `${"AB"[k]}: ` : ""}${["reference", "quant"][side]}`,
  );
  const texts = order.map((side) => turn.sides[side].text);
  let common = 0;
  while (
    common < Math.min(texts[0].length, texts[1].length) &&
    texts[0][common] === texts[1][common]
  )
    common++;
  const columns = order.map((side, k) =>
    h(
      "div",
      { "data-side": secret ? "AB"[k] : ["reference", "quant"][side] },
      h("h2", {}, names[k]),
      texts[k].slice(0, common),
      k === 1 || secret ? h("mark", {}, texts[k].slice(common)) : texts[k].slice(common),
    ),
  );
  const ask =
    secret && turn.done && !turn.told
      ? h(
          "div",
          { class: "control buttons", role: "group", "aria-label": "Your vote" },
          h("span", {}, "Which is better?"),
          order.map((side, k) =>
            button("AB"[k], `vote-${"AB"[k]}`, () => vote(turn, ["reference", "quant"][side])),
          ),
          button("no difference", "vote-same", () => vote(turn, "same")),
        )
      : null;
  return h(
    "div",
    { class: "turn" },
    h("blockquote", {}, turn.text),
    h("div", { class: "answers" }, columns),
    turn.told ? h("p", { class: "note" }, turn.told) : null,
    ask,
  );
}

/** @returns {{ text: string, ids: number[], finished?: string }} */
const emptyAnswer = () => ({ text: "", ids: [] });
