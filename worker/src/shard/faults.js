/** What an error of D1 means. */

/**
 * Tell a fault of the SQL, which stays, from trouble of the service, which passes.
 *
 * @param {string} message
 */
export function isFaultOfSql(message) {
  if (/SQLITE_(BUSY|LOCKED|IOERR|INTERRUPT|NOMEM)/.test(message)) return false;
  return /SQLITE_|SQL code did not contain|No SQL statements|Exceeded maximum DB size/.test(
    message,
  );
}
