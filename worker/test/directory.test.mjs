import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  A,
  B,
  bundle,
  C,
  FLEET_UID,
  SHARD_1,
  SHARD_2,
  startStack,
  UNBOUND,
} from "./fixtures/stack.mjs";

describe("the directory behind the router's admin door", () => {
  let stack;

  before(async () => {
    stack = await startStack({ app: await bundle("verbatim_app.js") });
  });

  after(() => stack.stop());

  const row = (fields = {}) => ({
    tenant_id: "one",
    shard: SHARD_1,
    binding: A,
    database_uuid: "uuid-a",
    state: "active",
    schema_version: "0001_notes.sql",
    version: 1,
    ...fields,
  });

  describe("tenants.upsert and tenants.get", () => {
    it("writes rows and gives them back as they stand", async () => {
      const rows = [
        row({ tenant_id: "w1" }),
        row({ tenant_id: "w2", binding: B, database_uuid: "uuid-b" }),
      ];
      const { status, json } = await stack.admin("tenants.upsert", { rows });
      assert.equal(status, 200);
      assert.deepEqual(
        json.rows,
        rows.map((item) => ({ ...item, applied: true })),
      );
      const got = await stack.admin("tenants.get", { tenant_ids: ["w2", "nobody", "w1"] });
      assert.deepEqual(new Set(got.json.rows.map((item) => item.tenant_id)), new Set(["w1", "w2"]));
    });

    it("ignores a version that is not newer, and says what stands", async () => {
      const newer = row({
        tenant_id: "v",
        database_uuid: "uuid-v",
        version: 5,
        state: "suspended",
      });
      await stack.admin("tenants.upsert", { rows: [newer] });
      for (const version of [4, 5]) {
        const late = row({ tenant_id: "v", database_uuid: "uuid-late", version });
        const { status, json } = await stack.admin("tenants.upsert", { rows: [late] });
        assert.equal(status, 200);
        assert.deepEqual(json.rows, [{ ...newer, applied: false }]);
      }
      const { results } = await stack.directory
        .prepare("SELECT tenant_id FROM owner WHERE database_uuid = 'uuid-late'")
        .all();
      assert.deepEqual(results, []);
    });

    it("lets any row replace one whose version no record can have", async () => {
      const ahead = 2 ** 32;
      const versions = [9 + ahead, 10 + ahead, "9223372036854775807", "'never'", "1e300"];
      for (const [number, version] of versions.entries()) {
        const late = row({ tenant_id: `f${number}`, database_uuid: `uuid-f${number}`, version: 9 });
        await stack.admin("tenants.upsert", {
          rows: [{ ...late, version: 8, state: "suspended" }],
        });
        await stack.directory
          .prepare(`UPDATE tenant SET version = ${version} WHERE tenant_id = ?`)
          .bind(late.tenant_id)
          .run();
        const got = await stack.admin("tenants.get", { tenant_ids: [late.tenant_id] });
        assert.ok(Number.isInteger(got.json.rows[0].version));
        const { json } = await stack.admin("tenants.upsert", { rows: [late] });
        assert.equal(json.rows[0].applied, number > 0, String(version));
      }
    });

    it("keeps a closed tenant's row as a tombstone, and takes a new episode", async () => {
      await stack.admin("tenants.upsert", {
        rows: [row({ tenant_id: "e", database_uuid: "uuid-e", version: 1 })],
      });
      const closed = { tenant_id: "e", state: "closed", version: 2 };
      const { json } = await stack.admin("tenants.upsert", { rows: [closed] });
      assert.deepEqual(json.rows, [
        {
          ...closed,
          shard: null,
          binding: null,
          database_uuid: null,
          schema_version: null,
          applied: true,
        },
      ]);
      const anew = row({ tenant_id: "e", database_uuid: "uuid-e2", version: 3 });
      assert.equal(
        (await stack.admin("tenants.upsert", { rows: [anew] })).json.rows[0].applied,
        true,
      );
    });

    it("refuses a second owner for ever, writes nothing of that row, and the others", async () => {
      const first = row({ tenant_id: "own", database_uuid: "uuid-own" });
      await stack.admin("tenants.upsert", { rows: [first] });
      await stack.admin("tenants.upsert", {
        rows: [{ tenant_id: "own", state: "closed", version: 2 }],
      });
      const thief = row({ tenant_id: "thief", database_uuid: "uuid-own", version: 99 });
      const honest = row({ tenant_id: "honest", database_uuid: "uuid-honest" });
      const { status, json } = await stack.admin("tenants.upsert", { rows: [thief, honest] });
      assert.equal(status, 409);
      assert.equal(json.error.name, "OwnerConflict");
      assert.equal(json.error.retryable, false);
      assert.deepEqual(json.error.conflicts, [{ tenant_id: "thief", database_uuid: "uuid-own" }]);
      assert.deepEqual(json.rows, [{ ...honest, applied: true }]);
      const { json: got } = await stack.admin("tenants.get", { tenant_ids: ["thief", "honest"] });
      assert.deepEqual(got.rows, [honest]);
      const owners = await stack.directory
        .prepare("SELECT tenant_id FROM owner WHERE database_uuid = 'uuid-own'")
        .all();
      assert.deepEqual(owners.results, [{ tenant_id: "own" }]);
    });

    it("writes nothing into a directory that is another fleet's", async () => {
      const mine = row({ tenant_id: "mine", database_uuid: "uuid-mine" });
      await stack.directory.exec("INSERT INTO fleet VALUES ('uid-of-production', 'prod')");
      try {
        const { status, json } = await stack.admin("tenants.upsert", { rows: [mine] });
        assert.equal(status, 409);
        assert.equal(json.error.name, "WrongFleet");
        const { json: got } = await stack.admin("tenants.get", { tenant_ids: ["mine"] });
        assert.deepEqual(got.rows, []);
      } finally {
        await stack.directory.exec("DELETE FROM fleet");
      }
      const insert = stack.directory.prepare("INSERT INTO fleet VALUES (?, 'acme')");
      await insert.bind(FLEET_UID).run();
      const { json } = await stack.admin("tenants.upsert", { rows: [mine] });
      assert.equal(json.rows[0].applied, true);
    });

    it("lets one of two racing owners win", async () => {
      const race = ["r1", "r2"].map((tenant_id) =>
        stack.admin("tenants.upsert", { rows: [row({ tenant_id, database_uuid: "uuid-race" })] }),
      );
      const statuses = (await Promise.all(race)).map((answer) => answer.status);
      assert.deepEqual(statuses.sort(), [200, 409]);
    });

    it("is seen at once by the isolate that wrote it", async () => {
      const live = row({ tenant_id: "live", database_uuid: "uuid-live" });
      await stack.scenario("all", { id: "live", sql: "SELECT 1" });
      await stack.admin("tenants.upsert", { rows: [live] });
      assert.ok((await stack.scenario("all", { id: "live", sql: "SELECT 1" })).value);
      await stack.admin("tenants.upsert", { rows: [{ ...live, state: "suspended", version: 2 }] });
      const { error } = await stack.scenario("all", { id: "live", sql: "SELECT 1" });
      assert.equal(error.name, "TenantSuspended");
    });

    it("refuses rows that cannot be, and writes none of the request", async () => {
      const good = row({ tenant_id: "good", database_uuid: "uuid-good" });
      for (const bad of [
        { tenant_id: "a b" },
        { tenant_id: "x".repeat(129) },
        { tenant_id: 1 },
        { shard: "other-pool-1" },
        { shard: "SHARD_1" },
        { binding: "D1FLEET_DIRECTORY" },
        { binding: "DB_01ja0000000000000000000000" },
        { binding: null },
        { database_uuid: "' OR 1" },
        { database_uuid: null },
        { state: "deleted" },
        { state: undefined },
        { schema_version: 7 },
        { version: -1 },
        { version: 1.5 },
        { version: "2" },
      ]) {
        const rows = [good, row({ tenant_id: "bad", database_uuid: "uuid-bad", ...bad })];
        const { status, json } = await stack.admin("tenants.upsert", { rows });
        assert.equal(status, 422, JSON.stringify(bad));
        assert.equal(json.error.name, "BadArguments");
      }
      const twice = [good, { ...good, tenant_id: "good2" }];
      assert.equal((await stack.admin("tenants.upsert", { rows: twice })).status, 422);
      for (const rows of [undefined, {}, [null], ["x"], Array(1001).fill(good)]) {
        assert.equal((await stack.admin("tenants.upsert", { rows })).status, 422);
      }
      for (const tenant_ids of [undefined, "good", [1], Array(1001).fill("x")]) {
        assert.equal((await stack.admin("tenants.get", { tenant_ids })).status, 422);
      }
      const { json } = await stack.admin("tenants.get", { tenant_ids: ["good", "good2", "bad"] });
      assert.deepEqual(json.rows, []);
    });

    it("writes a thousand rows in one request", async () => {
      const rows = Array.from({ length: 1000 }, (_, index) => ({
        tenant_id: `many-${index}`,
        state: "failed",
        version: 1,
      }));
      const { json } = await stack.admin("tenants.upsert", { rows });
      assert.equal(json.rows.filter((item) => item.applied).length, 1000);
    });

    it("says 503 when the directory fails", async () => {
      await stack.directory.exec("ALTER TABLE tenant RENAME TO hidden");
      try {
        for (const [op, args] of [
          ["tenants.get", { tenant_ids: ["one"] }],
          ["tenants.list", { limit: 10 }],
          ["tenants.upsert", { rows: [row({ tenant_id: "lost", database_uuid: "uuid-lost" })] }],
          ["probe", { tenant_id: "one" }],
        ]) {
          const { status, json } = await stack.admin(op, args);
          assert.equal(status, 503, op);
          assert.equal(json.error.name, "DirectoryUnavailable");
          assert.equal(json.error.retryable, true);
        }
      } finally {
        await stack.directory.exec("ALTER TABLE hidden RENAME TO tenant");
      }
    });
  });

  describe("tenants.list", () => {
    /** All pages of a size, one after the other. */
    async function pages(limit) {
      const found = [];
      let after = null;
      do {
        const { status, json } = await stack.admin("tenants.list", { after, limit });
        assert.equal(status, 200);
        found.push(json.rows);
        after = json.next;
      } while (after !== null);
      return found;
    }

    it("gives every row once, in the order of ids, whatever the size of a page", async () => {
      const { results } = await stack.directory
        .prepare(
          "SELECT tenant_id, shard, binding, database_uuid, state, schema_version, version FROM tenant",
        )
        .all();
      const ids = results.map((each) => each.tenant_id).sort();
      for (const limit of [1000, 333, 100]) {
        const listed = (await pages(limit)).flat();
        assert.deepEqual(
          listed.map((each) => each.tenant_id),
          ids,
        );
        if (limit === 1000) {
          const byId = new Map(results.map((each) => [each.tenant_id, each]));
          assert.deepEqual(
            listed,
            ids.map((id) => byId.get(id)),
          );
        }
      }
      assert.ok(results.some((each) => each.state === "closed"));
      const after = ids.at(-2);
      const { json: full } = await stack.admin("tenants.list", { after, limit: 1 });
      assert.equal(full.next, ids.at(-1));
      const { json: end } = await stack.admin("tenants.list", { after: full.next, limit: 1 });
      assert.deepEqual(end, { rows: [], next: null });
    });

    it("skips and repeats nothing while rows come before and after the page", async () => {
      const { json: first } = await stack.admin("tenants.list", { after: null, limit: 3 });
      for (const tenant_id of ["-early", "zz-late"]) {
        await stack.admin("tenants.upsert", { rows: [{ tenant_id, state: "failed", version: 1 }] });
      }
      const { json: rest } = await stack.admin("tenants.list", { after: first.next, limit: 1000 });
      const { json: all } = await stack.admin("tenants.list", { after: rest.next, limit: 1000 });
      const seen = [...first.rows, ...rest.rows, ...all.rows].map((each) => each.tenant_id);
      assert.equal(new Set(seen).size, seen.length);
      assert.ok(seen.includes("zz-late"));
      assert.ok(!seen.includes("-early"));
    });

    it("refuses a page that is none or too large, and a start that is no tenant's id", async () => {
      for (const limit of [undefined, 0, -1, 1.5, 1001, "10", null]) {
        assert.equal((await stack.admin("tenants.list", { limit })).status, 422);
      }
      for (const after of ["", "a b", 7, "x".repeat(129)]) {
        assert.equal((await stack.admin("tenants.list", { after, limit: 10 })).status, 422);
      }
    });
  });

  describe("owners", () => {
    it("tells whose a database is for ever, also when the tenant has another by now", async () => {
      const was = row({ tenant_id: "moved", database_uuid: "uuid-was", version: 1 });
      await stack.admin("tenants.upsert", { rows: [was] });
      const now = { ...was, database_uuid: "uuid-now", version: 2 };
      await stack.admin("tenants.upsert", { rows: [now] });
      const { json } = await stack.admin("owners", {
        database_uuids: ["uuid-was", "uuid-nobody", "uuid-now"],
      });
      const whose = json.rows.map((each) => [each.database_uuid, each.tenant_id]);
      assert.deepEqual(whose, [
        ["uuid-now", "moved"],
        ["uuid-was", "moved"],
      ]);
      assert.ok(json.rows.every((each) => !Number.isNaN(Date.parse(each.since))));
    });

    it("refuses what is no list of uuids", async () => {
      for (const database_uuids of [undefined, "uuid", [1], ["' OR 1"], Array(1001).fill("u")]) {
        assert.equal((await stack.admin("owners", { database_uuids })).status, 422);
      }
    });
  });

  describe("probe", () => {
    it("answers from that very database with the generation that answered", async () => {
      const probed = row({
        tenant_id: "probed",
        shard: SHARD_2,
        binding: C,
        database_uuid: "uuid-probed",
      });
      await stack.admin("tenants.upsert", { rows: [probed] });
      const { status, json } = await stack.admin("probe", { tenant_id: "probed" });
      assert.equal(status, 200);
      assert.deepEqual(json, {
        tenant_id: "probed",
        shard: SHARD_2,
        binding: C,
        database_uuid: "uuid-probed",
        generation: 22,
      });
    });

    it("reads the directory fresh, and the app sees what it read", async () => {
      await stack.directory
        .prepare("UPDATE tenant SET state = 'suspended', version = 9 WHERE tenant_id = 'probed'")
        .run();
      const { status, json } = await stack.admin("probe", { tenant_id: "probed" });
      assert.equal(status, 503);
      assert.equal(json.error.name, "TenantNotReady");
      assert.equal(json.error.state, "suspended");
      const { error } = await stack.scenario("all", { id: "probed", sql: "SELECT 1" });
      assert.equal(error.name, "TenantSuspended");
    });

    it("says 503 TenantNotReady of a tenant unknown, not bound yet, or on a shard not there yet", async () => {
      const rows = [
        row({ tenant_id: "p-early", binding: UNBOUND, database_uuid: "uuid-p-early" }),
        row({
          tenant_id: "p-far",
          shard: "acme-pool-7",
          binding: UNBOUND,
          database_uuid: "uuid-p-far",
        }),
      ];
      await stack.admin("tenants.upsert", { rows });
      for (const tenant_id of ["p-early", "p-far", "p-nobody"]) {
        const { status, json } = await stack.admin("probe", { tenant_id });
        assert.equal(status, 503, tenant_id);
        assert.equal(json.error.name, "TenantNotReady");
        assert.equal(json.error.retryable, true);
      }
      assert.equal((await stack.admin("probe", { tenant_id: "a b" })).status, 422);
      assert.equal((await stack.admin("probe")).status, 422);
    });
  });
});
