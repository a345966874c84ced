/** Errors that the app sees, and refusals that the control plane sees. */

// Of those that the app sees, name and fields arrive intact when the app's Worker has the flag
// `enhanced_error_serialization` too; without it the name is the message's first word, so the
// message carries `retryAfter` as well. No message carries a tenant's id.

/**
 * @param {string} name
 * @param {string} message
 * @param {Record<string, unknown>} [fields]
 */
export function failure(name, message, fields) {
  const error = Object.assign(new Error(message), fields);
  error.name = name;
  return error;
}

/** @param {{ closed?: boolean }} [fields] */
export function tenantNotFound(fields) {
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
export function tenantNotReady(why, retryAfter, fields) {
  return failure("TenantNotReady", `${why}; retry after ${retryAfter} s`, {
    retryAfter,
    ...fields,
  });
}

/** @param {unknown} error @returns {string} */
export function nameOf(error) {
  return error instanceof Error ? error.name : "";
}

/** @param {unknown} error @returns {string} */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/** An answer that refuses; `retryable` says whether the same request may succeed later. */
export class Refusal extends Error {
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
export function badArguments(message) {
  return new Refusal(422, "BadArguments", message);
}
