/**
 * A dispatch namespace's binding: its scripts by name, as they were when this front started.
 *
 * @param {Record<string, Fetcher>} scripts
 */
export default (scripts) => ({
  /** @param {string} name */
  get(name) {
    const script = scripts[name];
    if (script === undefined) throw new Error("Worker not found.");
    return script;
  },
});
