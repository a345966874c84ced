/** Reading a database in one transaction, for backups. */
import { isFaultOfSql } from "./faults.js";

/** Characters of an answer: RPC and the admin door carry a little more. */
const MOST_CHARACTERS = 24_000_000;
const ASKING =
  /^PRAGMA (table_list|table_x?info|index_list|index_x?info|foreign_key_list|foreign_key_check|quick_check)\b(?!\s*=)/i;
const QUOTED = /'[^']*'|"[^"]*"|`[^`]*`|\[[^\]]*\]/g;

/**
 * @typedef {{ name: string, message: string, retryable: boolean }} ReadError
 */

/**
 * Say whether a text is one statement that can do nothing but read.
 *
 * A SELECT can't write; a WITH can, and so can what follows a semicolon. A comment could hide one.
 *
 * @param {string} sql
 */
export function onlyReads(sql) {
  const bare = sql.replaceAll(QUOTED, "''");
  return (/^SELECT\b/i.test(bare) || ASKING.test(bare)) && !/;|--|\/\*/.test(bare);
}

/**
 * Run statements in one transaction, so that they see one and the same state.
 *
 * @param {D1Database} database
 * @param {string[]} statements their columns have names of their own, as D1 gives rows as objects
 * @returns {Promise<{ results?: unknown[][][], error?: ReadError }>} each statement's rows as lists
 */
export async function read(database, statements) {
  if (!statements.every(onlyReads)) {
    const message = "a statement does more than read, or is not one SELECT without comments";
    return { error: { name: "NotReadOnly", message, retryable: false } };
  }
  let answers;
  try {
    answers = await database.batch(statements.map((sql) => database.prepare(sql)));
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    return isFaultOfSql(message)
      ? { error: { name: "ReadFailed", message, retryable: false } }
      : { error: { name: "DatabaseUnavailable", message, retryable: true } };
  }
  let size = 0;
  const results = answers.map((answer) =>
    /** @type {Record<string, unknown>[]} */ (answer.results).map((row) => {
      const values = Object.values(row);
      for (const value of values) size += sizeOf(value);
      return values;
    }),
  );
  if (size > MOST_CHARACTERS) {
    const message = `the answer has ${size} characters, more than ${MOST_CHARACTERS}: ask for less`;
    return { error: { name: "AnswerTooLarge", message, retryable: false } };
  }
  return { results };
}

/** @param {unknown} value @returns {number} */
function sizeOf(value) {
  if (typeof value === "string") return value.length + 3;
  return Array.isArray(value) ? value.length * 4 + 2 : 8;
}
