import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { A, C, SHARD_1, SHARD_2, startStack, UNBOUND } from "./fixtures/stack.mjs";

const read = (relative) =>
  readFileSync(new URL(`../../examples/${relative}`, import.meta.url), "utf8");

describe("the sample app on its migrations", () => {
  let stack;

  before(async () => {
    stack = await startStack({ app: read("app/src/index.js") });
    const files = [{ name: "0001_notes.sql", statements: [read("migrations/0001_notes.sql")] }];
    for (const [tenantId, shard, binding] of [
      ["org_1", SHARD_1, A],
      ["auth0|user:2", SHARD_2, C],
    ]) {
      const answer = await stack.admin("migrate", {
        shard,
        binding,
        table: "d1_migrations",
        files,
      });
      assert.equal(answer.status, 200, answer.text);
      await stack.tenant(tenantId, shard, binding);
    }
  });

  after(() => stack.stop());

  async function ask(path, init) {
    const response = await stack.app.fetch(`http://app${path}`, init);
    assert.match(response.headers.get("content-type"), /^application\/json/);
    return { status: response.status, headers: response.headers, json: await response.json() };
  }
  const post = (path, body) => ask(path, { method: "POST", body });

  it("adds and lists notes, each tenant's apart", async () => {
    const second = `/t/${encodeURIComponent("auth0|user:2")}/notes`;
    for (const [path, text] of [
      ["/t/org_1/notes", "hello"],
      [second, "secret of the other"],
    ]) {
      const { status, json } = await post(path, JSON.stringify({ text }));
      assert.equal(status, 201);
      assert.equal(json.text, text);
      assert.equal(json.id, 1);
      assert.match(json.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      const list = await ask(path);
      assert.equal(list.status, 200);
      assert.deepEqual(list.json, [json]);
    }
  });

  it("says 404 of tenants unknown, closed or impossible, and of other paths", async () => {
    await stack.tenant("left", null, null, { state: "closed", database_uuid: null });
    for (const tenant of ["nobody", "left", "a%20b", "%2e%2e%2forg_1", "x".repeat(129)]) {
      const { status, json } = await ask(`/t/${tenant}/notes`);
      assert.equal(status, 404, tenant);
      assert.equal(json.error.name, "TenantNotFound");
    }
    for (const path of ["/t/org_1", "/t//notes", "/t/org_1/notes/1", "/_d1fleet/status", "/x"]) {
      const { status, json } = await ask(path);
      assert.equal(status, 404, path);
      assert.equal(json.error.name, "NotFound");
    }
  });

  it("says 503 with Retry-After while a tenant is not ready, and when it failed", async () => {
    await stack.tenant("early", SHARD_1, UNBOUND);
    await stack.tenant("broken", null, null, { state: "failed", database_uuid: null });
    for (const tenant of ["early", "broken"]) {
      const { status, headers, json } = await ask(`/t/${tenant}/notes`);
      assert.equal(status, 503);
      assert.match(headers.get("retry-after"), /^[1-9]\d*$/);
      assert.equal(json.error.name, "TenantNotReady");
    }
  });

  it("says 402 of a tenant suspended or closing, to readers and writers", async () => {
    for (const state of ["suspended", "closing"]) {
      await stack.tenant(state, null, null, { state, database_uuid: null });
      for (const { status, json } of [
        await ask(`/t/${state}/notes`),
        await post(`/t/${state}/notes`, '{"text":"x"}'),
      ]) {
        assert.equal(status, 402);
        assert.equal(json.error.name, "TenantSuspended");
      }
    }
  });

  it("refuses what is not a note with 400, and other methods with 405", async () => {
    const bodies = [
      "",
      "{",
      "null",
      "[]",
      "{}",
      '{"text":""}',
      '{"text":1}',
      JSON.stringify({ text: "x".repeat(10_001) }),
    ];
    for (const body of bodies) {
      assert.equal((await post("/t/org_1/notes", body)).status, 400, body.slice(0, 20));
    }
    assert.equal((await ask("/t/%E0%A4%A/notes")).status, 400);
    const { status, headers } = await ask("/t/org_1/notes", { method: "DELETE" });
    assert.equal(status, 405);
    assert.equal(headers.get("allow"), "GET, HEAD, POST");
  });

  it("says 500 without a word about the database when the database fails", async () => {
    const database = await stack.database(A, SHARD_1);
    await database.exec("ALTER TABLE notes RENAME TO hidden");
    try {
      const { status, json } = await ask("/t/org_1/notes");
      assert.equal(status, 500);
      assert.doesNotMatch(JSON.stringify(json), /no such table|SQLITE/);
    } finally {
      await database.exec("ALTER TABLE hidden RENAME TO notes");
    }
  });

  it("greets at /", async () => {
    const { status, json } = await ask("/");
    assert.equal(status, 200);
    assert.match(json.usage, /notes/);
  });
});
