// The text as an exam: at each token, was the model's first choice right, and did that change?

import { button, moreOptions, select } from "../../lib/controls.js";
import { h, picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { percent } from "../../lib/format.js";
import { fact, value } from "../../lib/table.js";
import { source } from "../../lib/tensor_picker.js";
import { pieceOf, shownPiece, targetOf, textPicker, topOf } from "../../lib/text.js";

export const NAMES = {
  kept: "right before and after",
  lost: "right → wrong",
  won: "wrong → right",
  neither: "wrong before and after",
};

/** The outcome at each position: kept, lost, won or neither. */
function outcomes(text) {
  return Array.from(text.kl, (_, i) => {
    const [a, b] = topOf(text, i).map((id) => id === targetOf(text, i));
    return a && b ? "kept" : a ? "lost" : b ? "won" : "neither";
  });
}

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const picker = textPicker(data, state, () => show());
  const at = state.scope("flips", { prompt: 0 }, () => show());
  const all = data.answers ?? [];
  const known = new Map(); // text → the outcome at each of its tokens, the count of each outcome, and the table
  const of = (text) => {
    if (!known.has(text)) {
      const found = outcomes(text),
        counts = Object.fromEntries(Object.keys(NAMES).map((name) => [name, 0]));
      for (const o of found) counts[o] += 1;
      known.set(text, {
        found,
        counts,
        table: () => [
          ["token", "reference says", "quant says", "outcome"],
          found.map((o, k) => [
            shownPiece(text, targetOf(text, k)),
            shownPiece(text, topOf(text, k)[0]),
            shownPiece(text, topOf(text, k)[1]),
            NAMES[o],
          ]),
        ],
      });
    }
    return known.get(text);
  };
  const menu = select({
    label: "Prompt",
    name: "prompt",
    options: all.map((a, i) => [String(i), a.prompt.slice(0, 60)]),
    onChange: (i) => at.set({ prompt: Number(i) }, { push: true }),
  });
  const next = button("next flip", "next-flip", () => {
    const { found } = of(picker.current()),
      from = picker.position();
    const i = found.findIndex((o, k) => k > from && (o === "lost" || o === "won"));
    picker.go(i < 0 ? found.findIndex((o) => o === "lost" || o === "won") : i, true);
  });
  const show = figureParts(
    figure,
    all.length ? [menu, moreOptions(picker.control, next)] : [picker.control, next],
    (plot) => {
      const text = picker.current(),
        { found, counts, table } = of(text),
        n = found.length,
        i = picker.position();
      const count = (name) => counts[name];
      const one = all[at.get("prompt")] ?? all[0];
      const names = one?.models ?? ["reference", "quant"];
      picker.sync();
      menu.set(String(at.get("prompt")));
      const [a, b] = topOf(text, i);
      const before = Array.from(
        text.tokens.slice(Math.max(text.first - 11 + i, 0), text.first + 1 + i),
        (id) => pieceOf(text, id),
      );
      return {
        plot: [
          bar(
            plot,
            Object.keys(NAMES).map((name) => [name, count(name)]),
            n,
          ),
          h(
            "p",
            {},
            "At this position: “…",
            before.join(""),
            "” → the reference says ",
            quoted(text, a),
            "; the quant says ",
            quoted(text, b),
            "; the text has ",
            quoted(text, targetOf(text, i)),
            `: ${NAMES[found[i]]}.`,
          ),
          one
            ? h(
                "div",
                { class: "answers" },
                answer(names[0], one.prompt, one.reference, one.quant),
                answer(names[1], one.prompt, one.quant, one.reference),
              )
            : null,
        ].filter(Boolean),
        reading: [
          fact(
            "reference right",
            value(
              "reference",
              (count("kept") + count("lost")) / n,
              percent((count("kept") + count("lost")) / n),
            ),
          ),
          fact(
            "quant right",
            value(
              "quant",
              (count("kept") + count("won")) / n,
              percent((count("kept") + count("won")) / n),
            ),
          ),
          fact("right → wrong", value("lost", count("lost"))),
          fact("wrong → right", value("won", count("won"))),
          source(
            `the run ${data.run}, ${n} tokens of ${text.domain}` +
              (one
                ? `; the answers are what ${names.join(" and ")} wrote, always taking the most likely token`
                : ""),
          ),
        ],
        table,
      };
    },
  );
}

/** One of two answers to a prompt, marked from the first divergent token on. */
export function answer(name, prompt, text, other) {
  let same = 0;
  while (same < text.length && text[same] === other[same]) same += 1;
  return h(
    "div",
    {},
    h("h3", {}, name),
    h("span", { class: "context" }, prompt),
    text.slice(0, same),
    same < text.length ? h("mark", {}, text.slice(same)) : null,
  );
}

export function bar(plot, counts, n) {
  const width = widthOf(plot),
    image = picture(width, 66, counts.map(([name, c]) => `${NAMES[name]}: ${c}`).join(", "));
  let x = 0;
  for (const [name, count] of counts) {
    const w = (width * count) / n;
    image.append(
      s("rect", { x, y: 4, width: Math.max(w - 1.5, 0), height: 30, class: `outcome ${name}` }),
    );
    const told = `${NAMES[name]} ${percent(count / n)}`;
    if (w > 6.2 * told.length) image.append(s("text", { x: x + 4, y: 52 }, told));
    else if (count)
      image.append(
        s("text", { x: x + w / 2, y: 24, "text-anchor": "middle", class: "strong" }, count),
      );
    x += w;
  }
  return image;
}

/** A token in quotation marks, its spaces visible. */
function quoted(text, id) {
  return h("code", {}, `“${shownPiece(text, id)}”`);
}
