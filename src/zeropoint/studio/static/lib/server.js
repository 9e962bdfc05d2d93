// Asks the studio's server. What went wrong is said in the server's own words.

import { parseData } from "./start.js";

/** The JSON at an address, typed arrays included. Throws an Error with a sentence for people. */
export async function ask(address) {
  let answer, text;
  try {
    answer = await fetch(address, { credentials: "same-origin" });
    text = await answer.text();
  } catch {
    throw new Error("The studio does not answer. Was it ended in its terminal?");
  }
  if (answer.ok) return parseData(text);
  let told = text.trim();
  try {
    told = JSON.parse(text).error ?? told;
  } catch {
    // plain words
  }
  throw new Error(told || `The studio answered ${answer.status}.`);
}

/** Ask again and again until the weights of a model have been read; `each` hears how far it is. */
export async function whenRead(id, each) {
  for (;;) {
    const found = await ask(`/api/models/${id}/scan`);
    each(found);
    if (found.ready) return found;
    await new Promise((resume) => setTimeout(resume, 400));
  }
}

/** Send words to the worker and hand each line of its answer to `hear`. Throws as `ask` does. */
export async function tell(address, words, hear, signal) {
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
    if (error.name === "AbortError") return;
    throw new Error("The studio does not answer. Was it ended in its terminal?");
  }
  if (!answer.ok) {
    const text = await answer.text();
    let told = text.trim();
    try {
      told = JSON.parse(text).error ?? told;
    } catch {
      // plain words
    }
    throw new Error(told || `The studio answered ${answer.status}.`);
  }
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") return;
      throw new Error("The answer broke off: the studio has ended, or was started anew.");
    }
    if (part.done) break;
    const lines = (rest + part.value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const record = parseData(line);
      if (record.error) throw new Error(record.error);
      hear(record);
    }
  }
}

/** Send words and return the answer. Throws as `ask` does. */
export async function send(address, words) {
  let found = null;
  await tell(address, words, (record) => {
    found = record;
  });
  return found;
}
