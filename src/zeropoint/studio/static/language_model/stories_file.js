// The file of the small language model: inside a page that is one file, otherwise on the studio's server.

import { Stories } from "./stories.js";

const ADDRESS = "/static/entries/stories.safetensors";

/** @type {Stories | Promise<Stories> | null} */
let loaded = null;

/**
 * Call `use` with the model: at once if the page contains it.
 * @param {(stories: Stories) => void} use
 */
export function withStories(use) {
  loaded ??= load();
  if (loaded instanceof Stories) use(loaded);
  else loaded.then(use);
}

/** @returns {Stories | Promise<Stories>} */
function load() {
  const island = document.getElementById("stories");
  if (island) {
    return new Stories(Uint8Array.from(atob(island.textContent ?? ""), (c) => c.charCodeAt(0)));
  }
  return fetch(ADDRESS, { credentials: "same-origin" })
    .then((answer) => answer.arrayBuffer())
    .then((bytes) => new Stories(new Uint8Array(bytes)));
}
