// A whole language model that writes while the reader takes bits away from its weights.

import { QuantizedStories } from "../../language_model/stories.js";
import { withStories } from "../../language_model/stories_file.js";
import { Writer } from "../../language_model/writer.js";
import { button, range } from "../../lib/controls.js";
import { announce, h, widthOf } from "../../lib/dom.js";
import { figureParts } from "../../lib/figure.js";
import { format, inBytes, percent } from "../../lib/format.js";
import { runInSlices } from "../../lib/slices.js";
import { fact, value } from "../../lib/table.js";
import { nextWords, triedBits } from "./drawing.js";
import { blockControl, guessControl, settingKey, storyScope, symmetryControl } from "./settings.js";
import { WrittenText } from "./written_text.js";

const WORDS_AT_START = 40;
const WORDS_AT_CHANGE = 12; // where nothing moves by itself
const MILLISECONDS_PER_WORD = 85;
const TEMPERATURE = 0.8;

const still = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * @param {HTMLElement} figure
 * @param {PageData} _data
 * @param {PageState} state
 */
export function mount(figure, _data, state) {
  withStories((stories) => new Stammer(figure, state, stories));
}

/** The figure: a model, what it has written, and what it has lost at each setting that was tried. */
class Stammer {
  constructor(figure, state, stories) {
    this.stories = stories;
    this.quantized = new QuantizedStories(stories);
    this.at = storyScope(state, () => this.changed());
    /** @type {Map<string, { bits: number, kl: number, same: number, symmetric?: boolean, block?: number }>} */
    this.tried = new Map([["16", { bits: 16, kl: 0, same: 1 }]]);
    this.running = !still.matches;
    this.writer = new Writer(stories, { seed: this.at.get("seed"), temperature: TEMPERATURE });
    this.text = new WrittenText(stories.words);
    this.key = "16";
    this.following = false; // what the state says; nothing is written meanwhile
    this.write(WORDS_AT_START);
    this.controls = this.makeControls();
    this.show = figureParts(figure, this.controls.elements, (plot) => this.draw(plot));
    if (this.key !== settingKey(this.setting)) this.apply();
    this.writeInSight(figure);
  }

  makeControls() {
    const { at } = this;
    const guess = guessControl(at);
    const bits = range({
      label: "Bits per weight: drag",
      min: 2,
      max: 16,
      step: 1,
      name: "bits",
      toSlider: (x) => Math.min(x, 9), // 16 follows 8
      fromSlider: (x) => (x > 8 ? 16 : x),
      sliderStep: 1,
      onInput: (x) => at.set({ bits: x > 8 ? 16 : Math.round(x) }),
      onDone: () => at.set({}, { push: true }),
    });
    const symmetry = symmetryControl(at);
    const block = blockControl(at);
    const pause = button("", "pause", () => {
      this.running = !this.running;
      this.show();
    });
    const more = button("Write 20 words", "write", () => {
      this.write(20);
      this.show();
    });
    const again = button("Another story", "again", () => {
      at.set({ seed: at.get("seed") + 1 }, { push: true });
    });
    const details = h(
      "details",
      { class: "more" },
      h("summary", {}, "More options"),
      h(
        "div",
        { class: "controls" },
        symmetry,
        block,
        h("div", { class: "control buttons" }, more, again),
      ),
    );
    return {
      elements: [guess, bits, h("div", { class: "control buttons" }, pause), details],
      sync: () => {
        guess.set(at.get("guess"));
        bits.set(at.get("bits"));
        symmetry.set(at.get("rule"));
        block.set(at.get("block"));
        pause.textContent = this.running ? "Pause" : "Let it write";
      },
    };
  }

  get setting() {
    const { at } = this;
    return { bits: at.get("bits"), symmetric: at.get("rule") === "sym", block: at.get("block") };
  }

  /** Follow the state: quantize, read the story so far, write on, and compare with the 16-bit model. */
  apply() {
    this.key = settingKey(this.setting);
    this.following = true;
    runInSlices("stammer", this.follow(this.setting, this.key), () => this.show());
  }

  *follow(setting, key) {
    const model = yield* this.quantized.inSteps(setting);
    yield* this.writer.useInSteps(model, setting.bits);
    this.following = false;
    this.show();
    for (let i = 0; i < WORDS_AT_CHANGE && !this.running; i++) {
      this.write(1);
      yield;
    }
    if (this.tried.has(key)) return;
    const found = yield* this.stories.compare(model);
    this.tried.set(key, { ...setting, ...found });
    announce(`${setting.bits} bits: KL ${format(found.kl, 3)} nats per word`);
  }

  changed() {
    if (this.writer.seed !== this.at.get("seed")) this.beginAnother();
    if (this.key !== settingKey(this.setting)) this.apply();
    this.show();
  }

  beginAnother() {
    this.writer.seed = this.at.get("seed");
    this.writer.count = 0;
    this.writer.begin();
    this.text.clear();
    this.write(WORDS_AT_START);
  }

  /** @param {number} count */
  write(count) {
    if (this.following) return;
    for (let i = 0; i < count; i++) this.text.add(this.writer.write());
  }

  /** Write on while the figure can be seen and is not paused. */
  writeInSight(figure) {
    let near = false;
    new IntersectionObserver(([entry]) => {
      near = entry.isIntersecting;
    }).observe(figure);
    setInterval(() => {
      if (!near || !this.running || document.hidden) return;
      this.write(1);
      this.show();
    }, MILLISECONDS_PER_WORD);
  }

  draw(plot) {
    const { stories, setting, writer } = this;
    this.controls.sync();
    const found = this.tried.get(this.key);
    const bytes = stories.bytes(setting);
    const width = widthOf(plot);
    const half = width > 640 ? Math.floor((width - 32) / 2) : width;
    return {
      plot: [
        this.text.element,
        h(
          "div",
          { class: "beside" },
          nextWords(half, stories.words, writer.expected, writer.found),
          triedBits(half, [...this.tried.values()], setting),
        ),
      ],
      reading: [
        fact("size of the weights", value("bytes", bytes, inBytes(bytes))),
        fact(
          "KL from its 16-bit self",
          found ? value("kl", found.kl, `${format(found.kl, 3)} nats`) : "…",
        ),
        fact("same likeliest word", found ? value("same", found.same, percent(found.same)) : "…"),
        h(
          "p",
          { class: "legend" },
          h("span", {}, h("i", { class: "swatch reference" }), "with 16 bits"),
          h("span", {}, h("i", { class: "swatch quant" }), "with the bits that you left"),
        ),
        h(
          "p",
          { class: "note" },
          h("span", { class: "tok odd" }, "Marked"),
          " words are ones that the 16-bit model would have written less than once in a hundred times. " +
            `KL and the share are over ${stories.heldOut.flat().length} words of stories that the model never saw.`,
        ),
      ],
      table: () => [
        ["bits", "scale", "weights per scale", "KL, nats per word", "same likeliest word"],
        [...this.tried.values()].map((one) => [
          one.bits,
          one.bits === 16 ? "–" : one.symmetric ? "symmetric" : "with zero point",
          one.bits === 16 ? "–" : one.block || "a row",
          one.kl,
          one.same,
        ]),
      ],
    };
  }
}
