// Which words of two texts differ: the longest common subsequence of words.

const MAX_WORDS = 1500; // of each text; what follows counts as different

/**
 * Split two texts into pieces [text, differs], so that the pieces that do not differ are the same in both.
 * @param {string} first
 * @param {string} second
 * @returns {[string, boolean][][]} the pieces of each text
 */
export function wordDifferences(first, second) {
  const [a, b] = [first, second].map((text) => text.match(/\s+|[^\s]+/g) ?? []);
  const common = commonWords(a.slice(0, MAX_WORDS), b.slice(0, MAX_WORDS));
  return [joined(a, new Set(common.map(([i]) => i))), joined(b, new Set(common.map(([, j]) => j)))];
}

/**
 * The pairs of indices of a longest common subsequence.
 * @param {string[]} a
 * @param {string[]} b
 * @returns {[number, number][]}
 */
function commonWords(a, b) {
  const width = b.length + 1,
    lengths = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const at = i * width + j;
      lengths[at] =
        a[i] === b[j]
          ? lengths[at + width + 1] + 1
          : Math.max(lengths[at + width], lengths[at + 1]);
    }
  }
  /** @type {[number, number][]} */
  const pairs = [];
  let i = 0,
    j = 0;
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) pairs.push([i++, j++]);
    else if (lengths[(i + 1) * width + j] >= lengths[i * width + j + 1]) i++;
    else j++;
  }
  return pairs;
}

/**
 * Neighbouring words with the same answer as one piece. White space alone never differs.
 * @param {string[]} words
 * @param {Set<number>} common
 * @returns {[string, boolean][]}
 */
function joined(words, common) {
  /** @type {[string, boolean][]} */
  const pieces = [];
  words.forEach((word, i) => {
    const space = word.trim() === "",
      last = pieces.at(-1);
    const between = space && last?.[1] && i + 1 < words.length && !common.has(i + 1);
    const differs = space ? Boolean(between) : !common.has(i);
    if (last && last[1] === differs) last[0] += word;
    else pieces.push([word, differs]);
  });
  return pieces;
}
