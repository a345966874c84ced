/** The admin door of the control plane: one signed command a request. */
import { isObject } from "./arguments.js";
import { badArguments, messageOf, Refusal } from "./errors.js";
import { OPERATIONS } from "./operations.js";
import { adminKeys, verifiedBody } from "./signature.js";

/** @import { KeepAlive, RouterEnv } from "./bindings.js" */

const DOOR = "/_d1fleet/";

/** @param {number} status @param {unknown} body */
function json(status, body) {
  return Response.json(body, { status, headers: { "cache-control": "no-store" } });
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

/**
 * Answer a request to the router's address; every answer is JSON.
 *
 * @param {Request} request
 * @param {RouterEnv} env
 * @param {KeepAlive} context
 */
export async function answerAdmin(request, env, context) {
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
}
