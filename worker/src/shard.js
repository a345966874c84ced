/**
 * A shard `<fleet>-pool-<n>`: it holds D1 bindings and runs what the router sends it.
 *
 * It has no public address: the router's service binding is the only way in, and which binding
 * belongs to which tenant is the router's business. Uploaded as this one module, so it imports
 * nothing else.
 *
 * Routers and shards are upgraded one by one: an old router may call a new shard and the other way
 * round. So methods are only ever added, arguments are only ever appended, unknown fields of
 * `options` are ignored, and an answer keeps the fields it has.
 */
import { WorkerEntrypoint } from "cloudflare:workers";

/** The names that databases are bound by: the ULID makes each of them unique for ever. */
const BINDING = /^DB_[0-9A-HJKMNP-TV-Z]{26}$/;
const LEDGER_NAME = /^[A-Za-z][A-Za-z0-9_]{0,62}$/;

/**
 * @typedef {[sql: string, params: unknown[]]} PlainStatement
 * @typedef {"all" | "raw" | "run" | "first" | "batch" | "exec"} Mode
 * @typedef {{ session?: string, column?: string, columnNames?: boolean }} RunOptions
 * @typedef {{ name: string, statements: string[] }} MigrationFile
 * @typedef {{ binding: string, size?: number, schema_hash?: string, schema_version?: string | null,
 *   error?: { name: string, message: string } }} Inspection
 * @typedef {{ name: string, message: string, file: string, statement: number | null, retryable: boolean }} MigrationError
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
   * Two migrators may race: the ledger row is the first statement of a file's batch, so the second
   * one's batch fails as a whole, and any error is judged only after the ledger was read again.
   *
   * @param {string} binding
   * @param {MigrationFile[]} files
   * @param {string} table the ledger's name, wrangler's default is `d1_migrations`
   * @returns {Promise<{applied: string[], ledger: string[], error?: MigrationError}>} `applied`: the
   *   files that this very call applied; `ledger`: all that are applied, in order; `error`: why the
   *   call stopped, nothing of that file stays
   */
  async migrate(binding, files, table) {
    const database = this.#database(binding);
    if (typeof table !== "string" || !LEDGER_NAME.test(table) || /^sqlite_/i.test(table)) {
      throw new TypeError("the ledger's name must be a plain SQL name");
    }
    /** @type {string[]} */
    const applied = [];
    let ledger = await readLedger(database, table);
    for (const file of files) {
      if (ledger.includes(file.name)) continue;
      try {
        await database.batch(fileAsBatch(database, file, file.statements.length, table));
        applied.push(file.name);
        ledger.push(file.name);
      } catch (cause) {
        ledger = await readLedger(database, table);
        if (ledger.includes(file.name)) continue;
        return { applied, ledger, error: await explain(database, file, table, cause) };
      }
    }
    return { applied, ledger };
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

/**
 * @param {D1Database} database
 * @param {string} table
 */
async function inspect(database, table) {
  const { results, meta } = await database
    .prepare(
      `SELECT type, name, tbl_name, sql FROM sqlite_master
       WHERE name NOT GLOB 'sqlite_*' AND name NOT GLOB '_cf_*' ORDER BY type, name`,
    )
    .all();
  // Every database has the ledger, made by us or by wrangler: it is no part of the app's schema.
  const schema = results.filter((item) => item.tbl_name !== table);
  const rows = schema.map(({ type, name, tbl_name, sql }) => [type, name, tbl_name, sql]);
  const newest =
    schema.length === results.length
      ? null
      : await database
          .prepare(`SELECT name FROM "${table}" ORDER BY id DESC LIMIT 1`)
          .first("name");
  return {
    size: meta.size_after,
    schema_hash: await sha256(JSON.stringify(rows)),
    schema_version: /** @type {string | null} */ (newest),
  };
}

/**
 * Read the ledger, made first if need be: the table's text is wrangler's to the letter, so that
 * `wrangler d1 migrations list` and ours agree on one table.
 *
 * @param {D1Database} database
 * @param {string} table
 * @returns {Promise<string[]>} names of the applied files, in order
 */
async function readLedger(database, table) {
  const [, rows] = await database.batch([
    database.prepare(`CREATE TABLE IF NOT EXISTS "${table}"(
\t\tid         INTEGER PRIMARY KEY AUTOINCREMENT,
\t\tname       TEXT UNIQUE,
\t\tapplied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL
);`),
    database.prepare(`SELECT *
\t\tFROM "${table}"
\t\tORDER BY id`),
  ]);
  return rows.results.map((row) => /** @type {{ name: string }} */ (row).name);
}

/**
 * @param {D1Database} database
 * @param {MigrationFile} file
 * @param {number} count how many of its statements, from the first
 * @param {string} table
 */
function fileAsBatch(database, file, count, table) {
  return [
    database.prepare(`INSERT INTO "${table}" (name) VALUES (?)`).bind(file.name),
    ...file.statements.slice(0, count).map((sql) => database.prepare(sql)),
  ];
}

/**
 * Say why a file failed and at which statement.
 *
 * D1 does not tell which statement of a batch failed, so ever shorter beginnings of the file are
 * run, each ended by a statement that cannot succeed: none of them is ever committed.
 *
 * @param {D1Database} database
 * @param {MigrationFile} file
 * @param {string} table
 * @param {unknown} cause
 * @returns {Promise<MigrationError>}
 */
async function explain(database, file, table, cause) {
  const message = cause instanceof Error ? cause.message : String(cause);
  const found = { message, file: file.name, statement: null };
  if (!isFaultOfSql(message)) {
    return { name: "DatabaseUnavailable", ...found, retryable: true };
  }
  const stop = `d1fleet_stop_${crypto.randomUUID().replaceAll("-", "")}`;
  /** @param {number} count @returns {Promise<boolean | null>} null: no telling */
  const passes = async (count) => {
    const statements = fileAsBatch(database, file, count, table);
    try {
      await database.batch([...statements, database.prepare(`SELECT * FROM "${stop}"`)]);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      if (text.includes(stop)) return true;
      return isFaultOfSql(text) ? false : null;
    }
    return null;
  };
  // The first `good` statements pass, the first `bad` ones do not.
  let good = 0;
  let bad = file.statements.length;
  const whole = await passes(bad);
  if (whole !== false) return { name: "MigrationFailed", ...found, retryable: false };
  while (bad - good > 1) {
    const middle = Math.floor((good + bad) / 2);
    const verdict = await passes(middle);
    if (verdict === null) return { name: "MigrationFailed", ...found, retryable: false };
    if (verdict) good = middle;
    else bad = middle;
  }
  return { name: "MigrationFailed", ...found, statement: good, retryable: false };
}

/**
 * Tell a fault of the SQL, which stays, from trouble of the service, which passes.
 *
 * @param {string} message
 */
function isFaultOfSql(message) {
  if (/SQLITE_(BUSY|LOCKED|IOERR|INTERRUPT|NOMEM)/.test(message)) return false;
  return /SQLITE_|SQL code did not contain|No SQL statements|Exceeded maximum DB size/.test(
    message,
  );
}

/** @param {string} text */
async function sha256(text) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
