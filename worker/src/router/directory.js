/** The directory, a D1 database that says whose each database is: all of the router's SQL. */
import { BINDING } from "./names.js";

/** @import { RouterEnv } from "./bindings.js" */

/**
 * @typedef {{ tenant_id: string, shard: string | null, binding: string | null, database_uuid: string | null,
 *   state: string, schema_version: string | null, version: number }} Row a row of the directory
 * @typedef {{ database_uuid: string, tenant_id: string, since: string }} Owner whose a database is for ever
 */

/**
 * A row that is so far ahead of what the control plane writes was falsified: its version is no count
 * of changes. Were it left to stand, nothing could ever be written over it. The control plane knows
 * the same number (`shared/domain/drift/routes.py`).
 */
const MOST_AHEAD = 2 ** 32;

const FIELDS = "tenant_id, shard, binding, database_uuid, state, schema_version";
const COLUMNS = `${FIELDS}, version`;
/** SQLite keeps whatever was put into a column; who reads a row must find a whole number. */
const READ = `${FIELDS}, CAST(version AS INTEGER) AS version`;

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
  WHERE excluded.version > tenant.version OR tenant.version > excluded.version + ${MOST_AHEAD}
  RETURNING tenant_id`;
/** Only for a row that now stands in the directory: an upsert that was too old leaves no witness. */
const WITNESS = `INSERT INTO owner (database_uuid, tenant_id, since)
  SELECT tenant.database_uuid, tenant.tenant_id, ?2 FROM json_each(?1)
    JOIN tenant ON tenant.tenant_id = value ->> 'tenant_id' AND tenant.database_uuid = value ->> 'database_uuid'
  WHERE NOT ${OTHER_FLEET} ON CONFLICT (database_uuid) DO NOTHING`;
const CONFLICTS = `SELECT value ->> 'tenant_id' AS tenant_id, value ->> 'database_uuid' AS database_uuid
  FROM json_each(?1) WHERE ${FOREIGN}`;
const SELECT_ROWS = `SELECT ${READ} FROM tenant WHERE tenant_id IN (SELECT value ->> 'tenant_id' FROM json_each(?1))`;
const SELECT_PAGE = `SELECT ${READ} FROM tenant WHERE tenant_id > ?1 ORDER BY tenant_id LIMIT ?2`;
const SELECT_OWNERS = `SELECT database_uuid, tenant_id, since FROM owner
  WHERE database_uuid IN (SELECT value FROM json_each(?1)) ORDER BY database_uuid`;

/**
 * @param {RouterEnv} env
 * @returns {(tenantId: string) => Promise<Row | null>}
 */
export function directoryReader(env) {
  return (tenantId) =>
    env.D1FLEET_DIRECTORY.prepare(`SELECT ${READ} FROM tenant WHERE tenant_id = ?`)
      .bind(tenantId)
      .first();
}

/**
 * @param {number} version
 * @param {number} standing
 * @returns {boolean} whether a row of this version may be written over the one that stands
 */
export function supersedes(version, standing) {
  return version > standing || standing > version + MOST_AHEAD;
}

/**
 * Write the rows whose version is newer, in one transaction.
 *
 * @param {RouterEnv} env
 * @param {Row[]} rows a tenant and a database once each
 * @returns `applied`: ids of the tenants that were written; `conflicts`: rows of another owner's
 *   database; `standing`: the rows as they now are; `isOtherFleets`: nothing was written, for the
 *   directory is another fleet's
 */
export async function upsertRows(env, rows) {
  const text = JSON.stringify(rows);
  const now = new Date().toISOString();
  const uid = env.D1FLEET_FLEET_UID;
  const directory = env.D1FLEET_DIRECTORY;
  const [upserted, , conflicting, standing, otherFleet] = await directory.batch([
    directory.prepare(UPSERT).bind(text, now, uid),
    directory.prepare(WITNESS).bind(text, now, uid),
    directory.prepare(CONFLICTS).bind(text),
    directory.prepare(SELECT_ROWS).bind(text),
    directory.prepare("SELECT uid FROM fleet WHERE uid <> ?").bind(uid),
  ]);
  return {
    applied: new Set(upserted.results.map((row) => /** @type {Row} */ (row).tenant_id)),
    conflicts: conflicting.results,
    standing: /** @type {Row[]} */ (standing.results),
    isOtherFleets: otherFleet.results.length > 0,
  };
}

/**
 * @param {RouterEnv} env
 * @param {string[]} tenantIds
 * @returns {Promise<Row[]>} of those that exist
 */
export async function readRows(env, tenantIds) {
  const text = JSON.stringify(tenantIds.map((id) => ({ tenant_id: id })));
  const { results } = await env.D1FLEET_DIRECTORY.prepare(SELECT_ROWS).bind(text).all();
  return /** @type {Row[]} */ (/** @type {unknown} */ (results));
}

/**
 * Read a page of all rows in the order of the tenants' ids, tombstones too. The next page begins
 * after the last id of this one, so rows that come or change meanwhile move no other row.
 *
 * @param {RouterEnv} env
 * @param {string} after the empty text: from the first
 * @param {number} limit
 * @returns {Promise<Row[]>}
 */
export async function listRows(env, after, limit) {
  const { results } = await env.D1FLEET_DIRECTORY.prepare(SELECT_PAGE).bind(after, limit).all();
  return /** @type {Row[]} */ (/** @type {unknown} */ (results));
}

/**
 * Read whom the insert-only witness knows as the owners of databases.
 *
 * @param {RouterEnv} env
 * @param {string[]} uuids
 * @returns {Promise<Owner[]>} of those that ever had one
 */
export async function readOwners(env, uuids) {
  const { results } = await env.D1FLEET_DIRECTORY.prepare(SELECT_OWNERS)
    .bind(JSON.stringify(uuids))
    .all();
  return /** @type {Owner[]} */ (/** @type {unknown} */ (results));
}

/**
 * @param {Row} row
 * @returns {row is Row & { shard: string, binding: string }}
 */
export function isPlaced(row) {
  return row.shard !== null && row.binding !== null && BINDING.test(row.binding);
}
