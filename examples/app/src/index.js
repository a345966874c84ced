/**
 * The sample app: notes, one D1 database per tenant, through `env.DB_POOL` and nothing else.
 *
 * It has no login: who may name which tenant is an app's own business, and a real one takes the
 * tenant from the session, never from the path.
 */

const MAX_TEXT = 10_000;
const MAX_BODY = 64 * 1024;

/** @param {number} status @param {unknown} body @param {Record<string, string>} [headers] */
function json(status, body, headers) {
  return Response.json(body, { status, headers });
}

/** @param {number} status @param {string} name @param {string} message @param {Record<string, string>} [headers] */
function failed(status, name, message, headers) {
  return json(status, { error: { name, message } }, headers);
}

/**
 * @param {Request} request
 * @returns {Promise<string | undefined>} the note's text; undefined: not a note
 */
async function readText(request) {
  if (Number(request.headers.get("content-length") ?? 0) > MAX_BODY) return undefined;
  try {
    const body = await request.json();
    const text = /** @type {{ text?: unknown } | null} */ (body)?.text;
    return typeof text === "string" && text.length > 0 && text.length <= MAX_TEXT
      ? text
      : undefined;
  } catch {
    return undefined; // not JSON
  }
}

/** @param {Request} request @param {{ DB_POOL: any }} env @param {string} tenantId */
async function notes(request, env, tenantId) {
  if (request.method === "GET" || request.method === "HEAD") {
    const { results } = await env.DB_POOL.get(tenantId)
      .prepare("SELECT id, text, created_at FROM notes ORDER BY id")
      .all();
    return json(200, results);
  }
  if (request.method === "POST") {
    const text = await readText(request);
    if (text === undefined) {
      const message = `send {"text": "…"} as JSON, with 1 to ${MAX_TEXT} characters`;
      return failed(400, "BadRequest", message);
    }
    const note = await env.DB_POOL.get(tenantId)
      .prepare("INSERT INTO notes (text) VALUES (?) RETURNING id, text, created_at")
      .bind(text)
      .first();
    return json(201, note);
  }
  return failed(405, "MethodNotAllowed", "GET lists the notes, POST adds one", {
    allow: "GET, HEAD, POST",
  });
}

/**
 * Tell what d1fleet says of a tenant in HTTP's words. The names arrive intact because
 * `wrangler.jsonc` sets the flag `enhanced_error_serialization`.
 *
 * @param {any} error
 */
function refusal(error) {
  switch (error.name) {
    case "TenantNotFound":
      return failed(404, error.name, "there is no such tenant");
    case "TenantNotReady":
      return failed(503, error.name, "the tenant's database is not ready yet", {
        "retry-after": String(error.retryAfter ?? 2),
      });
    case "TenantSuspended":
      return failed(402, error.name, "the tenant is suspended");
    default:
      console.error({ event: "database_failed", error: error.message });
      return failed(500, "DatabaseFailed", "the tenant's database did not answer as it should");
  }
}

export default {
  /** @param {Request} request @param {{ DB_POOL: any }} env */
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/") {
      const what = "GET or POST /t/{tenant}/notes: each tenant has a D1 database of its own.";
      return json(200, { app: "d1fleet sample app", usage: what });
    }
    const encoded = /^\/t\/([^/]+)\/notes$/.exec(pathname)?.[1];
    if (encoded === undefined) return failed(404, "NotFound", "try /t/{tenant}/notes");
    let tenantId;
    try {
      tenantId = decodeURIComponent(encoded);
    } catch {
      return failed(400, "BadRequest", "the tenant's id is not well encoded");
    }
    try {
      return await notes(request, env, tenantId);
    } catch (error) {
      return refusal(error);
    }
  },
};
