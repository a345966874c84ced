/** What a command of the control plane may say. */
import { shardStub } from "./bindings.js";
import { badArguments, Refusal } from "./errors.js";
import { BINDING, DATABASE_UUID, LEDGER_NAME, SHARD, STATES, TENANT_ID } from "./names.js";

/** @import { RouterEnv, ShardStub } from "./bindings.js" */
/** @import { Row } from "./directory.js" */

/** @param {unknown} value @returns {value is Record<string, unknown>} */
export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * @param {RouterEnv} env
 * @param {unknown} script
 * @returns {ShardStub}
 */
export function knownShard(env, script) {
  if (typeof script !== "string" || !SHARD.test(script)) {
    throw badArguments("shard must be the name of a shard's script");
  }
  const shard = shardStub(env, script);
  if (!shard) throw new Refusal(503, "ShardUnknown", `this router has no binding to ${script}`);
  return shard;
}

/** @param {unknown} binding @returns {string} */
export function databaseBinding(binding) {
  if (typeof binding !== "string" || !BINDING.test(binding)) {
    throw badArguments("binding must be DB_ and a ULID");
  }
  return binding;
}

/** @param {unknown} table @returns {string} */
export function ledgerName(table) {
  if (typeof table !== "string" || !LEDGER_NAME.test(table) || /^sqlite_/i.test(table)) {
    throw badArguments("table must be a plain SQL name");
  }
  return table;
}

/** @param {unknown} value @param {RegExp} pattern */
function isNullOr(value, pattern) {
  return value === null || (typeof value === "string" && pattern.test(value));
}

/** @param {unknown} given @param {RouterEnv} env @returns {Row} */
export function checkedRow(given, env) {
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
