// Requests to the studio's server. Errors carry the server's message.

import { parseData } from "./start.js";

/**
 * Fetch the JSON at an address, with typed arrays. Throws an Error whose message can be shown.
 * @param {string} address
 * @returns {Promise<any>}
 */
export async function ask(address) {
  let answer, text;
  try {
    answer = await fetch(address, { credentials: "same-origin" });
    text = await answer.text();
  } catch {
    throw new Error("The studio does not answer. Was it closed in its terminal?");
  }
  if (answer.ok) return parseData(text);
  throw refusal(answer, text);
}

/**
 * Poll every 0.4 seconds until the weights of a model have been read.
 * @param {string} id
 * @param {(scan: { done: number, total: number, ready: boolean }) => void} each
 * @returns {Promise<any>}
 */
export async function whenRead(id, each) {
  for (;;) {
    const found = await ask(`/api/models/${id}/scan`);
    each(found);
    if (found.ready) return found;
    await new Promise((resume) => setTimeout(resume, 400));
  }
}

/**
 * Post a request and call `onRecord` with each line of the answer. Throws as `ask` does.
 * @param {string} address
 * @param {object} words
 * @param {(record: any) => void} onRecord
 * @param {AbortSignal} [signal]
 */
export async function tell(address, words, onRecord, signal) {
  let answer;
  try {
    answer = await fetch(address, {
      method: "POST",
      credentials: "same-origin",
      signal,
      body: JSON.stringify(words),
      headers: { "content-type": "application/json" },
    });
  } catch (error) {
    if (isAbort(error)) return;
    throw new Error("The studio does not answer. Was it closed in its terminal?");
  }
  if (!answer.ok || !answer.body) {
    throw refusal(answer, await answer.text());
  }
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      if (isAbort(error)) return;
      throw new Error("The answer was cut off: the studio was closed or restarted.");
    }
    if (part.done) break;
    const lines = (rest + part.value).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const record = parseData(line);
      if (record.error) throw new Error(record.error);
      onRecord(record);
    }
  }
}

/**
 * Post a request and return the last line of the answer. Throws as `ask` does.
 * @param {string} address
 * @param {object} words
 * @returns {Promise<any>}
 */
export async function send(address, words) {
  let found = null;
  await tell(address, words, (record) => {
    found = record;
  });
  return found;
}

/**
 * The studio's reason for refusing a request, as an Error.
 * @param {Response} answer
 * @param {string} text
 */
function refusal(answer, text) {
  let reason = text.trim();
  try {
    reason = JSON.parse(text).error ?? reason;
  } catch {
    // the answer is plain text
  }
  return new Error(reason || `The studio answered ${answer.status}.`);
}

/** @param {unknown} error */
const isAbort = (error) => error instanceof Error && error.name === "AbortError";
