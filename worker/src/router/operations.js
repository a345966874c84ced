/** What the control plane may ask for at the admin door. */
import { checkedRow, databaseBinding, isObject, knownShard, ledgerName } from "./arguments.js";
import { shardStub } from "./bindings.js";
import {
  directoryReader,
  isPlaced,
  listRows,
  readOwners,
  readRows,
  upsertRows,
} from "./directory.js";
import { badArguments, messageOf, nameOf, Refusal } from "./errors.js";
import { memory } from "./memory.js";
import { DATABASE_UUID, TENANT_ID } from "./names.js";

/** @import { KeepAlive, RouterEnv } from "./bindings.js" */

const MAX_ROWS = 1_000;
const MAX_INSPECTED = 100;
const MAX_READS = 250;

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

/** @type {Operation} */
async function upsertTenants(command, env) {
  if (!Array.isArray(command.rows) || command.rows.length > MAX_ROWS) {
    throw badArguments(`rows must be a list of at most ${MAX_ROWS}`);
  }
  const rows = command.rows.map((row) => checkedRow(row, env));
  // Two rows of one request are not compared with each other by the directory.
  const uuids = rows.map((row) => row.database_uuid).filter((uuid) => uuid !== null);
  if (
    new Set(rows.map((row) => row.tenant_id)).size !== rows.length ||
    new Set(uuids).size !== uuids.length
  ) {
    throw badArguments("a tenant or a database may occur once in a request");
  }
  const { applied, conflicts, standing, isOtherFleets } = await callDirectory(() =>
    upsertRows(env, rows),
  );
  if (isOtherFleets) {
    throw new Refusal(409, "WrongFleet", "the directory is another fleet's; nothing was written");
  }
  const stored = new Map(standing.map((row) => [row.tenant_id, row]));
  for (const [tenantId, row] of stored) memory.remember(tenantId, row);
  const answer = rows
    .filter((row) => stored.has(row.tenant_id))
    .map((row) => ({ ...stored.get(row.tenant_id), applied: applied.has(row.tenant_id) }));
  if (conflicts.length > 0) {
    const message = "a database has another owner for ever";
    throw new Refusal(409, "OwnerConflict", message, { conflicts }, { rows: answer });
  }
  return { rows: answer };
}

/** @type {Operation} */
async function getTenants(command, env) {
  const ids = command.tenant_ids;
  const isList =
    Array.isArray(ids) && ids.length <= MAX_ROWS && ids.every((id) => typeof id === "string");
  if (!isList) throw badArguments(`tenant_ids must be a list of at most ${MAX_ROWS} strings`);
  return { rows: await callDirectory(() => readRows(env, ids)) };
}

/** @type {Operation} */
async function listTenants(command, env) {
  const { after = null, limit } = command;
  if (after !== null && (typeof after !== "string" || !TENANT_ID.test(after))) {
    throw badArguments("after must be null or a tenant's id");
  }
  if (!Number.isInteger(limit) || Number(limit) < 1 || Number(limit) > MAX_ROWS) {
    throw badArguments(`limit must be an integer from 1 to ${MAX_ROWS}`);
  }
  const rows = await callDirectory(() => listRows(env, after ?? "", Number(limit)));
  const next = rows.length === limit ? rows[rows.length - 1].tenant_id : null;
  return { rows, next };
}

/** @type {Operation} */
async function owners(command, env) {
  const uuids = command.database_uuids;
  const isList =
    Array.isArray(uuids) &&
    uuids.length <= MAX_ROWS &&
    uuids.every((uuid) => typeof uuid === "string" && DATABASE_UUID.test(uuid));
  if (!isList) throw badArguments(`database_uuids must be a list of at most ${MAX_ROWS} uuids`);
  return { rows: await callDirectory(() => readOwners(env, uuids)) };
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

/** @type {Operation} */
async function read(command, env) {
  const shard = knownShard(env, command.shard);
  const binding = databaseBinding(command.binding);
  const { statements } = command;
  if (
    !Array.isArray(statements) ||
    statements.length === 0 ||
    statements.length > MAX_READS ||
    !statements.every((sql) => typeof sql === "string")
  ) {
    throw badArguments(`statements must be a list of 1 to ${MAX_READS} texts`);
  }
  const { results, error } = await callShard(() => shard.read(binding, statements));
  if (error) throw new Refusal(error.retryable ? 503 : 422, error.name, error.message);
  return { results };
}

/** @type {Map<string, Operation>} */
export const OPERATIONS = new Map([
  ["status", status],
  ["tenants.upsert", upsertTenants],
  ["tenants.get", getTenants],
  ["tenants.list", listTenants],
  ["owners", owners],
  ["probe", probe],
  ["inspect", inspect],
  ["migrate", migrate],
  ["read", read],
]);
