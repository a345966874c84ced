import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { A, B, bundle, C, D, SHARD_1, SHARD_2, startStack, UNBOUND } from "./fixtures/stack.mjs";

describe("env.DB_POOL.get(id).prepare(…), with nothing imported", () => {
  let stack;

  before(async () => {
    const stranger = {
      name: "stranger",
      modules: true,
      script: 'export default { fetch: () => new Response("deployed over a shard") }',
      compatibilityDate: "2026-04-01",
    };
    stack = await startStack({
      app: await bundle("verbatim_app.js"),
      bound: { SHARD_8: "stranger" },
      more: [stranger],
    });
    await stack.tenant("one", SHARD_1, A);
    await stack.tenant("two", SHARD_1, B);
    await stack.tenant("user|x.y:z@w_-", SHARD_2, C);
    for (const id of ["one", "two", "user|x.y:z@w_-"]) {
      await stack.scenario("exec", {
        id,
        sql: "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)",
      });
      const sql = "INSERT INTO notes (text) VALUES (?)";
      await stack.scenario("run", { id, sql, params: [`of ${id}`] });
    }
  });

  after(() => stack.stop());

  it("answers all() as D1 does, on either shard", async () => {
    for (const id of ["one", "user|x.y:z@w_-"]) {
      const sql = "SELECT id, text FROM notes WHERE id = ?";
      const { value } = await stack.scenario("all", { id, sql, params: [1] });
      assert.deepEqual(value.results, [{ id: 1, text: `of ${id}` }]);
      assert.equal(value.success, true);
      assert.equal(typeof value.meta.duration, "number");
    }
  });

  it("answers first, first(column), raw, raw with names, run and exec as D1 does", async () => {
    const sql = "SELECT id, text, id FROM notes";
    const id = "one";
    assert.deepEqual((await stack.scenario("first", { id, sql })).value, { id: 1, text: "of one" });
    assert.equal((await stack.scenario("first", { id, sql, column: "text" })).value, "of one");
    const none = "SELECT 1 FROM notes WHERE id = 99";
    assert.equal((await stack.scenario("first", { id, sql: none })).value, null);
    assert.deepEqual((await stack.scenario("raw", { id, sql })).value, [[1, "of one", 1]]);
    const named = await stack.scenario("raw", { id, sql, options: { columnNames: true } });
    assert.deepEqual(named.value, [
      ["id", "text", "id"],
      [1, "of one", 1],
    ]);
    const run = await stack.scenario("run", { id, sql: "UPDATE notes SET text = text" });
    assert.equal(run.value.meta.changes, 1);
    const exec = await stack.scenario("exec", { id, sql: "SELECT 1;\nSELECT 2;" });
    assert.equal(exec.value.count, 2);
  });

  it("works without bind, and with every step awaited", async () => {
    const sql = "SELECT text FROM notes";
    const expected = [{ text: "of one" }];
    assert.deepEqual((await stack.scenario("unbound", { id: "one", sql })).value.results, expected);
    assert.deepEqual(
      (await stack.scenario("awaitedSteps", { id: "one", sql })).value.results,
      expected,
    );
  });

  it("stores an ArrayBuffer as a blob", async () => {
    const { value } = await stack.scenario("blob", { id: "one" });
    assert.deepEqual(value, { bytes: [0, 1, 255], type: "blob" });
  });

  it("passes D1's errors on with their message intact", async () => {
    const bad = await stack.scenario("all", { id: "one", sql: "SELEC 1" });
    assert.equal(bad.error.name, "Error");
    assert.match(
      bad.error.message,
      /^D1_ERROR: near "SELEC": syntax error at offset 0: SQLITE_ERROR$/,
    );
    const missing = await stack.scenario("first", { id: "one", sql: "SELECT 1 AS a", column: "b" });
    assert.equal(missing.error.message, "D1_COLUMN_NOTFOUND: Column not found (b)");
    const type = await stack.scenario("bindUndefined", { id: "one" });
    assert.equal(
      type.error.message,
      "D1_TYPE_ERROR: Type 'undefined' not supported for value 'undefined'",
    );
  });

  it("runs a batch of awaited statements as one transaction", async () => {
    const insert = "INSERT INTO notes (id, text) VALUES (?, ?)";
    const good = await stack.scenario("batch", {
      id: "two",
      statements: [
        [insert, [10, "a"]],
        ["SELECT count(*) AS n FROM notes WHERE id = ?", [10]],
      ],
    });
    assert.deepEqual(good.value[1].results, [{ n: 1 }]);
    const failing = await stack.scenario("batch", {
      id: "two",
      statements: [
        [insert, [11, "b"]],
        [insert, [10, "again"]],
      ],
    });
    assert.match(failing.error.message, /^D1_ERROR: UNIQUE constraint failed/);
    const sql = "SELECT 1 FROM notes WHERE id = 11";
    assert.deepEqual((await stack.scenario("unbound", { id: "two", sql })).value.results, []);
  });

  it("runs a statement of another tenant's database on the tenant's own, as data", async () => {
    const args = { id: "one", other: "two", sql: "SELECT text FROM notes" };
    assert.deepEqual((await stack.scenario("batchOfOthers", args)).value[0].results, [
      { text: "of one" },
    ]);
  });

  it("refuses what only the client can, and names the client", async () => {
    const text = await stack.scenario("batchOfText", { id: "one", sql: "SELECT 1" });
    assert.equal(text.error.name, "BatchNeedsClient");
    assert.match(text.error.message, /d1fleet-client/);
    const session = await stack.scenario("withSession", { id: "one" });
    assert.equal(session.error.name, "SessionNeedsClient");
    assert.match((await stack.scenario("dump", { id: "one" })).error.message, /d1fleet backup/);
  });

  it("serves many executions at once", async () => {
    const { value } = await stack.scenario("together", { id: "one", times: 50 });
    assert.deepEqual(value, [...Array(50).keys()]);
  });

  it("throws TenantNotFound for a tenant unknown, closed, or impossible", async () => {
    await stack.tenant("left", null, null, { state: "closed", database_uuid: null });
    const sql = "SELECT 1";
    const unknown = await stack.scenario("all", { id: "nobody", sql });
    assert.equal(unknown.error.name, "TenantNotFound");
    assert.equal(unknown.error.closed, undefined);
    const closed = await stack.scenario("all", { id: "left", sql });
    assert.equal(closed.error.name, "TenantNotFound");
    assert.equal(closed.error.closed, true);
    for (const id of ["", "a b", "a/b", "é", "x".repeat(129), "' OR 1=1 --", "a\n"]) {
      assert.equal((await stack.scenario("all", { id, sql })).error.name, "TenantNotFound", id);
    }
    assert.equal((await stack.scenario("all", { id: 7, sql })).error.name, "TypeError");
  });

  it("throws TenantSuspended for a tenant that is suspended or closing, and lets it back in", async () => {
    const row = { shard: SHARD_2, binding: C };
    for (const [version, state] of [
      [2, "suspended"],
      [3, "closing"],
    ]) {
      await stack.tenant("user|x.y:z@w_-", row.shard, row.binding, { state, version });
      const { error } = await stack.scenario("all", { id: "user|x.y:z@w_-", sql: "SELECT 1" });
      assert.equal(error.name, "TenantSuspended");
      assert.equal(error.state, state);
      assert.doesNotMatch(error.message, /user/);
    }
    await stack.tenant("user|x.y:z@w_-", row.shard, row.binding, { version: 4 });
    assert.ok((await stack.scenario("all", { id: "user|x.y:z@w_-", sql: "SELECT 1" })).value);
  });

  it("throws TenantNotReady when somebody deployed over the tenant's shard, until it is back", async () => {
    const lost = {
      tenant_id: "lost",
      shard: "acme-pool-8",
      binding: D,
      database_uuid: "uuid-lost",
    };
    const row = { ...lost, state: "active", version: 1 };
    assert.equal((await stack.admin("tenants.upsert", { rows: [row] })).status, 200);
    const { error } = await stack.scenario("all", { id: "lost", sql: "SELECT 1" });
    assert.equal(error.name, "TenantNotReady");
    assert.equal(error.retryAfter, 5);
    assert.doesNotMatch(error.message, /DB_|lost|pool/);
    await stack.admin("tenants.upsert", { rows: [{ ...row, shard: SHARD_2, version: 2 }] });
    assert.ok((await stack.scenario("all", { id: "lost", sql: "SELECT 1" })).value);
  });

  it("throws TenantNotReady with retryAfter when failed, not bound yet, or on a shard not there yet", async () => {
    await stack.tenant("broken", null, null, { state: "failed", database_uuid: null });
    await stack.tenant("early", SHARD_1, UNBOUND);
    await stack.tenant("far", "acme-pool-9", UNBOUND, { database_uuid: "uuid-far" });
    for (const id of ["broken", "early", "far"]) {
      const { error } = await stack.scenario("all", { id, sql: "SELECT 1" });
      assert.equal(error.name, "TenantNotReady", id);
      assert.ok(error.retryAfter >= 1, id);
      assert.doesNotMatch(error.message, /DB_|early|far/);
    }
  });

  it("finds a tenant that has moved since its row was remembered", async () => {
    await stack.tenant("mover", SHARD_1, UNBOUND, { database_uuid: "uuid-mover-1" });
    // Another isolate's upsert: this router has not heard of it.
    const move = "UPDATE tenant SET shard = ?, binding = ?, version = 2 WHERE tenant_id = 'mover'";
    await stack.directory.prepare(move).bind(SHARD_1, B).run();
    const { value } = await stack.scenario("unbound", {
      id: "mover",
      sql: "SELECT text FROM notes WHERE id = 1",
    });
    assert.deepEqual(value.results, [{ text: "of two" }]);
  });

  it("keeps tenants apart whatever an app sends", async () => {
    const sql = "SELECT text FROM notes WHERE id = 1";
    const own = [{ text: "of one" }];
    const statements = [[sql, []]];
    const attempts = [
      ["one", statements, "all", { binding: B, shard: SHARD_1, tenantId: "two" }],
      ["one", statements, "all", {}, B, SHARD_1],
      ["one", [[sql, [], { binding: B }]], "all"],
    ];
    for (const args of attempts) {
      assert.deepEqual((await stack.scenario("query", { args })).value.results, own);
    }
    for (const name of [
      "run",
      "migrate",
      "status",
      "probe",
      "fetch",
      "upsertTenants",
      "env",
      "ctx",
    ]) {
      const { error } = await stack.scenario("method", { name, args: [B, statements, "all"] });
      assert.ok(error, name);
    }
    for (const path of [["env"], ["ctx"], ["env", "SHARD_1"], ["env", "D1FLEET_ADMIN_SECRET"]]) {
      assert.ok((await stack.scenario("property", { path })).error, path.join("."));
    }
    const attach = await stack.scenario("all", { id: "one", sql: "ATTACH 'x' AS other" });
    assert.match(attach.error.message, /D1_ERROR/);
  });

  it("refuses malformed executions", async () => {
    for (const args of [
      ["one", "SELECT 1", "all"],
      ["one", [["SELECT 1"]], "all"],
      ["one", [["SELECT 1", []]], "drop"],
      ["one", [["SELECT 1", []]], "constructor"],
      ["one", [], "all"],
      [
        "one",
        [
          ["SELECT 1", []],
          ["SELECT 2", []],
        ],
        "all",
      ],
      ["one"],
    ]) {
      assert.equal((await stack.scenario("query", { args })).error.name, "TypeError");
    }
  });

  it("serves remembered tenants while the directory fails, and tells others to come again", async () => {
    await stack.scenario("all", { id: "one", sql: "SELECT 1" });
    await stack.directory.exec("ALTER TABLE tenant RENAME TO hidden");
    try {
      assert.ok((await stack.scenario("all", { id: "one", sql: "SELECT 1" })).value);
      const { error } = await stack.scenario("all", { id: "never-seen", sql: "SELECT 1" });
      assert.equal(error.name, "TenantNotReady");
      assert.equal(error.retryAfter, 5);
    } finally {
      await stack.directory.exec("ALTER TABLE hidden RENAME TO tenant");
    }
  });
});
