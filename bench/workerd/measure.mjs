/**
 * Measure the pool Workers in real workerd: `node bench/workerd/measure.mjs '{"rounds": …}'`.
 *
 * One workerd holds everything: the app, the router, two shards, the databases. The ways are asked in
 * turn, in another order each round, so that whatever else the machine does meets all of them alike.
 * Prints one JSON object: for each way the milliseconds a query, for each kind of look-up how many a
 * second, one number a round.
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { Miniflare } from "miniflare";

const TENANT = "org_bench";
const NOTES = 20;
const ROUTER = "bench-pool";
const SHARD_1 = `${ROUTER}-1`;
const SHARD_2 = `${ROUTER}-2`;
const DATABASE = "DB_01JA0000000000000000000000";
const OTHER = "DB_01JB0000000000000000000000";
const COMPATIBILITY = {
  compatibilityDate: "2026-04-01",
  compatibilityFlags: ["enhanced_error_serialization"],
};
const AT_ONCE = 32;
const KNOWN = 10;

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));

/** The modules of `router` or `shard`, as the control plane uploads them: the main one first. */
function modulesOf(role) {
  const folder = path(`../../worker/src/${role}`);
  const others = readdirSync(folder).filter((name) => name !== "index.js");
  return ["index.js", ...others.sort()].map((name) => ({
    type: "ESModule",
    path: name,
    contents: readFileSync(`${folder}/${name}`, "utf8"),
  }));
}

async function appModule() {
  const { outputFiles } = await build({
    entryPoints: [path("app.js")],
    bundle: true,
    format: "esm",
    write: false,
    logLevel: "silent",
  });
  return outputFiles[0].text;
}

const identity = (script) => ({
  D1FLEET_GENERATION: "1",
  D1FLEET_FLEET_UID: "uid-bench",
  D1FLEET_SCRIPT: script,
  D1FLEET_CODE: "bench",
});

const shard = (name, databases) => ({
  name,
  modules: modulesOf("shard"),
  ...COMPATIBILITY,
  bindings: identity(name),
  d1Databases: databases,
});

async function start() {
  const miniflare = new Miniflare({
    d1Persist: false,
    workers: [
      {
        name: "app",
        modules: true,
        script: await appModule(),
        ...COMPATIBILITY,
        serviceBindings: { DB_POOL: { name: ROUTER, entrypoint: "DbPool" } },
        d1Databases: { DIRECT: DATABASE, DIRECTORY: "directory" },
      },
      {
        name: ROUTER,
        modules: modulesOf("router"),
        ...COMPATIBILITY,
        bindings: identity(ROUTER),
        d1Databases: { D1FLEET_DIRECTORY: "directory" },
        serviceBindings: { SHARD_1, SHARD_2 },
      },
      shard(SHARD_1, [DATABASE]),
      shard(SHARD_2, [OTHER]),
    ],
  });
  await miniflare.ready;
  return miniflare;
}

/** Fill the directory: one active tenant, and as many suspended ones as will be looked up. */
async function fill(miniflare, suspended) {
  const directory = await miniflare.getD1Database("DIRECTORY", "app");
  await directory.exec(
    "CREATE TABLE tenant (tenant_id TEXT PRIMARY KEY, shard TEXT, binding TEXT, database_uuid TEXT, " +
      "state TEXT NOT NULL, schema_version TEXT, version INTEGER NOT NULL, updated_at TEXT NOT NULL)",
  );
  await directory
    .prepare("INSERT INTO tenant VALUES (?, ?, ?, 'uuid-bench', 'active', NULL, 1, '')")
    .bind(TENANT, SHARD_1, DATABASE)
    .run();
  await directory
    .prepare(
      "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO tenant " +
        "SELECT 'suspended-' || i, ?, ?, 'uuid-' || i, 'suspended', NULL, 1, '' FROM n",
    )
    .bind(suspended, SHARD_2, OTHER)
    .run();
  const database = await miniflare.getD1Database("DIRECT", "app");
  await database.exec(
    "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL, created_at TEXT NOT NULL DEFAULT '')",
  );
  const insert = database.prepare("INSERT INTO notes (text) VALUES (?)");
  await database.batch(Array.from({ length: NOTES }, (_, i) => insert.bind(`note ${i}`)));
}

/** The order of a round: each way comes first in its turn. */
function turned(list, round) {
  const start = round % list.length;
  return [...list.slice(start), ...list.slice(0, start)];
}

async function main({ rounds, queries, lookupRounds, lookups }) {
  const miniflare = await start();
  try {
    await fill(miniflare, (lookupRounds + 1) * lookups);
    const app = await miniflare.getWorker("app");
    const timed = async (pathname, order) => {
      const begun = process.hrtime.bigint();
      const answer = await app.fetch(`http://app${pathname}`, {
        method: "POST",
        body: JSON.stringify(order),
      });
      const text = await answer.text();
      if (!answer.ok) throw new Error(text);
      return Number(process.hrtime.bigint() - begun) / 1e6;
    };
    const found = { query: {}, lookup: {} };
    const ways = ["direct", "client", "verbatim"];
    for (let round = -1; round < rounds; round += 1) {
      for (const way of turned(ways, round + 1)) {
        const order = { way, tenant: TENANT, count: queries, notes: NOTES };
        const spent = await timed("/query", order);
        // The first round warms up and does not count.
        if (round >= 0) (found.query[way] ??= []).push(spent / queries);
      }
    }
    // "fresh": never asked before, so each goes to the directory. "known": from memory.
    const kinds = [
      { kind: "directory", way: "directory", tenants: lookups },
      { kind: "fresh", way: "router", tenants: lookups },
      { kind: "known", way: "router", tenants: KNOWN },
    ];
    for (let round = -1; round < lookupRounds; round += 1) {
      for (const { kind, way, tenants } of turned(kinds, round + 1)) {
        const first = kind === "known" ? 0 : (round + 1) * lookups;
        const order = { way, first, tenants, count: lookups, atOnce: AT_ONCE };
        const spent = await timed("/lookup", order);
        if (round >= 0) (found.lookup[kind] ??= []).push((lookups / spent) * 1000);
      }
    }
    process.stdout.write(JSON.stringify(found));
  } finally {
    await miniflare.dispose();
  }
}

await main(JSON.parse(process.argv[2]));
