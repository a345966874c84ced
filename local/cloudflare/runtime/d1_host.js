/**
 * The door of the process that owns every database file.
 *
 * A request with `x-d1-id` is a query for that database, from a Worker's binding or from the REST API;
 * one without is the emulator's own: which databases exist, which are closed and why. Databases not
 * announced here do not exist, so a binding whose database was deleted fails.
 */

export { D1DatabaseObject } from "./d1_object.js";

const known = new Set();
/** @type {Map<string, {reason: string, until: number}>} */
const closed = new Map();
/** @type {Map<string, number>} */
const busy = new Map();

/**
 * @param {string} id
 * @returns {string | undefined} why the database takes no queries now
 */
function refusal(id) {
  if (!known.has(id)) return `The database ${id} could not be found`;
  const bar = closed.get(id);
  if (bar === undefined) return undefined;
  if (Date.now() < bar.until) return bar.reason;
  closed.delete(id);
  return undefined;
}

/**
 * @param {Record<string, any>} env
 * @param {string} id
 * @param {Request} request
 */
async function ask(env, id, request) {
  busy.set(id, (busy.get(id) ?? 0) + 1);
  try {
    const stub = env.DATABASES.get(env.DATABASES.idFromName(id));
    return await stub.fetch(request, { cf: { miniflare: { name: id } } });
  } finally {
    const left = (busy.get(id) ?? 1) - 1;
    if (left === 0) busy.delete(id);
    else busy.set(id, left);
  }
}

/** @type {Record<string, (env: Record<string, any>, order: any) => any>} */
const orders = {
  open(_env, { ids }) {
    for (const id of ids) {
      known.add(id);
      closed.delete(id);
    }
    return {};
  },
  /** Refuse queries for a while, and wait for those that run. */
  async close(_env, { id, reason, seconds }) {
    closed.set(id, { reason, until: Date.now() + seconds * 1000 });
    while (busy.has(id)) await scheduler.wait(2);
    return {};
  },
  async forget(_env, { id }) {
    known.delete(id);
    closed.delete(id);
    while (busy.has(id)) await scheduler.wait(2);
    return {};
  },
  async writes(env, { id }) {
    const answer = await ask(env, id, new Request("http://d1/emulator/writes"));
    return answer.json();
  },
  /** Let go of the file, which was changed from outside, and count on from `writes`. */
  async reload(env, { id, writes }) {
    await ask(env, id, new Request("http://d1/emulator/reset")).catch(() => undefined);
    const url = `http://d1/emulator/writes?set=${writes}`;
    return (await ask(env, id, new Request(url))).json();
  },
};

export default {
  /**
   * @param {Request} request
   * @param {Record<string, any>} env
   */
  async fetch(request, env) {
    const id = request.headers.get("x-d1-id");
    if (id === null) {
      const { op, ...order } = await request.json();
      return Response.json(await orders[op](env, order));
    }
    const reason = request.headers.has("x-d1-inside") ? undefined : refusal(id);
    if (reason !== undefined) return Response.json({ success: false, error: reason });
    return ask(env, id, request);
  },
};
