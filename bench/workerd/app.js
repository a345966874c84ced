/**
 * The app of the benchmark: the same query by each way to a tenant's database, one after the other.
 *
 * It does not time itself: workerd's clock stands still between two awaits that do no I/O. Whoever
 * asks times the whole request, in which the queries are many.
 */
import { dbPool } from "../../worker/client/index.js";

const SQL = "SELECT id, text, created_at FROM notes WHERE id = ?";

/** @type {Record<string, (env: any, tenant: string, id: number) => Promise<{ results: unknown[] }>>} */
const ways = {
  direct: (env, _tenant, id) => env.DIRECT.prepare(SQL).bind(id).all(),
  client: (env, tenant, id) => dbPool(env.DB_POOL).get(tenant).prepare(SQL).bind(id).all(),
  verbatim: (env, tenant, id) => env.DB_POOL.get(tenant).prepare(SQL).bind(id).all(),
};

/**
 * Ask one by one; every answer must be the note that was asked for.
 *
 * @param {any} env
 * @param {{ way: string, tenant: string, count: number, notes: number }} order
 */
async function query(env, { way, tenant, count, notes }) {
  for (let done = 0; done < count; done += 1) {
    const id = 1 + (done % notes);
    const { results } = await ways[way](env, tenant, id);
    if (results.length !== 1 || results[0].id !== id) throw new Error(`wrong answer by ${way}`);
  }
  return { done: count };
}

/** @type {Record<string, (env: any, tenant: string) => Promise<boolean>>} each: was the row found? */
const lookups = {
  router: (env, tenant) =>
    env.DB_POOL.query(tenant, [["SELECT 1", []]], "first").then(
      () => false,
      (/** @type {Error} */ error) => error.name === "TenantSuspended",
    ),
  directory: async (env, tenant) => {
    const sql =
      "SELECT tenant_id, shard, binding, database_uuid, state, schema_version, version FROM tenant WHERE tenant_id = ?";
    return (await env.DIRECTORY.prepare(sql).bind(tenant).first())?.state === "suspended";
  },
};

/**
 * Look tenants up, several at a time. They are suspended, so that the router answers from the
 * directory's word alone and no query follows.
 *
 * @param {any} env
 * @param {{ way: string, first: number, tenants: number, count: number, atOnce: number }} order
 */
async function lookup(env, { way, first, tenants, count, atOnce }) {
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const tenant = `suspended-${first + (next++ % tenants)}`;
      if (!(await lookups[way](env, tenant))) throw new Error(`${tenant} was not found by ${way}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return { done: count };
}

export default {
  /** @param {Request} request @param {any} env */
  async fetch(request, env) {
    const order = await request.json();
    const run = new URL(request.url).pathname === "/lookup" ? lookup : query;
    return Response.json(await run(env, order));
  },
};
