/** From a tenant's id to its database. */
import { shardStub } from "./bindings.js";
import { directoryReader, isPlaced } from "./directory.js";
import { failure, messageOf, nameOf, tenantNotFound, tenantNotReady } from "./errors.js";
import { memory } from "./memory.js";

/** @import { KeepAlive, RouterEnv, RunOptions, ShardStub } from "./bindings.js" */
/** @import { Row } from "./directory.js" */

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
    try {
      return await shard.run(row.binding, statements, mode, options);
    } catch (error) {
      if (isOfDatabase(error) || (await isOurs(env, row.shard, shard))) throw error;
      throw tenantNotReady("the tenant's shard does not answer", 5);
    }
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

/** @param {unknown} error whether it came from the tenant's database, or says that it is not bound */
function isOfDatabase(error) {
  return nameOf(error) === "BindingMissing" || messageOf(error).startsWith("D1_");
}

/**
 * Say whether a shard is there and is this fleet's. When somebody deleted it or deployed over it,
 * its tenants are not ready until it is back: that is for the app to know, not the runtime's words.
 *
 * @param {RouterEnv} env
 * @param {string} script
 * @param {ShardStub} shard
 */
async function isOurs(env, script, shard) {
  try {
    const { script: name, fleet_uid } = await shard.status();
    return name === script && fleet_uid === env.D1FLEET_FLEET_UID;
  } catch {
    return false;
  }
}

/** Replaceable: the day that bindings can be made at run time, another resolver is named here. */
export const resolver = runOnShard;

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
