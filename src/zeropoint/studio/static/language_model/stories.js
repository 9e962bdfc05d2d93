// The small language model of the walk: its words, its weights, and quantized copies of them.

import { divergence, indexOfLargest, logProbabilities } from "./distributions.js";
import { Cache, Llama } from "./llama.js";
import { bitsPerWeight, quantizeMatrix } from "./quantized_matrix.js";
import { readSafetensors } from "./safetensors.js";

/** @typedef {import("./quantized_matrix.js").Setting} Setting */
/** @typedef {import("./safetensors.js").Matrix} Matrix */

export const END = 0; // the token between two stories
const TOKENS_AT_ONCE = 16; // of a long text: other work can be done in between

/** The model as it was trained, with float16 weights. */
export class Stories {
  /** @param {Uint8Array} bytes a file written by docs/walk/train_stories.py */
  constructor(bytes) {
    const { metadata, tensors } = readSafetensors(bytes);
    const config = JSON.parse(metadata.config);
    /** @type {string[]} */
    this.words = JSON.parse(metadata.vocabulary);
    /** @type {number[][]} */
    this.heldOut = JSON.parse(metadata.held_out);
    this.tensors = tensors;
    this.reference = new Llama({ rope_theta: 10000, ...config }, tensors);
    this.matrices = Object.entries(tensors).filter(([, matrix]) => matrix.rows > 1);
    this.parameters = sum(Object.values(tensors).map((matrix) => matrix.values.length));
    /** @type {Float64Array[] | null} */
    this.heldOutLogs = null;
  }

  /** An empty cache for a model of this shape. */
  newCache() {
    return new Cache(this.reference.config);
  }

  /**
   * The size of the weights in bytes; vectors stay at 16 bits.
   * @param {Setting} setting
   */
  bytes(setting) {
    return sum(
      Object.values(this.tensors).map(({ rows, columns, values }) =>
        rows > 1 ? (values.length * bitsPerWeight(setting, columns)) / 8 : values.length * 2,
      ),
    );
  }

  /**
   * Compare a model with the reference on the held-out text. Yields between parts of the work, and
   * returns the mean KL divergence in nats and the share of words with the same first choice.
   * @param {Llama} quant
   * @returns {Generator<void, { kl: number, same: number }>}
   */
  *compare(quant) {
    if (!this.heldOutLogs) {
      /** @type {Float64Array[]} */
      const logs = [];
      for (const text of this.heldOut) {
        for (const part of readInParts(this.reference, text)) {
          logs.push(...part);
          yield;
        }
      }
      this.heldOutLogs = logs;
    }
    let [at, kl, same] = [0, 0, 0];
    for (const text of this.heldOut) {
      for (const part of readInParts(quant, text)) {
        for (const found of part) {
          const expected = this.heldOutLogs[at++];
          kl += divergence(expected, found);
          if (indexOfLargest(expected) === indexOfLargest(found)) same++;
        }
        yield;
      }
    }
    return { kl: kl / at, same: same / at };
  }
}

/** @param {number[]} numbers */
const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

/**
 * The log probabilities after each token of a text, some tokens at a time.
 * @param {Llama} model
 * @param {number[]} text
 * @param {Cache} [cache] for what follows
 * @returns {Generator<Float64Array[]>}
 */
export function* readInParts(model, text, cache = new Cache(model.config)) {
  const size = model.tensors["model.embed_tokens.weight"].rows;
  for (let at = 0; at < text.length; at += TOKENS_AT_ONCE) {
    const part = text.slice(at, at + TOKENS_AT_ONCE);
    const logits = model.read(part, cache);
    yield part.map((_, i) => logProbabilities(logits, i, size));
  }
}

/** A quantized copy of the model; the copy of the next setting takes its place. */
export class QuantizedStories {
  /** @param {Stories} stories */
  constructor(stories) {
    this.stories = stories;
    const tensors = { ...stories.tensors };
    for (const [name, matrix] of stories.matrices) {
      tensors[name] = { ...matrix, values: new Float32Array(matrix.values.length) };
    }
    this.copy = new Llama(stories.reference.config, tensors);
    this.codes = Object.fromEntries(
      stories.matrices.map(([name, matrix]) => [name, new Int8Array(matrix.values.length)]),
    );
  }

  /**
   * The model with this setting. The reference itself at 16 bits.
   * @param {Setting} setting
   */
  at(setting) {
    return finished(this.inSteps(setting));
  }

  /**
   * As `at`. Yields after each matrix; until the end, the copy is of two settings.
   * @param {Setting} setting
   * @returns {Generator<void, Llama>}
   */
  *inSteps(setting) {
    if (setting.bits === 16) return this.stories.reference;
    for (const [name, matrix] of this.stories.matrices) {
      quantizeMatrix(matrix, setting, this.copy.tensors[name].values, this.codes[name]);
      yield;
    }
    return this.copy;
  }
}

/**
 * Do all of some work at once, and return its result.
 * @template T
 * @param {Generator<any, T>} work
 * @returns {T}
 */
export function finished(work) {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
  }
}

/**
 * The text between a word and the one before it: nothing or a space.
 * @param {string} before
 * @param {string} word
 */
export function gap(before, word) {
  return before === "" || before === "“" || /^[,.?”]$/.test(word) ? "" : " ";
}
