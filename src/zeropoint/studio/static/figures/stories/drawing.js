// Drawings of the small language model: the next word in both models, and the loss at the bits that were tried.

import { axisLeft } from "../../lib/axes.js";
import { picture, s } from "../../lib/dom.js";
import { format, percent } from "../../lib/format.js";
import { linear, logarithmic } from "../../lib/scales.js";
import { BITS } from "./settings.js";

const WORDS = 6;
const LEAST_KL = 1e-5; // drawn at the bottom

/**
 * The likeliest next words, with a bar for each model.
 * @param {number} width
 * @param {string[]} words
 * @param {Float64Array} expected log probabilities in the 16-bit model
 * @param {Float64Array} found log probabilities in the quantized model
 */
export function nextWords(width, words, expected, found) {
  const likelier = Array.from(expected, (x, i) => Math.max(x, found[i]));
  const order = likelier.map((_, i) => i).sort((a, b) => likelier[b] - likelier[a]);
  const step = 30;
  const left = 96;
  const x = linear([0, 1], [left, width - 56]);
  const image = picture(
    width,
    WORDS * step + 26,
    "Probability of the next word: the 16-bit model above, the quantized model below",
    s("text", { x: 0, y: 13, class: "strong" }, "The next word"),
  );
  order.slice(0, WORDS).forEach((id, k) => {
    const y = 24 + k * step;
    image.append(
      s("text", { x: left - 8, y: y + 16, "text-anchor": "end", class: "on" }, words[id]),
    );
    for (const { logs, name, below } of [
      { logs: expected, name: "", below: 0 },
      { logs: found, name: "second", below: 11 },
    ]) {
      const p = Math.exp(logs[id]);
      image.append(
        s("rect", {
          class: `bar ${name}`,
          x: left,
          y: y + below,
          width: Math.max(x(p) - left, 1),
          height: 10,
          rx: 2,
        }),
        s("text", { x: x(p) + 5, y: y + below + 10 }, percent(p)),
      );
    }
  });
  return image;
}

/**
 * The KL divergence at each setting that was tried; the current symmetry and block are filled.
 * @param {number} width
 * @param {{ bits: number, kl: number, symmetric?: boolean, block?: number }[]} tried
 * @param {import("../../language_model/quantized_matrix.js").Setting} setting
 */
export function triedBits(width, tried, setting) {
  const [left, top, bottom] = [58, 30, 176];
  const place = (/** @type {number} */ bits) =>
    left + 16 + (BITS.indexOf(bits) * (width - left - 44)) / (BITS.length - 1);
  const y = logarithmic([LEAST_KL, 20], [bottom, top]);
  const image = picture(
    width,
    206,
    "KL divergence by bits per weight, at the settings that were tried",
    s("text", { x: 0, y: 13, class: "strong" }, "KL, nats per word"),
    axisLeft(y, left, width - 12, { n: 6, label: (v) => format(v, 1) }),
  );
  for (const bits of BITS) {
    const own = bits === setting.bits;
    image.append(
      s(
        "text",
        { x: place(bits), y: bottom + 20, "text-anchor": "middle", class: own ? "strong" : "" },
        bits,
      ),
    );
  }
  image.append(s("text", { x: width - 12, y: 13, "text-anchor": "end" }, "bits →"));
  for (const one of tried) {
    const same = one.symmetric === setting.symmetric && one.block === setting.block;
    const current = one.bits === setting.bits && (one.bits === 16 || same);
    image.append(
      s("circle", {
        class: `dot ${current ? "second" : one.bits === 16 || same ? "" : "open"}`,
        cx: place(one.bits),
        cy: y(Math.max(one.kl, LEAST_KL)),
        r: current ? 7 : 4.5,
      }),
    );
  }
  return image;
}
