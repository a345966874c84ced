/** What a database weighs and which schema it has. */

/**
 * @param {D1Database} database
 * @param {string} table
 */
export async function inspect(database, table) {
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

/** @param {string} text */
export async function sha256(text) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
