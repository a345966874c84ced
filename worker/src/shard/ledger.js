/** The ledger of a database: which migrations are applied, and how more are. */
import { isFaultOfSql } from "./faults.js";

const LEDGER_NAME = /^[A-Za-z][A-Za-z0-9_]{0,62}$/;

/**
 * @typedef {{ name: string, statements: string[] }} MigrationFile
 * @typedef {{ name: string, message: string, file: string, statement: number | null, retryable: boolean }} MigrationError
 */

/**
 * Apply the files that the ledger lacks, in the order given, each atomically.
 *
 * Two migrators may race: the ledger row is the first statement of a file's batch, so the second
 * one's batch fails as a whole, and any error is judged only after the ledger was read again.
 *
 * @param {D1Database} database
 * @param {MigrationFile[]} files
 * @param {string} table the ledger's name
 * @returns {Promise<{applied: string[], ledger: string[], error?: MigrationError}>}
 */
export async function applyFiles(database, files, table) {
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
