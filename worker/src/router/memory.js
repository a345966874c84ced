/** What this isolate remembers of the directory. */
import { supersedes } from "./directory.js";
import { failure } from "./errors.js";

/** @import { KeepAlive } from "./bindings.js" */
/** @import { Row } from "./directory.js" */

/** How long the directory's word is taken, milliseconds; "at most 30 s" holds because jitter only shortens. */
const ACTIVE_FOR = 30_000;
/** Everything that is not active is asked again soon: a tenant made active must be seen within 2 s. */
const OTHERS_FOR = 2_000;
/** How much longer an entry serves when the directory does not answer. */
const GRACE = 300_000;
/** How long one waits for the directory, and for another request's look-up of the same tenant. */
const PATIENCE = 3_000;

/**
 * Wait for a promise, but not for ever.
 *
 * @template T
 * @param {Promise<T>} promise
 * @param {number} milliseconds
 * @returns {Promise<{ value: T } | undefined>} undefined: it has not settled in time
 */
async function within(promise, milliseconds) {
  /** @type {number | null} */
  let timer = null;
  /** @type {Promise<undefined>} */
  const late = new Promise((resolve) => {
    timer = setTimeout(() => resolve(undefined), milliseconds);
  });
  try {
    return await Promise.race([promise.then((value) => ({ value })), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Remember what the directory said of each tenant, for a while and within bounds. */
export class TenantMemory {
  #clock;
  #random;
  #capacity;
  #patience;
  /** @type {Map<string, { row: Row | null, freshUntil: number, servesUntil: number, at: number }>} */
  #entries = new Map();
  /** @type {Map<string, Promise<Row | null>>} */
  #underway = new Map();
  #ticks = 0;

  /**
   * @param {{ clock?: () => number, random?: () => number, capacity?: number, patience?: number }} [options]
   *   `clock` in milliseconds, `random` in [0, 1), `capacity` in tenants, `patience` in milliseconds
   */
  constructor({
    clock = Date.now,
    random = Math.random,
    capacity = 50_000,
    patience = PATIENCE,
  } = {}) {
    this.#clock = clock;
    this.#random = random;
    this.#capacity = capacity;
    this.#patience = patience;
  }

  get size() {
    return this.#entries.size;
  }

  /**
   * Find a tenant's row.
   *
   * @param {string} tenantId
   * @param {(tenantId: string) => Promise<Row | null>} read asks the directory
   * @param {KeepAlive} [context] keeps a look-up that others wait for alive when its request ends
   * @returns {Promise<Row | null>} null: the directory has no such tenant
   * @throws what `read` threw, when the directory fails and no entry may stand in
   */
  async find(tenantId, read, context) {
    const known = this.#entries.get(tenantId);
    if (known && this.#clock() < known.freshUntil) {
      // The least recently used go first when room is needed.
      this.#entries.delete(tenantId);
      this.#entries.set(tenantId, known);
      return known.row;
    }
    try {
      return await this.refresh(tenantId, read, context);
    } catch (error) {
      // A miss never stands in: a directory that fails does not make a tenant unknown.
      if (!known?.row || this.#clock() >= known.servesUntil) throw error;
      // Not every request has to wait for a directory that fails.
      known.freshUntil = Math.min(this.#clock() + OTHERS_FOR, known.servesUntil);
      return known.row;
    }
  }

  /**
   * Ask the directory whatever is remembered; concurrent look-ups of a tenant are one.
   *
   * @param {string} tenantId
   * @param {(tenantId: string) => Promise<Row | null>} read
   * @param {KeepAlive} [context]
   * @returns {Promise<Row | null>}
   */
  async refresh(tenantId, read, context) {
    const others = this.#underway.get(tenantId);
    if (others) {
      // It lives in the request that began it. Should that request be cancelled, it may never
      // settle: then this request asks for itself.
      const answer = await within(others, this.#patience);
      if (answer) return answer.value;
    }
    const begunAt = ++this.#ticks;
    const lookup = read(tenantId).then((row) => this.#accept(tenantId, row, begunAt));
    this.#underway.set(tenantId, lookup);
    const done = () => {
      if (this.#underway.get(tenantId) === lookup) this.#underway.delete(tenantId);
    };
    context?.waitUntil(lookup.then(done, done));
    if (!context) lookup.then(done, done);
    const answer = await within(lookup, this.#patience);
    if (!answer) throw failure("DirectoryUnavailable", "the directory did not answer in time");
    return answer.value;
  }

  /**
   * Take a row as the directory's newest word.
   *
   * @param {string} tenantId
   * @param {Row | null} row
   */
  remember(tenantId, row) {
    const now = this.#clock();
    const lasts = row?.state === "active" ? ACTIVE_FOR * (0.8 + 0.2 * this.#random()) : OTHERS_FOR;
    this.#entries.delete(tenantId);
    this.#entries.set(tenantId, {
      row,
      freshUntil: now + lasts,
      servesUntil: now + lasts + GRACE,
      at: ++this.#ticks,
    });
    if (this.#entries.size > this.#capacity) {
      const [oldest] = this.#entries.keys();
      this.#entries.delete(oldest);
    }
  }

  /**
   * A look-up that began before an upsert was remembered must not bring the older row back.
   *
   * @param {string} tenantId
   * @param {Row | null} row
   * @param {number} begunAt
   */
  #accept(tenantId, row, begunAt) {
    const known = this.#entries.get(tenantId);
    const later = known && known.at > begunAt ? known.row : null;
    if (later && (row === null || supersedes(later.version, row.version))) return later;
    this.remember(tenantId, row);
    return row;
  }
}

/** What all requests of this isolate share. */
export const memory = new TenantMemory();
