/** The app's way in. */
import { RpcTarget, WorkerEntrypoint } from "cloudflare:workers";
import { failure, tenantNotFound } from "./errors.js";
import { TENANT_ID } from "./names.js";
import { resolver } from "./resolver.js";

/** @import { PlainStatement, RouterEnv, RunOptions } from "./bindings.js" */

const MODES = new Set(["all", "raw", "run", "first", "batch", "exec"]);

/** @param {unknown} tenantId */
function checkTenantId(tenantId) {
  if (typeof tenantId !== "string") throw new TypeError("a tenant's id is a string");
  // What cannot be a tenant's id is nobody's: no look-up, and no room in memory.
  if (!TENANT_ID.test(tenantId)) throw tenantNotFound();
}

/** @param {unknown} statements @param {unknown} mode */
function checkStatements(statements, mode) {
  if (typeof mode !== "string" || !MODES.has(mode)) {
    throw new TypeError(`mode must be one of ${[...MODES].join(", ")}`);
  }
  if (!Array.isArray(statements) || (mode !== "batch" && statements.length !== 1)) {
    throw new TypeError("statements must be a list of [sql, params]; one, unless it is a batch");
  }
  for (const statement of statements) {
    const isPlain =
      Array.isArray(statement) && typeof statement[0] === "string" && Array.isArray(statement[1]);
    if (!isPlain) throw new TypeError("a statement is [sql, params]");
  }
}

/** @typedef {(statements: unknown[], mode: string, options?: RunOptions) => Promise<unknown>} Execute */

/** One statement of the verbatim line: plain data here until it is run. */
class Statement extends RpcTarget {
  #execute;
  #sql;
  #params;

  /** @param {Execute} execute @param {string} sql @param {unknown[]} params */
  constructor(execute, sql, params) {
    super();
    this.#execute = execute;
    this.#sql = sql;
    this.#params = params;
  }

  /** @param {unknown[]} values */
  bind(...values) {
    return new Statement(this.#execute, this.#sql, values);
  }

  all() {
    return this.#execute([this.plain()], "all");
  }

  run() {
    return this.#execute([this.plain()], "run");
  }

  /** @param {string} [column] */
  first(column) {
    return this.#execute([this.plain()], "first", { column });
  }

  /** @param {{ columnNames?: boolean }} [options] */
  raw(options) {
    return this.#execute([this.plain()], "raw", { columnNames: options?.columnNames === true });
  }

  /**
   * Tell what the statement is: how `batch` reads statements that come back as stubs.
   *
   * @returns {PlainStatement}
   */
  plain() {
    return [this.#sql, this.#params];
  }
}

/** A tenant's database in the verbatim line: `env.DB_POOL.get(id)`. */
class TenantDatabase extends RpcTarget {
  #execute;

  /** @param {Execute} execute */
  constructor(execute) {
    super();
    this.#execute = execute;
  }

  /** @param {string} sql */
  prepare(sql) {
    return new Statement(this.#execute, sql, []);
  }

  /** @param {string} sql */
  exec(sql) {
    return this.#execute([[sql, []]], "exec");
  }

  /**
   * Run statements as one transaction. Each must have been awaited (`await db.prepare(…)`), since
   * a promise of a stub cannot travel; each costs one more call. The client has neither limit.
   *
   * @param {unknown} statements
   */
  async batch(statements) {
    const list = Array.isArray(statements) ? statements : [statements];
    const isStatement = list.every((item) => typeof item?.plain === "function");
    if (!Array.isArray(statements) || !isStatement) {
      throw failure(
        "BatchNeedsClient",
        "batch() without the d1fleet-client module takes a list of awaited statements of this pool",
      );
    }
    return this.#execute(await Promise.all(list.map((item) => item.plain())), "batch");
  }

  withSession() {
    throw failure("SessionNeedsClient", "withSession() needs the d1fleet-client module");
  }

  dump() {
    throw new Error("D1_ERROR: dump() is not supported; use `d1fleet backup`");
  }
}

/**
 * What the app's service binding names. No method takes a binding or a shard: a tenant's id is all
 * that an app can say.
 */
export class DbPool extends WorkerEntrypoint {
  /**
   * Give a tenant's database, with nothing to import:
   * `await env.DB_POOL.get(id).prepare("SELECT …").bind(…).all()`.
   *
   * @param {string} tenantId
   */
  get(tenantId) {
    checkTenantId(tenantId);
    return new TenantDatabase((statements, mode, options) =>
      this.query(tenantId, statements, mode, options),
    );
  }

  /**
   * Run one execution in one call: what the client module uses.
   *
   * @param {string} tenantId
   * @param {unknown[]} statements `[[sql, params], …]`; one, unless `mode` is `batch`
   * @param {string} mode `all`, `raw`, `run`, `first`, `batch` or `exec`
   * @param {RunOptions} [options] with a `session`, the answer is `{result, bookmark}`
   * @throws {Error} `TenantNotFound`, `TenantNotReady` (`retryAfter`, seconds), `TenantSuspended`; errors of
   *   D1 as they are
   */
  async query(tenantId, statements, mode, options) {
    checkTenantId(tenantId);
    checkStatements(statements, mode);
    const env = /** @type {RouterEnv} */ (/** @type {unknown} */ (this.env));
    return resolver(env, this.ctx, tenantId, statements, mode, options);
  }
}
