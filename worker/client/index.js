/**
 * `dbPool(env.DB_POOL).get(tenantId)` is a tenant's database with the whole interface of D1.
 *
 * Statements are plain data until they run, so each execution, and each batch, is exactly one RPC
 * call to the router. Nothing is imported.
 */

/**
 * @typedef {[sql: string, params: unknown[]]} PlainStatement
 * @typedef {{ session?: string, column?: string, columnNames?: boolean }} RunOptions
 * @typedef {{ query(tenantId: string, statements: PlainStatement[], mode: string, options?: RunOptions): Promise<any> }} Pool
 */

/** No such tenant; `closed` is true when there was one. */
export class TenantNotFound extends Error {
  /** @param {string} message @param {boolean} [closed] */
  constructor(message, closed = false) {
    super(message);
    this.name = "TenantNotFound";
    this.closed = closed;
  }
}

/** The tenant's database cannot serve yet, or not at the moment; ask again after `retryAfter` seconds. */
export class TenantNotReady extends Error {
  /** @param {string} message @param {number} [retryAfter] */
  constructor(message, retryAfter = 2) {
    super(message);
    this.name = "TenantNotReady";
    this.retryAfter = retryAfter;
  }
}

/** The tenant exists and has no access: suspended, or closing. */
export class TenantSuspended extends Error {
  /** @param {string} message @param {string} [state] */
  constructor(message, state = "suspended") {
    super(message);
    this.name = "TenantSuspended";
    this.state = state;
  }
}

/**
 * Give an error of the router back its class; any other error, D1's too, is itself.
 *
 * A Worker without the compatibility flag `enhanced_error_serialization` gets only a message, which
 * then begins with the error's name.
 *
 * @param {any} error
 */
function revived(error) {
  const text = String(error?.message ?? "");
  const prefixed = /^(TenantNotFound|TenantNotReady|TenantSuspended): (.*)$/s.exec(text);
  const name = error?.name === "Error" && prefixed ? prefixed[1] : error?.name;
  const message = error?.name === "Error" && prefixed ? prefixed[2] : text;
  if (name === "TenantNotFound") {
    return new TenantNotFound(message, error.closed ?? message.includes("closed"));
  }
  if (name === "TenantNotReady") {
    const seconds = /retry after (\d+) s/.exec(message)?.[1];
    return new TenantNotReady(
      message,
      error.retryAfter ?? (seconds && Number(seconds)) ?? undefined,
    );
  }
  if (name === "TenantSuspended") {
    return new TenantSuspended(
      message,
      error.state ?? (message.includes("closing") ? "closing" : undefined),
    );
  }
  return error;
}

/**
 * Take a value that D1 can bind, or refuse it at once, as D1's own `bind` does; D1 turns it into
 * what SQLite stores.
 *
 * @param {unknown} value
 */
function bindable(value) {
  const isPlain = ["number", "string", "boolean"].includes(typeof value);
  if (value === null || isPlain) return value;
  // Bytes are copied now: a buffer may change before the statement runs, and a view must not carry
  // the whole buffer that it looks into.
  if (value instanceof ArrayBuffer) return new Uint8Array(value.slice(0));
  if (value instanceof Uint8Array) return new Uint8Array(value);
  if (ArrayBuffer.isView(value)) return Array.from(/** @type {any} */ (value));
  const isByte = (/** @type {unknown} */ item) =>
    typeof item === "number" && item >= 0 && item < 256;
  if (Array.isArray(value) && value.every(isByte)) return [...value];
  const reason = `Type '${typeof value}' not supported for value '${value}'`;
  throw new Error(`D1_TYPE_ERROR: ${reason}`, { cause: new Error(reason) });
}

/** Where statements run: a tenant's database, as itself or within a session. */
class Line {
  /** @type {string | undefined} */
  #anchor;
  /** @type {string | null} */
  #bookmark = null;
  #pool;
  #tenantId;

  /** @param {Pool} pool @param {string} tenantId @param {string} [anchor] a session's constraint or bookmark */
  constructor(pool, tenantId, anchor) {
    this.#pool = pool;
    this.#tenantId = tenantId;
    this.#anchor = anchor;
    if (anchor && anchor !== "first-primary" && anchor !== "first-unconstrained")
      this.#bookmark = anchor;
  }

  get bookmark() {
    return this.#bookmark;
  }

  /** @param {Line} other */
  isOfSameTenant(other) {
    return this.#tenantId === other.#tenantId;
  }

  /** @param {string} [anchor] */
  session(anchor) {
    return new Line(this.#pool, this.#tenantId, anchor?.trim() || "first-unconstrained");
  }

  /**
   * The one RPC call of an execution.
   *
   * @param {PlainStatement[]} statements
   * @param {string} mode
   * @param {RunOptions} [options]
   */
  async run(statements, mode, options) {
    try {
      if (this.#anchor === undefined)
        return await this.#pool.query(this.#tenantId, statements, mode, options);
      const session = this.#bookmark ?? this.#anchor;
      const answer = await this.#pool.query(this.#tenantId, statements, mode, {
        ...options,
        session,
      });
      // Answers of concurrent executions arrive in any order: the latest bookmark stays.
      if (answer.bookmark && (this.#bookmark === null || this.#bookmark < answer.bookmark)) {
        this.#bookmark = answer.bookmark;
      }
      return answer.result;
    } catch (error) {
      throw revived(error);
    }
  }
}

class Statement {
  #line;
  #sql;
  #params;

  /** @param {Line} line @param {string} sql @param {unknown[]} params */
  constructor(line, sql, params) {
    this.#line = line;
    this.#sql = sql;
    this.#params = params;
  }

  /** @param {unknown[]} values */
  bind(...values) {
    return new Statement(this.#line, this.#sql, values.map(bindable));
  }

  async all() {
    return this.#line.run([[this.#sql, this.#params]], "all");
  }

  async run() {
    return this.#line.run([[this.#sql, this.#params]], "run");
  }

  /** @param {string} [column] */
  async first(column) {
    return this.#line.run([[this.#sql, this.#params]], "first", { column });
  }

  /** @param {{ columnNames?: boolean }} [options] */
  async raw(options) {
    const columnNames = options?.columnNames === true;
    return this.#line.run([[this.#sql, this.#params]], "raw", { columnNames });
  }

  /**
   * Tell a statement's data for a batch on the same tenant's database.
   *
   * @param {unknown} statement
   * @param {Line} line
   * @returns {PlainStatement}
   */
  static plain(statement, line) {
    if (!(statement instanceof Statement)) {
      throw new TypeError("batch() takes statements that this pool's prepare() made");
    }
    // D1 would run it on the wrong tenant's database without a word.
    if (!statement.#line.isOfSameTenant(line)) {
      throw new TypeError("batch() takes statements of one tenant's database only");
    }
    return [statement.#sql, statement.#params];
  }
}

class Session {
  #line;

  /** @param {Line} line */
  constructor(line) {
    this.#line = line;
  }

  /** @param {string} sql */
  prepare(sql) {
    return new Statement(this.#line, sql, []);
  }

  /** @param {unknown[]} statements */
  async batch(statements) {
    return this.#line.run(
      statements.map((statement) => Statement.plain(statement, this.#line)),
      "batch",
    );
  }

  getBookmark() {
    return this.#line.bookmark;
  }
}

class TenantDatabase {
  #line;

  /** @param {Line} line */
  constructor(line) {
    this.#line = line;
  }

  /** @param {string} sql */
  prepare(sql) {
    return new Statement(this.#line, sql, []);
  }

  /** @param {unknown[]} statements */
  async batch(statements) {
    return this.#line.run(
      statements.map((statement) => Statement.plain(statement, this.#line)),
      "batch",
    );
  }

  /** @param {string} sql */
  async exec(sql) {
    return this.#line.run([[sql, []]], "exec");
  }

  /** @param {string} [constraintOrBookmark] */
  withSession(constraintOrBookmark) {
    return new Session(this.#line.session(constraintOrBookmark));
  }

  async dump() {
    throw new Error("D1_ERROR: dump() is not supported; use `d1fleet backup`");
  }
}

/**
 * Wrap the service binding to the router's entrypoint `DbPool`.
 *
 * @param {any} binding
 */
export function dbPool(binding) {
  return {
    /** @param {string} tenantId */
    get: (tenantId) => new TenantDatabase(new Line(binding, tenantId)),
  };
}
