// Conversations of the chat page, kept in this browser: a reload or a restart of the studio loses none.

const KEY = "zeropoint.chats";
const MAX_KEPT = 20; // conversations

/**
 * @typedef {{ text: string, ids: number[], finished?: string, plain?: boolean }} Answer
 * @typedef {{ text: string, sides: Answer[], vote: string, told: string, done?: boolean }} Turn
 * @typedef {{ id: string, reference: string, quant: string, turns: Turn[], flip: boolean }} Chat
 */

/**
 * The kept conversations, the latest first.
 * @returns {Chat[]}
 */
export function keptChats() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(found) ? found.filter((chat) => Array.isArray(chat?.turns)) : [];
  } catch {
    return []; // storage is off, or another program wrote there
  }
}

/**
 * Keep a conversation as the latest one; the oldest ones are dropped.
 * @param {Chat} chat
 */
export function keepChat({ id, reference, quant, turns, flip }) {
  if (!turns.length) return;
  const others = keptChats().filter((chat) => chat.id !== id);
  for (let count = MAX_KEPT; count > 0; count = Math.floor(count / 2)) {
    try {
      const kept = [{ id, reference, quant, turns, flip }, ...others].slice(0, count);
      localStorage.setItem(KEY, JSON.stringify(kept));
      return;
    } catch {
      // the storage is full: keep fewer
    }
  }
}

/**
 * A new conversation of two models.
 * @param {string} reference
 * @param {string} quant
 * @param {boolean} blind
 * @returns {Chat}
 */
export function newChat(reference, quant, blind) {
  const odd = crypto.getRandomValues(new Uint8Array(1))[0] % 2 === 1;
  return { id: crypto.randomUUID(), reference, quant, turns: [], flip: blind && odd };
}

/**
 * What was said before, for a studio that has not heard it: the message and both answers of each turn.
 * @param {Chat} chat
 * @returns {string[][]}
 */
export function historyOf(chat) {
  return chat.turns.map((turn) => [turn.text, ...turn.sides.map((side) => side.text)]);
}
