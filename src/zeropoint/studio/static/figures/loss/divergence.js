// Both models' next-token distributions at one position, and the KL divergence between them.

import { button, moreOptions } from "../../lib/controls.js";
import { announce, h, picture, s, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format, percent } from "../../lib/format.js";
import { drawnOnce } from "../../lib/marks.js";
import { linear } from "../../lib/scales.js";
import { fact, value } from "../../lib/table.js";
import { source } from "../../lib/tensor_picker.js";
import { nextTokens, pieceOf, shownPiece, sides, targetOf, textPicker } from "../../lib/text.js";

const LIMITS = [0.01, 0.05, 0.2, 1]; // lower ends of the shades 1 to 4, in nats per token

/**
 * @param {HTMLElement} figure
 * @param {PageData} data
 * @param {PageState} state
 */
export function mount(figure, data, state) {
  const picker = textPicker(data, state, () => show());
  const known = new Map(); // text → its positions, the worst first, and the mean
  const of = (text) => {
    if (!known.has(text)) {
      known.set(text, {
        order: Array.from(text.kl, (_, i) => i).sort((a, b) => text.kl[b] - text.kl[a]),
        mean: text.kl.reduce((a, v) => a + v, 0) / text.kl.length,
      });
    }
    return known.get(text);
  };
  const rank = (by) => {
    const { order } = of(picker.current()),
      to = order.indexOf(picker.position()) + by;
    picker.go(order[Math.min(Math.max(to, 0), order.length - 1)], true);
  };
  const controls = [
    h(
      "div",
      { class: "control buttons" },
      button("← back", "back", () => picker.go(picker.position() - 1)),
      button("forward →", "forward", () => picker.go(picker.position() + 1)),
      button("worst token", "worst", () => picker.go(of(picker.current()).order[0], true)),
      button("next worst (n)", "next-worst", () => rank(1)),
      button("previous worst (p)", "previous-worst", () => rank(-1)),
    ),
    moreOptions(picker.control),
  ];
  const marked = drawnOnce((...parts) => shaded(...parts, picker, rank));
  const show = figureParts(figure, controls, (plot) => {
    const text = picker.current(),
      i = picker.position(),
      next = nextTokens(text, i);
    picker.sync();
    const kl = text.kl[i],
      { mean } = of(text);
    announce(`KL ${format(kl, 3)} nats before ${shownPiece(text, targetOf(text, i))}`);
    return {
      plot: [marked(text, i, plot, text), bars(plot, text, i, next)],
      reading: [
        fact("KL here", value("kl", kl, `${format(kl, 4)} nats`)),
        fact(`mean of these ${text.kl.length}`, value("mean", mean, `${format(mean, 4)} nats`)),
        fact(
          "next token in the text",
          value("target", targetOf(text, i), shownPiece(text, targetOf(text, i))),
        ),
        sides(),
        source(
          `the run ${data.run}. KL(reference ‖ quant) = Σ p · (log p − log q) over the whole vocabulary; drawn are ` +
            "both models' ten most likely tokens",
        ),
      ],
      table: () => [
        ["next token", "reference", "quant"],
        next.map((t) => [shownPiece(text, t.id), t.reference, t.quant]),
      ],
    };
  });
}

/** The shade of a divergence, 0 … 4. */
function shadeOf(kl) {
  return LIMITS.filter((limit) => kl >= limit).length;
}

/** The text, with each token shaded by the KL divergence of its predictions. */
function shaded(plot, text, picker, rank) {
  const context = text.tokens
    .slice(Math.max(text.first - 30, 0), text.first + 1)
    .map((id) => pieceOf(text, id))
    .join("");
  const tokens = Array.from(text.kl, (kl, i) => {
    const [a, b] = [text.ids[i * 20], text.ids[i * 20 + 10]];
    return h(
      "span",
      {
        class: `tok k${shadeOf(kl)} ${a === b ? "" : "flip"}`,
        "data-mark": `t${i}`,
        role: "button",
        tabindex: "-1",
        title: `KL ${format(kl, 3)} nats`,
        onclick: () => picker.go(i, true),
      },
      pieceOf(text, targetOf(text, i)),
    );
  });
  const box = h(
    "div",
    {
      class: "tokens",
      role: "group",
      "aria-label": "the text; arrow keys move by token, n and p by " + "divergence",
      onkeydown: (event) => {
        const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (event.ctrlKey || event.altKey || event.metaKey) return;
        if (by) picker.go(picker.position() + by);
        else if (event.key === "n" || event.key === "p") rank(event.key === "n" ? 1 : -1);
        else if (event.key === "Home" || event.key === "End")
          picker.go(event.key === "Home" ? 0 : text.kl.length - 1);
        else return;
        event.preventDefault();
        queueMicrotask(() => plot.querySelector(".tok[aria-current]")?.focus());
      },
    },
    h("span", { class: "tok context" }, text.first > 30 ? "… " : "", context),
    tokens,
  );
  const steps = ["below 0.01", "0.01", "0.05", "0.2", "1 nat and more"];
  const legend = h(
    "p",
    { class: "legend" },
    "KL",
    steps.map((name, k) => h("span", { class: `tok k${k}` }, ` ${name} `)),
    h("span", {}, h("b", {}, "bold"), ": the two models would choose different tokens"),
  );
  /** @type {HTMLElement | null} */
  let current = null;
  return {
    element: h("div", {}, box, legend),
    mark(now) {
      current?.setAttribute("tabindex", "-1");
      current?.removeAttribute("aria-current");
      const token = tokens[now];
      current = token;
      token.setAttribute("tabindex", "0");
      token.setAttribute("aria-current", "true");
      requestAnimationFrame(() => {
        box.scrollTop = Math.max(token.offsetTop - box.offsetTop - box.clientHeight / 2, 0);
      });
    },
  };
}

/** A pair of bars for each token that at least one of the models considers likely. */
function bars(plot, text, i, next) {
  const width = widthOf(plot),
    left = Math.min(150, width / 3),
    step = 32;
  const x = linear(
    [0, Math.max(...next.flatMap((t) => [t.reference ?? 0, t.quant ?? 0]), 1e-6)],
    [left, width - 62],
  );
  const image = picture(
    width,
    next.length * step + 6,
    "Probability of the next token, reference and quant",
  );
  next.forEach((t, k) => {
    const y = k * step + 2,
      target = t.id === targetOf(text, i);
    image.append(
      s(
        "text",
        { x: left - 8, y: y + 15, "text-anchor": "end", class: target ? "strong" : "" },
        shownPiece(text, t.id).slice(0, 20) + (target ? " ✓" : ""),
      ),
    );
    [
      [t.reference, ""],
      [t.quant, "second"],
    ].forEach(([p, name], side) => {
      if (p === null) {
        image.append(s("text", { x: left + 4, y: y + 10 + side * 14 }, "not among its ten"));
        return;
      }
      image.append(
        s("rect", {
          class: `bar ${name}`,
          x: left,
          width: Math.max(x(p) - left, 1),
          y: y + side * 14,
          height: 12,
          rx: 2,
        }),
        s("text", { x: x(p) + 5, y: y + 10 + side * 14 }, percent(p, p < 0.001 ? 2 : 1)),
      );
    });
  });
  return image;
}
