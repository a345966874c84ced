/**
 * The router `<fleet>-pool`: the one Worker that the app and the control plane talk to.
 *
 * Its entrypoint `DbPool` is what the app's service binding names; its default export is the admin
 * door of the control plane. Which database is a tenant's is read from the directory, a D1 database,
 * through this isolate's memory; the query itself runs on the shard that holds the binding.
 *
 * Uploaded as this one module, so it imports nothing else. Routers and shards are upgraded one by
 * one: RPC methods are only ever added, arguments only appended, unknown fields ignored.
 */
import { RpcTarget, WorkerEntrypoint } from "cloudflare:workers";

const TENANT_ID = /^[A-Za-z0-9_\-.:|@]{1,128}$/;
const BINDING = /^DB_[0-9A-HJKMNP-TV-Z]{26}$/;
const SHARD = /^[a-z0-9]{1,5}-pool-(\d{1,6})$/;
const DATABASE_UUID = /^[A-Za-z0-9-]{1,64}$/;
const LEDGER_NAME = /^[A-Za-z][A-Za-z0-9_]{0,62}$/;

const MODES = new Set(["all", "raw", "run", "first", "batch", "exec"]);
const STATES = new Set(["pending", "active", "suspended", "closing", "closed", "failed"]);

/** How long the directory's word is taken, milliseconds; "at most 30 s" holds because jitter only shortens. */
const ACTIVE_FOR = 30_000;
/** Everything that is not active is asked again soon: a tenant made active must be seen within 2 s. */
const OTHERS_FOR = 2_000;
/** How much longer an entry serves when the directory does not answer. */
const GRACE = 300_000;
/** How long one waits for the directory, and for another request's look-up of the same tenant. */
const PATIENCE = 3_000;

const TOLERANCE = 300;
const MAX_BODY = 8 * 1024 * 1024;
const MAX_ROWS = 1_000;
const MAX_INSPECTED = 100;

/**
 * @typedef {{ tenant_id: string, shard: string | null, binding: string | null, database_uuid: string | null,
 *   state: string, schema_version: string | null, version: number }} Row a row of the directory
 * @typedef {[sql: string, params: unknown[]]} PlainStatement
 * @typedef {{ session?: string, column?: string, columnNames?: boolean }} RunOptions
 * @typedef {{ run(binding: string, statements: unknown[], mode: string, options?: RunOptions): Promise<unknown>,
 *   probe(binding: string): Promise<{ generation: number }>, status(): Promise<Record<string, unknown>>,
 *   inspect(bindings: string[], table: string): Promise<unknown[]>,
 *   migrate(binding: string, files: unknown[], table: string): Promise<{ applied: string[], ledger: string[],
 *     error?: { name: string, message: string, retryable: boolean } }> }} ShardStub
 * @typedef {{ D1FLEET_SCRIPT: string, D1FLEET_FLEET_UID: string, D1FLEET_GENERATION: string, D1FLEET_CODE: string,
 *   D1FLEET_ADMIN_SECRET?: string, D1FLEET_DIRECTORY: D1Database }} RouterEnv
 * @typedef {{ waitUntil(promise: Promise<unknown>): void }} KeepAlive
 */

// ---------------------------------------------------------------------------------------------
// Errors that the app sees. Name and fields arrive intact when the app's Worker has the flag
// `enhanced_error_serialization` too; without it the name is the message's first word, so the
// message carries `retryAfter` as well. No message carries a tenant's id.

/**
 * @param {string} name
 * @param {string} message
 * @param {Record<string, unknown>} [fields]
 */
function failure(name, message, fields) {
  const error = Object.assign(new Error(message), fields);
  error.name = name;
  return error;
}

/** @param {{ closed?: boolean }} [fields] */
function tenantNotFound(fields) {
  return failure(
    "TenantNotFound",
    fields?.closed ? "the tenant is closed" : "no such tenant",
    fields,
  );
}

/**
 * @param {string} why
 * @param {number} retryAfter seconds
 * @param {Record<string, unknown>} [fields]
 */
function tenantNotReady(why, retryAfter, fields) {
  return failure("TenantNotReady", `${why}; retry after ${retryAfter} s`, {
    retryAfter,
    ...fields,
  });
}

/** @param {unknown} error @returns {string} */
function nameOf(error) {
  return error instanceof Error ? error.name : "";
}

/** @param {unknown} error @returns {string} */
function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}

// ---------------------------------------------------------------------------------------------
// The directory, through this isolate's memory.

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
    if (known?.row && known.at > begunAt && known.row.version > (row?.version ?? -1))
      return known.row;
    this.remember(tenantId, row);
    return row;
  }
}

const COLUMNS = "tenant_id, shard, binding, database_uuid, state, schema_version, version";

/**
 * @param {RouterEnv} env
 * @returns {(tenantId: string) => Promise<Row | null>}
 */
function directoryReader(env) {
  return (tenantId) =>
    env.D1FLEET_DIRECTORY.prepare(`SELECT ${COLUMNS} FROM tenant WHERE tenant_id = ?`)
      .bind(tenantId)
      .first();
}

const memory = new TenantMemory();

// ---------------------------------------------------------------------------------------------
// From a tenant's id to its database.

/**
 * Let only an active tenant through.
 *
 * @param {Row | null} row
 * @returns {Row & { shard: string, binding: string }}
 */
function admit(row) {
  if (row === null) throw tenantNotFound();
  if (row.state === "closed") throw tenantNotFound({ closed: true });
  if (row.state === "suspended" || row.state === "closing") {
    throw failure("TenantSuspended", `the tenant is ${row.state}`, { state: row.state });
  }
  if (row.state === "failed") {
    throw tenantNotReady("setting the tenant up has failed", 30, { state: row.state });
  }
  // A state that this router does not know yet is not a yes.
  if (row.state !== "active" || !isPlaced(row)) throw tenantNotReady("the tenant is not ready", 2);
  return row;
}

/**
 * @param {Row} row
 * @returns {row is Row & { shard: string, binding: string }}
 */
function isPlaced(row) {
  return row.shard !== null && row.binding !== null && BINDING.test(row.binding);
}

/**
 * @param {RouterEnv} env
 * @param {string} script a shard's name
 * @returns {ShardStub | undefined} undefined: not bound to this version of the router
 */
function shardStub(env, script) {
  const number = SHARD.exec(script)?.[1];
  if (number === undefined || script !== `${env.D1FLEET_SCRIPT}-${number}`) return undefined;
  const name = `SHARD_${number}`;
  const bindings = /** @type {Record<string, unknown>} */ (/** @type {unknown} */ (env));
  if (!Object.hasOwn(bindings, name)) return undefined;
  return /** @type {ShardStub} */ (bindings[name]);
}

/**
 * Run something on the database of a tenant: the one place that knows how an id becomes a database.
 *
 * @typedef {(env: RouterEnv, context: KeepAlive, tenantId: string, statements: unknown[], mode: string,
 *   options?: RunOptions) => Promise<unknown>} Resolver
 * @type {Resolver}
 */
async function runOnShard(env, context, tenantId, statements, mode, options) {
  const read = directoryReader(env);
  /** @param {Row & { shard: string, binding: string }} row */
  const run = async (row) => {
    const shard = shardStub(env, row.shard);
    if (!shard) throw failure("BindingMissing", "the shard is not bound to this router");
    return shard.run(row.binding, statements, mode, options);
  };
  const row = admit(await lookUp(() => memory.find(tenantId, read, context)));
  try {
    return await run(row);
  } catch (error) {
    if (nameOf(error) !== "BindingMissing") throw error;
  }
  // Nothing ran. Either the tenant has moved since its row was remembered, or its database is not
  // bound yet. Names of bindings are never used again, so a stale row can only miss.
  const again = admit(await lookUp(() => memory.refresh(tenantId, read, context)));
  if (again.binding === row.binding && again.shard === row.shard) {
    throw tenantNotReady("the tenant's database is not bound yet", 2);
  }
  try {
    return await run(again);
  } catch (error) {
    if (nameOf(error) !== "BindingMissing") throw error;
    throw tenantNotReady("the tenant's database is not bound yet", 2);
  }
}

/** Replaceable: the day that bindings can be made at run time, another resolver is named here. */
const resolver = runOnShard;

/**
 * @template T
 * @param {() => Promise<T>} ask
 */
async function lookUp(ask) {
  try {
    return await ask();
  } catch (error) {
    console.error({ event: "directory_failed", error: messageOf(error) });
    throw tenantNotReady("the tenant directory does not answer", 5, { directory: false });
  }
}

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

// ---------------------------------------------------------------------------------------------
// The app's way in.

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

// ---------------------------------------------------------------------------------------------
// The admin door.

/** An answer that refuses; `retryable` says whether the same request may succeed later. */
class Refusal extends Error {
  /**
   * @param {number} status
   * @param {string} name
   * @param {string} message
   * @param {Record<string, unknown>} [details] further fields of `error`
   * @param {Record<string, unknown>} [rest] fields beside `error`
   */
  constructor(status, name, message, details = {}, rest = {}) {
    super(message);
    this.status = status;
    this.name = name;
    this.details = details;
    this.rest = rest;
  }
}

/** @param {string} message */
function badArguments(message) {
  return new Refusal(422, "BadArguments", message);
}

/** @param {number} status @param {unknown} body */
function json(status, body) {
  return Response.json(body, { status, headers: { "cache-control": "no-store" } });
}

/** @type {{ text: string, keys: Uint8Array<ArrayBuffer>[] } | undefined} */
let knownKeys;

/**
 * Read the secrets: `whsec_` and base64 each, separated by spaces.
 *
 * @param {string} text
 * @returns {Uint8Array<ArrayBuffer>[]} keys of 24 to 64 bytes; what is not a secret is left out, and said in
 *   the log once an isolate, for anybody can make requests
 */
function adminKeys(text) {
  if (knownKeys?.text === text) return knownKeys.keys;
  const keys = [];
  for (const secret of text.split(/\s+/).filter(Boolean)) {
    const key = secret.startsWith("whsec_")
      ? decodeBase64(secret.slice("whsec_".length))
      : undefined;
    if (key && key.length >= 24 && key.length <= 64) keys.push(key);
    else console.error({ event: "admin_secret_malformed" });
  }
  knownKeys = { text, keys };
  return keys;
}

/** @param {string} text @returns {Uint8Array<ArrayBuffer> | undefined} undefined: not base64 */
function decodeBase64(text) {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined;
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return undefined; // of an impossible length
  }
}

/**
 * Read a body, counting while reading: a length that is not declared must not fill the memory.
 *
 * @param {Request} request
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
async function readBody(request) {
  const tooLarge = () => new Refusal(413, "BodyTooLarge", `a body has at most ${MAX_BODY} bytes`);
  if (Number(request.headers.get("content-length") ?? 0) > MAX_BODY) throw tooLarge();
  /** @type {Uint8Array[]} */
  const chunks = [];
  let length = 0;
  for await (const chunk of request.body ?? []) {
    length += chunk.length;
    if (length > MAX_BODY) throw tooLarge();
    chunks.push(chunk);
  }
  const body = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    body.set(chunk, offset);
    offset += chunk.length;
  }
  return body;
}

/**
 * Verify a request signed in the Standard Webhooks form and give its body.
 *
 * @param {Request} request
 * @param {Uint8Array<ArrayBuffer>[]} keys
 */
async function verifiedBody(request, keys) {
  const id = request.headers.get("webhook-id") ?? "";
  const timestamp = request.headers.get("webhook-timestamp") ?? "";
  const signatures = (request.headers.get("webhook-signature") ?? "")
    .split(" ")
    .filter((item) => item.startsWith("v1,"))
    .slice(0, 10)
    .map((item) => decodeBase64(item.slice("v1,".length)))
    .filter((signature) => signature?.length === 32);
  if (!id || id.length > 256 || !/^\d{1,12}$/.test(timestamp) || signatures.length === 0) {
    throw new Refusal(401, "BadSignature", "the request is not signed");
  }
  if (Math.abs(Math.floor(Date.now() / 1000) - Number(timestamp)) > TOLERANCE) {
    throw new Refusal(
      401,
      "StaleSignature",
      `the signature is more than ${TOLERANCE} s away from now`,
    );
  }
  const body = await readBody(request);
  const head = new TextEncoder().encode(`${id}.${timestamp}.`);
  const signed = new Uint8Array(head.length + body.length);
  signed.set(head);
  signed.set(body, head.length);
  for (const key of keys) {
    const algorithm = { name: "HMAC", hash: "SHA-256" };
    const imported = await crypto.subtle.importKey("raw", key, algorithm, false, ["verify"]);
    for (const signature of signatures) {
      // Web Crypto's verify compares in constant time.
      if (signature && (await crypto.subtle.verify("HMAC", imported, signature, signed)))
        return body;
    }
  }
  throw new Refusal(401, "BadSignature", "no configured secret verifies the signature");
}

/** @param {unknown} value @returns {value is Record<string, unknown>} */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * @param {Uint8Array} bytes
 * @param {string} op
 * @param {RouterEnv} env
 */
function parseCommand(bytes, op, env) {
  let command;
  try {
    command = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes));
  } catch {
    throw new Refusal(400, "MalformedBody", "the body is not JSON in UTF-8");
  }
  if (!isObject(command)) throw new Refusal(400, "MalformedBody", "the body is not a JSON object");
  if (command.v !== 1) throw badArguments("v must be 1: this router speaks no other version");
  if (typeof command.time !== "string" || Number.isNaN(Date.parse(command.time))) {
    throw badArguments("time must be an ISO 8601 time");
  }
  if (command.script !== env.D1FLEET_SCRIPT || command.fleet_uid !== env.D1FLEET_FLEET_UID) {
    throw new Refusal(
      409,
      "WrongFleet",
      "the request is meant for another router or another fleet",
    );
  }
  if (command.op !== op) {
    throw new Refusal(409, "WrongOperation", "op is not the operation that the path names");
  }
  return command;
}

/**
 * @param {RouterEnv} env
 * @param {unknown} script
 * @returns {ShardStub}
 */
function knownShard(env, script) {
  if (typeof script !== "string" || !SHARD.test(script)) {
    throw badArguments("shard must be the name of a shard's script");
  }
  const shard = shardStub(env, script);
  if (!shard) throw new Refusal(503, "ShardUnknown", `this router has no binding to ${script}`);
  return shard;
}

/** @param {unknown} binding @returns {string} */
function databaseBinding(binding) {
  if (typeof binding !== "string" || !BINDING.test(binding)) {
    throw badArguments("binding must be DB_ and a ULID");
  }
  return binding;
}

/**
 * Call a shard; what it does not name itself is trouble that passes.
 *
 * @template T
 * @param {() => Promise<T>} call
 */
async function callShard(call) {
  try {
    return await call();
  } catch (error) {
    const name = nameOf(error) === "BindingMissing" ? "BindingMissing" : "ShardUnavailable";
    throw new Refusal(503, name, messageOf(error));
  }
}

/**
 * @template T
 * @param {() => Promise<T>} call
 */
async function callDirectory(call) {
  try {
    return await call();
  } catch (error) {
    throw new Refusal(503, "DirectoryUnavailable", messageOf(error));
  }
}

/** @typedef {(command: Record<string, unknown>, env: RouterEnv, context: KeepAlive) => Promise<unknown>} Operation */

/** @type {Operation} */
async function status(command, env) {
  if (command.shard !== undefined) {
    const shard = knownShard(env, command.shard);
    return callShard(() => shard.status());
  }
  const digest = await crypto.subtle.digest("SHA-256", new Uint8Array());
  const shards = Object.keys(env)
    .filter((name) => /^SHARD_\d+$/.test(name))
    .map((name) => Number(name.slice("SHARD_".length)))
    .sort((one, other) => one - other)
    .map((number) => `${env.D1FLEET_SCRIPT}-${number}`);
  return {
    script: env.D1FLEET_SCRIPT,
    generation: Number(env.D1FLEET_GENERATION),
    fleet_uid: env.D1FLEET_FLEET_UID,
    code: env.D1FLEET_CODE,
    bindings: 0,
    bindings_hash: [...new Uint8Array(digest)]
      .map((byte) => byte.toString(16).padStart(2, "0"))
      .join(""),
    shards,
  };
}

/** @param {unknown} value @param {RegExp} pattern */
function isNullOr(value, pattern) {
  return value === null || (typeof value === "string" && pattern.test(value));
}

/** @param {unknown} given @param {RouterEnv} env @returns {Row} */
function checkedRow(given, env) {
  if (!isObject(given)) throw badArguments("a row is an object");
  const row = { shard: null, binding: null, database_uuid: null, schema_version: null, ...given };
  const { tenant_id, shard, binding, database_uuid, state, schema_version, version } =
    /** @type {Row} */ (/** @type {unknown} */ (row));
  if (typeof tenant_id !== "string" || !TENANT_ID.test(tenant_id)) {
    throw badArguments("tenant_id must be 1 to 128 characters of A-Za-z0-9_-.:|@");
  }
  if (!isNullOr(shard, SHARD) || (shard && shard.replace(/-\d+$/, "") !== env.D1FLEET_SCRIPT)) {
    throw badArguments("shard must be null or the name of a shard of this fleet");
  }
  if (!isNullOr(binding, BINDING)) throw badArguments("binding must be null or DB_ and a ULID");
  if (!isNullOr(database_uuid, DATABASE_UUID))
    throw badArguments("database_uuid must be null or a uuid");
  if (!isNullOr(schema_version, /^.{0,255}$/s))
    throw badArguments("schema_version must be null or a string");
  if (!STATES.has(state)) throw badArguments(`state must be one of ${[...STATES].join(", ")}`);
  if (!Number.isSafeInteger(version) || version < 0)
    throw badArguments("version must be an integer from 0");
  if (state === "active" && !(shard && binding && database_uuid)) {
    throw badArguments("an active tenant has a shard, a binding and a database_uuid");
  }
  return { tenant_id, shard, binding, database_uuid, state, schema_version, version };
}

/** A row that names a database which the insert-only witness knows as another tenant's. */
const FOREIGN = `EXISTS (SELECT 1 FROM owner WHERE owner.database_uuid = value ->> 'database_uuid'
  AND owner.tenant_id <> value ->> 'tenant_id')`;

/** A directory that says it is another fleet's, such as a copy of production's bound to staging. */
const OTHER_FLEET = "EXISTS (SELECT 1 FROM fleet WHERE uid <> ?3)";

/** Each of these takes the rows as one JSON text, so that any number of them is one statement. */
const UPSERT = `INSERT INTO tenant (${COLUMNS}, updated_at)
  SELECT value ->> 'tenant_id', value ->> 'shard', value ->> 'binding', value ->> 'database_uuid', value ->> 'state',
    value ->> 'schema_version', value ->> 'version', ?2 FROM json_each(?1) WHERE NOT ${FOREIGN} AND NOT ${OTHER_FLEET}
  ON CONFLICT (tenant_id) DO UPDATE SET shard = excluded.shard, binding = excluded.binding,
    database_uuid = excluded.database_uuid, state = excluded.state, schema_version = excluded.schema_version,
    version = excluded.version, updated_at = excluded.updated_at
  WHERE excluded.version > tenant.version RETURNING tenant_id`;
/** Only for a row that now stands in the directory: an upsert that was too old leaves no witness. */
const WITNESS = `INSERT INTO owner (database_uuid, tenant_id, since)
  SELECT tenant.database_uuid, tenant.tenant_id, ?2 FROM json_each(?1)
    JOIN tenant ON tenant.tenant_id = value ->> 'tenant_id' AND tenant.database_uuid = value ->> 'database_uuid'
  WHERE NOT ${OTHER_FLEET} ON CONFLICT (database_uuid) DO NOTHING`;
const CONFLICTS = `SELECT value ->> 'tenant_id' AS tenant_id, value ->> 'database_uuid' AS database_uuid
  FROM json_each(?1) WHERE ${FOREIGN}`;
const SELECT_ROWS = `SELECT ${COLUMNS} FROM tenant WHERE tenant_id IN (SELECT value ->> 'tenant_id' FROM json_each(?1))`;

/** @type {Operation} */
async function upsertTenants(command, env) {
  if (!Array.isArray(command.rows) || command.rows.length > MAX_ROWS) {
    throw badArguments(`rows must be a list of at most ${MAX_ROWS}`);
  }
  const rows = command.rows.map((row) => checkedRow(row, env));
  // Two rows of one request are not compared with each other by the statements below.
  const uuids = rows.map((row) => row.database_uuid).filter((uuid) => uuid !== null);
  if (
    new Set(rows.map((row) => row.tenant_id)).size !== rows.length ||
    new Set(uuids).size !== uuids.length
  ) {
    throw badArguments("a tenant or a database may occur once in a request");
  }
  const text = JSON.stringify(rows);
  const now = new Date().toISOString();
  const uid = env.D1FLEET_FLEET_UID;
  const directory = env.D1FLEET_DIRECTORY;
  const [upserted, , conflicting, standing, otherFleet] = await callDirectory(() =>
    directory.batch([
      directory.prepare(UPSERT).bind(text, now, uid),
      directory.prepare(WITNESS).bind(text, now, uid),
      directory.prepare(CONFLICTS).bind(text),
      directory.prepare(SELECT_ROWS).bind(text),
      directory.prepare("SELECT uid FROM fleet WHERE uid <> ?").bind(uid),
    ]),
  );
  if (otherFleet.results.length > 0) {
    throw new Refusal(409, "WrongFleet", "the directory is another fleet's; nothing was written");
  }
  const applied = new Set(upserted.results.map((row) => /** @type {Row} */ (row).tenant_id));
  const stored = new Map(
    standing.results.map((row) => [/** @type {Row} */ (row).tenant_id, /** @type {Row} */ (row)]),
  );
  for (const [tenantId, row] of stored) memory.remember(tenantId, row);
  const answer = rows
    .filter((row) => stored.has(row.tenant_id))
    .map((row) => ({ ...stored.get(row.tenant_id), applied: applied.has(row.tenant_id) }));
  if (conflicting.results.length > 0) {
    const details = { conflicts: conflicting.results };
    throw new Refusal(409, "OwnerConflict", "a database has another owner for ever", details, {
      rows: answer,
    });
  }
  return { rows: answer };
}

/** @type {Operation} */
async function getTenants(command, env) {
  const ids = command.tenant_ids;
  const isList =
    Array.isArray(ids) && ids.length <= MAX_ROWS && ids.every((id) => typeof id === "string");
  if (!isList) throw badArguments(`tenant_ids must be a list of at most ${MAX_ROWS} strings`);
  const text = JSON.stringify(ids.map((id) => ({ tenant_id: id })));
  const { results } = await callDirectory(() =>
    env.D1FLEET_DIRECTORY.prepare(SELECT_ROWS).bind(text).all(),
  );
  return { rows: results };
}

/** @type {Operation} */
async function probe(command, env) {
  const tenantId = command.tenant_id;
  if (typeof tenantId !== "string" || !TENANT_ID.test(tenantId)) {
    throw badArguments("tenant_id must be a tenant's id");
  }
  const row = await callDirectory(() => directoryReader(env)(tenantId));
  memory.remember(tenantId, row);
  /** @param {string} why */
  const notReady = (why) =>
    new Refusal(503, "TenantNotReady", why, { state: row?.state ?? null, retry_after: 2 });
  if (row?.state !== "active") throw notReady("the directory does not have the tenant as active");
  if (!isPlaced(row)) throw notReady("the directory names no database of the tenant");
  const shard = shardStub(env, row.shard);
  if (!shard) throw notReady(`this router has no binding to ${row.shard}`);
  try {
    const { generation } = await shard.probe(row.binding);
    const { shard: script, binding, database_uuid } = row;
    return { tenant_id: tenantId, shard: script, binding, database_uuid, generation };
  } catch (error) {
    throw notReady(messageOf(error));
  }
}

/** @param {unknown} table @returns {string} */
function ledgerName(table) {
  if (typeof table !== "string" || !LEDGER_NAME.test(table) || /^sqlite_/i.test(table)) {
    throw badArguments("table must be a plain SQL name");
  }
  return table;
}

/** @type {Operation} */
async function inspect(command, env) {
  const shard = knownShard(env, command.shard);
  const { bindings } = command;
  if (!Array.isArray(bindings) || bindings.length > MAX_INSPECTED) {
    throw badArguments(`bindings must be a list of at most ${MAX_INSPECTED}`);
  }
  const names = bindings.map(databaseBinding);
  const table = ledgerName(command.table);
  return { rows: await callShard(() => shard.inspect(names, table)) };
}

/** @type {Operation} */
async function migrate(command, env) {
  const shard = knownShard(env, command.shard);
  const binding = databaseBinding(command.binding);
  const table = ledgerName(command.table);
  const { files } = command;
  /** @param {unknown} file */
  const isFile = (file) =>
    isObject(file) &&
    typeof file.name === "string" &&
    file.name.length > 0 &&
    file.name.length <= 255 &&
    Array.isArray(file.statements) &&
    file.statements.every((sql) => typeof sql === "string");
  if (!Array.isArray(files) || !files.every(isFile)) {
    throw badArguments('files must be a list of {"name", "statements": [sql, …]}');
  }
  const { applied, ledger, error } = await callShard(() => shard.migrate(binding, files, table));
  if (!error) return { applied, ledger };
  const { name, message, retryable, ...where } = error;
  throw new Refusal(retryable ? 503 : 422, name, message, where, { applied, ledger });
}

/** @type {Map<string, Operation>} */
const OPERATIONS = new Map([
  ["status", status],
  ["tenants.upsert", upsertTenants],
  ["tenants.get", getTenants],
  ["probe", probe],
  ["inspect", inspect],
  ["migrate", migrate],
]);

const DOOR = "/_d1fleet/";

/**
 * @param {Request} request
 * @param {RouterEnv} env
 * @param {KeepAlive} context
 */
async function answer(request, env, context) {
  const { pathname } = new URL(request.url);
  const op = pathname.startsWith(DOOR) ? pathname.slice(DOOR.length) : "";
  const operation = OPERATIONS.get(op);
  const keys = adminKeys(env.D1FLEET_ADMIN_SECRET ?? "");
  // One and the same answer, so that nobody learns whether there is a door.
  if (!operation || request.method !== "POST" || keys.length === 0) {
    throw new Refusal(404, "NotFound", "nothing here");
  }
  const body = await verifiedBody(request, keys);
  return operation(parseCommand(body, op, env), env, context);
}

export default {
  /**
   * @param {Request} request
   * @param {RouterEnv} env
   * @param {KeepAlive} context
   */
  async fetch(request, env, context) {
    try {
      return json(200, await answer(request, env, context));
    } catch (error) {
      if (error instanceof Refusal) {
        const { status: code, name, message, details, rest } = error;
        return json(code, {
          error: { name, message, retryable: code >= 500, ...details },
          ...rest,
        });
      }
      console.error({ event: "admin_bug", error: messageOf(error) });
      return json(500, {
        error: {
          name: "InternalError",
          message: "a bug of the router; see its log",
          retryable: true,
        },
      });
    }
  },
};
