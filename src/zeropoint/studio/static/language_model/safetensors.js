// Reads a safetensors file of float16 weights: 8 bytes for the size of the header, the header as JSON, the weights.

/**
 * A matrix of float32 weights in row order; a vector has one row.
 * @typedef {{ rows: number, columns: number, values: Float32Array }} Matrix
 */

/**
 * The metadata of a file and its tensors by name.
 * @param {Uint8Array} bytes
 * @returns {{ metadata: Record<string, string>, tensors: Record<string, Matrix> }}
 */
export function readSafetensors(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const start = 8 + Number(view.getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start)));
  /** @type {Record<string, Matrix>} */
  const tensors = {};
  for (const [name, found] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    if (found.dtype !== "F16") throw new Error(`${name} is ${found.dtype}, not F16`);
    const [rows, columns] = found.shape.length === 2 ? found.shape : [1, found.shape[0]];
    const at = bytes.byteOffset + start + found.data_offsets[0];
    const codes = new Uint16Array(bytes.buffer.slice(at, at + 2 * rows * columns));
    tensors[name] = { rows, columns, values: halvesToFloats(codes) };
  }
  return { metadata: header.__metadata__, tensors };
}

/**
 * The values of float16 codes. Infinity and NaN do not occur in weights.
 * @param {Uint16Array} codes
 */
function halvesToFloats(codes) {
  const values = new Float32Array(codes.length);
  for (let i = 0; i < codes.length; i++) {
    const exponent = (codes[i] >> 10) & 31;
    const significand = codes[i] & 1023;
    const size = exponent ? (1024 + significand) * POWERS[exponent] : significand * POWERS[1];
    values[i] = codes[i] & 0x8000 ? -size : size;
  }
  return values;
}

const POWERS = Float64Array.from({ length: 32 }, (_, exponent) => 2 ** (exponent - 25));
