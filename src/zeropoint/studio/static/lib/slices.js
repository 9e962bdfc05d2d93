// Long work in small slices, so that the page answers between them.

/** @type {Map<string, Generator>} the work in progress, by the place that shows its result */
const running = new Map();

/**
 * Run a generator, one step after the other, with a pause after each. Other work of the same name ends.
 * @template T
 * @param {string} name
 * @param {Generator<any, T>} work
 * @param {(result: T) => void} onDone
 */
export function runInSlices(name, work, onDone) {
  running.set(name, work);
  document.documentElement.dataset.computing = "";
  const step = () => {
    if (running.get(name) !== work) return;
    const { done, value } = work.next();
    if (!done) {
      setTimeout(step);
      return;
    }
    running.delete(name);
    if (!running.size) delete document.documentElement.dataset.computing;
    onDone(/** @type {T} */ (value));
  };
  setTimeout(step);
}
