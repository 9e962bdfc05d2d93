// Decompresses gzip at once (RFC 1951, 1952). The browser's own decompression answers only after the page
// has loaded, and a program that prints a report then finds no figure on it.

const HEADER_BYTES = 10; // of gzip without optional fields, as the data of a page is packed
const MAX_CODE_BITS = 15;
const LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const LENGTHS = bases(
  3,
  [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5],
); // prettier-ignore
const DISTANCES = bases(
  1,
  [
    0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13,
    13,
  ],
); // prettier-ignore

/** @typedef {{ counts: Uint16Array, symbols: Uint16Array }} Code */

/**
 * The first value of each symbol that has extra bits, with the number of these bits.
 * @param {number} first
 * @param {number[]} extra
 */
function bases(first, extra) {
  let value = first;
  return extra.map((bits) => {
    const base = value;
    value += 1 << bits;
    return { base, bits };
  });
}

/**
 * Decompress the only member of a gzip file.
 * @param {Uint8Array} data
 */
export function gunzip(data) {
  const size = new DataView(data.buffer, data.byteOffset).getUint32(data.length - 4, true);
  const out = new Uint8Array(size);
  let at = HEADER_BYTES,
    held = 0,
    count = 0,
    written = 0;

  /** @param {number} wanted */
  function bits(wanted) {
    while (count < wanted) {
      held |= data[at++] << count;
      count += 8;
    }
    const value = held & ((1 << wanted) - 1);
    held >>>= wanted;
    count -= wanted;
    return value;
  }

  /** @param {Code} code */
  function symbol({ counts, symbols }) {
    let value = 0,
      first = 0,
      index = 0;
    for (let length = 1; length <= MAX_CODE_BITS; length++) {
      value |= bits(1);
      const own = counts[length];
      if (value - first < own) return symbols[index + value - first];
      index += own;
      first = (first + own) << 1;
      value <<= 1;
    }
    throw new Error("the data of this page is damaged");
  }

  /** @param {Code} literals @param {Code} distances */
  function block(literals, distances) {
    for (let next = symbol(literals); next !== 256; next = symbol(literals)) {
      if (next < 256) {
        out[written++] = next;
        continue;
      }
      // Symbol 285 is the length 258 without extra bits.
      const long = LENGTHS[next - 257];
      const length = next === 285 ? 258 : long.base + bits(long.bits);
      const far = DISTANCES[symbol(distances)];
      const from = written - (far.base + bits(far.bits));
      for (let i = 0; i < length; i++) out[written++] = out[from + i];
    }
  }

  function stored() {
    held = count = 0;
    const length = data[at] | (data[at + 1] << 8);
    out.set(data.subarray(at + 4, at + 4 + length), written);
    at += 4 + length;
    written += length;
  }

  function dynamicCodes() {
    const literals = bits(5) + 257,
      distances = bits(5) + 1,
      used = bits(4) + 4;
    const orders = new Uint8Array(19);
    for (let i = 0; i < used; i++) orders[LENGTH_ORDER[i]] = bits(3);
    const order = codeOf(orders),
      lengths = new Uint8Array(literals + distances);
    for (let i = 0; i < lengths.length; ) {
      const next = symbol(order);
      if (next < 16) lengths[i++] = next;
      else {
        const [value, times] =
          next === 16
            ? [lengths[i - 1], 3 + bits(2)]
            : [0, next === 17 ? 3 + bits(3) : 11 + bits(7)];
        lengths.fill(value, i, i + times);
        i += times;
      }
    }
    return [codeOf(lengths.subarray(0, literals)), codeOf(lengths.subarray(literals))];
  }

  for (let last = 0; !last; ) {
    last = bits(1);
    const kind = bits(2);
    if (kind === 0) stored();
    else {
      const [literals, distances] = kind === 1 ? fixedCodes() : dynamicCodes();
      block(literals, distances);
    }
  }
  return out;
}

/**
 * The canonical Huffman code of symbols with these code lengths.
 * @param {Uint8Array} lengths
 * @returns {Code}
 */
function codeOf(lengths) {
  const counts = new Uint16Array(MAX_CODE_BITS + 1),
    places = new Uint16Array(MAX_CODE_BITS + 2),
    symbols = new Uint16Array(lengths.length);
  for (const length of lengths) counts[length]++;
  counts[0] = 0;
  for (let length = 1; length <= MAX_CODE_BITS; length++) {
    places[length + 1] = places[length] + counts[length];
  }
  lengths.forEach((length, i) => {
    if (length) symbols[places[length]++] = i;
  });
  return { counts, symbols };
}

function fixedCodes() {
  const lengths = new Uint8Array(288).fill(8);
  lengths.fill(9, 144, 256).fill(7, 256, 280);
  return [codeOf(lengths), codeOf(new Uint8Array(30).fill(5))];
}
