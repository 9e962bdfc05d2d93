// Writes stories, word by word, with a model that may change between two words.

import { choose, indexOfLargest, logProbabilities } from "./distributions.js";
import { END, finished, readInParts } from "./stories.js";

/** @typedef {import("./llama.js").Llama} Llama */
/** @typedef {import("./stories.js").Stories} Stories */

/**
 * A written word: its token, the bits of the model that wrote it, and its probability in the reference.
 * @typedef {{ id: number, bits: number, probability: number }} Written
 */

/** Both models read what has been written; the quantized one chooses the next word. */
export class Writer {
  /**
   * @param {Stories} stories
   * @param {{ seed: number, temperature: number }} options temperature 0: always the likeliest word
   */
  constructor(stories, { seed, temperature }) {
    this.stories = stories;
    this.seed = seed;
    this.temperature = temperature;
    this.count = 0;
    this.model = stories.reference;
    this.bits = 16;
    /** @type {Written[]} */
    this.story = [];
    this.referenceCache = stories.newCache();
    this.cache = this.referenceCache;
    this.expected = this.readBy(stories.reference, [END], this.referenceCache);
    /** @type {Float64Array} */
    this.found = this.expected; // log probabilities of the next word in the model that writes
  }

  /** Begin a new story. */
  begin() {
    this.story = [];
    this.referenceCache = this.stories.newCache();
    this.expected = this.readBy(this.stories.reference, [END], this.referenceCache);
    this.use(this.model, this.bits);
  }

  /**
   * Go on with another model, or with the same one whose weights have changed.
   * @param {Llama} model
   * @param {number} bits
   */
  use(model, bits) {
    finished(this.useInSteps(model, bits));
  }

  /**
   * As `use`. Yields while the model reads the story so far; until the end, nothing can be written.
   * @param {Llama} model
   * @param {number} bits
   */
  *useInSteps(model, bits) {
    this.model = model;
    this.bits = bits;
    this.cache = this.stories.newCache();
    this.found = this.expected;
    if (this.isReference) return;
    const tokens = [END, ...this.story.map(({ id }) => id)];
    for (const part of readInParts(model, tokens, this.cache)) {
      this.found = part[part.length - 1];
      yield;
    }
  }

  get isReference() {
    return this.model === this.stories.reference;
  }

  /** Whether the story has ended, by its last word or because the model can read no more. */
  get ended() {
    const last = this.story.at(-1);
    const limit = this.model.config.max_position_embeddings - 1;
    return last?.id === END || this.story.length >= limit;
  }

  /**
   * Write one word; after the end of a story, the first word of the next.
   * @returns {Written}
   */
  write() {
    if (this.ended) this.begin();
    const logs = this.found;
    const id = this.temperature
      ? choose(logs, this.temperature, this.seed, this.count++)
      : indexOfLargest(logs);
    const probability = Math.exp(this.expected[id]);
    const written = { id, bits: this.bits, probability };
    this.story.push(written);
    if (this.ended) return written;
    this.expected = this.readBy(this.stories.reference, [id], this.referenceCache);
    this.found = this.isReference ? this.expected : this.readBy(this.model, [id], this.cache);
    return written;
  }

  /**
   * The log probabilities of the next word after some tokens.
   * @param {Llama} model
   * @param {number[]} tokens
   * @param {import("./llama.js").Cache} cache
   */
  readBy(model, tokens, cache) {
    const size = this.stories.words.length;
    return logProbabilities(model.read(tokens, cache), tokens.length - 1, size);
  }
}
