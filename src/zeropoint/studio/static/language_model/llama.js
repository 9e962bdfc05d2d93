// A forward pass of a model with Llama's architecture, in plain JavaScript.
//
// Sums are float64 and results float32, so the logits are those of any careful float32 program up to
// rounding. Sources: RMSNorm (Zhang and Sennrich 2019), rotary positions (Su et al. 2021), SwiGLU (Shazeer 2020).

/** @typedef {import("./safetensors.js").Matrix} Matrix */

/** @typedef {{ hidden_size: number, intermediate_size: number, num_hidden_layers: number,
 *   num_attention_heads: number, rms_norm_eps: number, max_position_embeddings: number,
 *   rope_theta: number }} LlamaConfig */

/** The keys and values of the tokens that a model has read: per layer (context, width) float32. */
export class Cache {
  /** @param {LlamaConfig} config */
  constructor(config) {
    const size = config.max_position_embeddings * config.hidden_size;
    const make = () =>
      Array.from({ length: config.num_hidden_layers }, () => new Float32Array(size));
    this.keys = make();
    this.values = make();
    this.length = 0;
  }
}

/** A model: its configuration, and its weights by their Hugging Face names. */
export class Llama {
  /**
   * @param {LlamaConfig} config
   * @param {Record<string, Matrix>} tensors
   */
  constructor(config, tensors) {
    this.config = config;
    this.tensors = tensors;
    const half = config.hidden_size / config.num_attention_heads / 2;
    this.turns = Float32Array.from({ length: half }, (_, i) => config.rope_theta ** (-i / half));
  }

  /**
   * Read tokens after those in the cache. Returns the logits of each: (tokens, vocabulary) float32.
   * @param {ArrayLike<number>} tokens
   * @param {Cache} cache
   */
  read(tokens, cache) {
    const { config, tensors } = this;
    const width = config.hidden_size;
    const embedding = tensors["model.embed_tokens.weight"];
    const stream = new Float32Array(tokens.length * width);
    for (let t = 0; t < tokens.length; t++) {
      const row = tokens[t] * width;
      stream.set(embedding.values.subarray(row, row + width), t * width);
    }
    for (let layer = 0; layer < config.num_hidden_layers; layer++) {
      const part = (/** @type {string} */ name) => tensors[`model.layers.${layer}.${name}.weight`];
      this.attend(stream, part, cache, layer);
      this.feedForward(stream, part);
    }
    cache.length += tokens.length;
    return multiply(embedding, this.normalized(stream, tensors["model.norm.weight"]));
  }

  /**
   * Add what a layer's attention finds in the tokens so far.
   * @param {Float32Array} stream
   * @param {(name: string) => Matrix} part
   * @param {Cache} cache
   * @param {number} layer
   */
  attend(stream, part, cache, layer) {
    const width = this.config.hidden_size;
    const inputs = this.normalized(stream, part("input_layernorm"));
    const queries = multiply(part("self_attn.q_proj"), inputs);
    const keys = multiply(part("self_attn.k_proj"), inputs);
    this.rotate(queries, cache.length);
    this.rotate(keys, cache.length);
    cache.keys[layer].set(keys, cache.length * width);
    cache.values[layer].set(multiply(part("self_attn.v_proj"), inputs), cache.length * width);
    const found = this.weighted(queries, cache, layer);
    add(stream, multiply(part("self_attn.o_proj"), found));
  }

  /**
   * The values of earlier tokens, weighted by how well their keys fit each query.
   * @param {Float32Array} queries
   * @param {Cache} cache
   * @param {number} layer
   */
  weighted(queries, cache, layer) {
    const { hidden_size: width, num_attention_heads: heads } = this.config;
    const size = width / heads;
    const keys = cache.keys[layer];
    const values = cache.values[layer];
    const found = new Float32Array(queries.length);
    const scores = new Float64Array(cache.length + queries.length / width);
    for (let start = 0; start < queries.length; start += size) {
      const visible = cache.length + Math.floor(start / width) + 1;
      const head = start % width;
      let highest = -Infinity;
      for (let t = 0; t < visible; t++) {
        let score = 0;
        for (let i = 0; i < size; i++) score += queries[start + i] * keys[t * width + head + i];
        scores[t] = score / Math.sqrt(size);
        if (scores[t] > highest) highest = scores[t];
      }
      let total = 0;
      for (let t = 0; t < visible; t++) {
        scores[t] = Math.exp(scores[t] - highest);
        total += scores[t];
      }
      for (let t = 0; t < visible; t++) {
        const share = scores[t] / total;
        for (let i = 0; i < size; i++) found[start + i] += share * values[t * width + head + i];
      }
    }
    return found;
  }

  /**
   * Turn pairs of numbers by their position; pairs are half a head apart.
   * @param {Float32Array} rows
   * @param {number} first the position of the first row
   */
  rotate(rows, first) {
    const { turns } = this;
    const half = turns.length;
    const width = this.config.hidden_size;
    for (let start = 0; start < rows.length; start += 2 * half) {
      const position = first + Math.floor(start / width);
      for (let i = start; i < start + half; i++) {
        const angle = position * turns[i - start];
        const cosine = Math.cos(angle);
        const sine = Math.sin(angle);
        const [a, b] = [rows[i], rows[i + half]];
        rows[i] = a * cosine - b * sine;
        rows[i + half] = b * cosine + a * sine;
      }
    }
  }

  /**
   * Add the output of a layer's feed-forward network.
   * @param {Float32Array} stream
   * @param {(name: string) => Matrix} part
   */
  feedForward(stream, part) {
    const inputs = this.normalized(stream, part("post_attention_layernorm"));
    const gates = multiply(part("mlp.gate_proj"), inputs);
    const inner = multiply(part("mlp.up_proj"), inputs);
    for (let i = 0; i < inner.length; i++) inner[i] *= gates[i] / (1 + Math.exp(-gates[i]));
    add(stream, multiply(part("mlp.down_proj"), inner));
  }

  /**
   * Rows divided by their root mean square, times a weight per column.
   * @param {Float32Array} rows
   * @param {Matrix} weight
   */
  normalized(rows, weight) {
    const width = weight.columns;
    const result = new Float32Array(rows.length);
    for (let start = 0; start < rows.length; start += width) {
      let squares = 0;
      for (let i = start; i < start + width; i++) squares += rows[i] * rows[i];
      const factor = 1 / Math.sqrt(squares / width + this.config.rms_norm_eps);
      for (let i = 0; i < width; i++) {
        result[start + i] = rows[start + i] * factor * weight.values[i];
      }
    }
    return result;
  }
}

/**
 * Add one list of numbers to another.
 * @param {Float32Array} sum
 * @param {Float32Array} more
 */
function add(sum, more) {
  for (let i = 0; i < sum.length; i++) sum[i] += more[i];
}

/**
 * The product of each input row with each row of a matrix: (inputs, rows) float32.
 * @param {Matrix} matrix rows and columns are multiples of 4
 * @param {Float32Array} inputs (inputs, columns)
 */
function multiply({ rows, columns, values }, inputs) {
  const count = inputs.length / columns;
  const result = new Float32Array(count * rows);
  const x = Float64Array.from(inputs);
  const fours = count - (count % 4);
  for (let row = 0; row < rows; row += 2) {
    for (let t = 0; t < fours; t += 4) twoByFour(values, row, x, t, columns, rows, result);
  }
  for (let t = fours; t < count; t++) {
    for (let row = 0; row < rows; row++) {
      result[t * rows + row] = product(values, row * columns, x, t * columns, columns);
    }
  }
  return result;
}

/**
 * Two rows of the matrix times four inputs: each number that is loaded is used several times.
 * @param {Float32Array} values
 * @param {number} row
 * @param {Float64Array} x
 * @param {number} t
 * @param {number} columns
 * @param {number} rows
 * @param {Float32Array} result
 */
function twoByFour(values, row, x, t, columns, rows, result) {
  const v = row * columns;
  const w = v + columns;
  const a = t * columns;
  const b = a + columns;
  const c = b + columns;
  const d = c + columns;
  let [va, vb, vc, vd, wa, wb, wc, wd] = [0, 0, 0, 0, 0, 0, 0, 0];
  for (let i = 0; i < columns; i++) {
    const first = values[v + i];
    const second = values[w + i];
    va += first * x[a + i];
    vb += first * x[b + i];
    vc += first * x[c + i];
    vd += first * x[d + i];
    wa += second * x[a + i];
    wb += second * x[b + i];
    wc += second * x[c + i];
    wd += second * x[d + i];
  }
  const at = t * rows + row;
  result[at] = va;
  result[at + 1] = wa;
  result[at + rows] = vb;
  result[at + rows + 1] = wb;
  result[at + 2 * rows] = vc;
  result[at + 2 * rows + 1] = wc;
  result[at + 3 * rows] = vd;
  result[at + 3 * rows + 1] = wd;
}

/**
 * The product of two rows, in four sums that the processor can compute at the same time.
 * @param {Float32Array} weights
 * @param {number} w
 * @param {Float64Array} inputs
 * @param {number} x
 * @param {number} columns a multiple of 4
 */
function product(weights, w, inputs, x, columns) {
  let [sumA, sumB, sumC, sumD] = [0, 0, 0, 0];
  for (let i = 0; i < columns; i += 4) {
    sumA += weights[w + i] * inputs[x + i];
    sumB += weights[w + i + 1] * inputs[x + i + 1];
    sumC += weights[w + i + 2] * inputs[x + i + 2];
    sumD += weights[w + i + 3] * inputs[x + i + 3];
  }
  return sumA + sumB + (sumC + sumD);
}
