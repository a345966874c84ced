/**
 * A shard `<fleet>-pool-<n>`: it holds D1 bindings and runs what the router sends it.
 *
 * It has no public address: the router's service binding is the only way in, and which binding
 * belongs to which tenant is the router's business. Uploaded with the modules beside it and nothing
 * else.
 *
 * Routers and shards are upgraded one by one: an old router may call a new shard and the other way
 * round. So methods are only ever added, arguments are only ever appended, unknown fields of
 * `options` are ignored, and an answer keeps the fields it has.
 */
import { WorkerEntrypoint } from "cloudflare:workers";
import { inspect, sha256 } from "./inspection.js";
import { applyFiles } from "./ledger.js";
import { read } from "./reading.js";

/** @import { MigrationError, MigrationFile } from "./ledger.js" */
/** @import { ReadError } from "./reading.js" */

/** The names that databases are bound by: the ULID makes each of them unique for ever. */
const BINDING = /^DB_[0-9A-HJKMNP-TV-Z]{26}$/;

/**
 * @typedef {[sql: string, params: unknown[]]} PlainStatement
 * @typedef {"all" | "raw" | "run" | "first" | "batch" | "exec"} Mode
 * @typedef {{ session?: string, column?: string, columnNames?: boolean }} RunOptions
 * @typedef {{ binding: string, size?: number, schema_hash?: string, schema_version?: string | null,
 *   error?: { name: string, message: string } }} Inspection
 */

/**
 * Make an error that keeps its name across RPC (flag `enhanced_error_serialization`).
 *
 * @param {string} name
 * @param {string} message
 */
function failure(name, message) {
  const error = new Error(message);
  error.name = name;
  return error;
}

export default class Shard extends WorkerEntrypoint {
  /**
   * Find the database of a binding's name.
   *
   * @param {unknown} binding
   * @returns {D1Database}
   * @throws {Error} `BindingMissing` when this version of the shard has no such database. Nothing
   *   but a database's name is ever looked up: the shard's variables stay out of reach.
   */
  #database(binding) {
    if (typeof binding !== "string" || !BINDING.test(binding)) {
      throw failure("BindingMissing", "not the name of a database's binding");
    }
    const env = /** @type {Record<string, D1Database | undefined>} */ (this.env);
    const database = Object.hasOwn(env, binding) ? env[binding] : undefined;
    if (database === undefined) {
      throw failure("BindingMissing", `${binding} is not bound to this version of the shard`);
    }
    return database;
  }

  /**
   * Run one execution on one database. Errors of D1 pass through as they are.
   *
   * @param {string} binding
   * @param {PlainStatement[]} statements one, unless `mode` is `batch`
   * @param {Mode} mode
   * @param {RunOptions} [options] `session`: a constraint or bookmark; then the answer is
   *   `{result, bookmark}`. `column`: of `first`. `columnNames`: of `raw`.
   */
  async run(binding, statements, mode, options) {
    const database = this.#database(binding);
    const session = options?.session;
    if (session === undefined) {
      return execute(database, database, statements, mode, options);
    }
    if (typeof database.withSession !== "function") {
      throw new Error("D1_SESSION_ERROR: this database's binding has no sessions");
    }
    const anchored = database.withSession(session);
    const result = await execute(database, anchored, statements, mode, options);
    return { result, bookmark: anchored.getBookmark() };
  }

  /**
   * Prove that a binding answers, and say which generation answered.
   *
   * @param {string} binding
   */
  async probe(binding) {
    await this.#database(binding).prepare("SELECT 1").all();
    return { generation: generation(this.env) };
  }

  /** Say which set of bindings this version serves. */
  async status() {
    const env = /** @type {Record<string, unknown>} */ (this.env);
    const names = Object.keys(env)
      .filter((name) => BINDING.test(name))
      .sort();
    return {
      script: env.D1FLEET_SCRIPT,
      generation: generation(env),
      fleet_uid: env.D1FLEET_FLEET_UID,
      code: env.D1FLEET_CODE,
      bindings: names.length,
      bindings_hash: await sha256(names.join("\n")),
    };
  }

  /**
   * Measure databases: what they weigh and which schema they have.
   *
   * @param {string[]} bindings
   * @param {string} table the ledger's name
   * @returns {Promise<Inspection[]>} one for each binding, in that order; a database that cannot be
   *   asked has an `error` and nothing else
   */
  async inspect(bindings, table) {
    return Promise.all(
      bindings.map(async (binding) => {
        try {
          return { binding, ...(await inspect(this.#database(binding), table)) };
        } catch (error) {
          const { name, message } = error instanceof Error ? error : new Error(String(error));
          return { binding, error: { name, message } };
        }
      }),
    );
  }

  /**
   * Apply the files that the database's ledger lacks, in the order given, each atomically.
   *
   * @param {string} binding
   * @param {MigrationFile[]} files
   * @param {string} table the ledger's name, wrangler's default is `d1_migrations`
   * @returns {Promise<{applied: string[], ledger: string[], error?: MigrationError}>} `applied`: the
   *   files that this very call applied; `ledger`: all that are applied, in order; `error`: why the
   *   call stopped, nothing of that file stays
   */
  async migrate(binding, files, table) {
    return applyFiles(this.#database(binding), files, table);
  }

  /**
   * Run statements that only read, in one transaction.
   *
   * @param {string} binding
   * @param {string[]} statements
   * @returns {Promise<{results?: unknown[][][], error?: ReadError}>} each statement's rows as lists
   *   of values, or why there are none
   */
  async read(binding, statements) {
    return read(this.#database(binding), statements);
  }
}

/** @param {unknown} env */
function generation(env) {
  return Number(/** @type {Record<string, unknown>} */ (env).D1FLEET_GENERATION);
}

/**
 * @param {D1Database} database
 * @param {D1Database | D1DatabaseSession} target the database itself, or a session on it
 * @param {PlainStatement[]} statements
 * @param {Mode} mode
 * @param {RunOptions} [options]
 */
async function execute(database, target, statements, mode, options) {
  if (mode === "exec") return database.exec(statements[0][0]);
  const prepared = statements.map(([sql, params]) => {
    const statement = target.prepare(sql);
    return params.length > 0 ? statement.bind(...params) : statement;
  });
  if (mode === "batch") return target.batch(prepared);
  const [statement] = prepared;
  if (mode === "all") return statement.all();
  if (mode === "run") return statement.run();
  if (mode === "raw") {
    return options?.columnNames === true ? statement.raw({ columnNames: true }) : statement.raw();
  }
  if (mode === "first") {
    return options?.column === undefined ? statement.first() : statement.first(options.column);
  }
  throw new TypeError(`unknown mode of execution: ${String(mode)}`);
}
