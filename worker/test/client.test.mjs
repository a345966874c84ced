import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { A, B, bundle, SHARD_1, startStack, UNBOUND } from "./fixtures/stack.mjs";

const SCHEMA = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)";
const ROWS = "INSERT INTO notes VALUES (1, 'a'), (2, 'b')";

describe("dbPool(env.DB_POOL).get(id), the client", () => {
  let stack;

  before(async () => {
    stack = await startStack({ app: await bundle("client_app.js") });
    await stack.tenant("one", SHARD_1, A);
    await stack.tenant("two", SHARD_1, B);
  });

  beforeEach(async () => {
    for (const [binding, worker] of [
      [A, SHARD_1],
      ["PLAIN_D1", "app"],
    ]) {
      const database = await stack.database(binding, worker);
      await database.batch(
        ["DROP TABLE IF EXISTS notes", SCHEMA, ROWS].map((sql) => database.prepare(sql)),
      );
    }
    await stack.scenario("taken");
  });

  after(() => stack.stop());

  async function value(name, args) {
    const { value: given, error } = await stack.scenario(name, args);
    assert.equal(error, undefined, JSON.stringify(error));
    return given;
  }

  /** What a scenario gives on a tenant's database must be what a plain D1 binding gives. */
  async function sameAsD1(name, args = {}) {
    const d1 = await value(name, { ...args, on: "d1" });
    assert.deepEqual(await value(name, args), d1);
    return d1;
  }

  it("answers every method as D1 does", async () => {
    const { all, named, noneOfColumn } = await sameAsD1("methods");
    assert.equal(all.results.length, 2);
    assert.deepEqual(named[0], ["id", "text", "id"]);
    assert.equal(noneOfColumn, null);
  });

  it("binds every value as D1 does", async () => {
    const { yes, bytes, view, buffer } = await sameAsD1("values");
    assert.equal(yes.value.value, 1);
    assert.deepEqual(bytes.value, { value: [0, 1, 254, 255], type: "blob" });
    assert.deepEqual(buffer.value, bytes.value);
    assert.deepEqual(view.value, { value: [8, 7], type: "blob" });
  });

  it("refuses at bind what D1 refuses at bind, in the same words", async () => {
    const refused = await sameAsD1("refused");
    assert.equal(
      refused.undefined.message,
      "D1_TYPE_ERROR: Type 'undefined' not supported for value 'undefined'",
    );
    assert.ok(!Object.values(refused).includes("taken"));
    assert.deepEqual(await value("taken"), []);
  });

  it("fails as D1 fails, message and cause, and a failing batch leaves no row", async () => {
    const { syntax, ofBatch } = await sameAsD1("failures");
    assert.match(syntax.error.message, /^D1_ERROR: near "SELEC"/);
    assert.equal(ofBatch, 0);
  });

  it("runs a batch of ten in one RPC call", async () => {
    const results = await sameAsD1("batch");
    assert.deepEqual(results[9].rows, [{ n: 9 }]);
    assert.deepEqual(await value("taken"), ["batch"]);
  });

  it("makes exactly one RPC call an execution, and none before", async () => {
    await value("nothingAsked");
    assert.deepEqual(await value("taken"), []);
    await value("methods");
    const calls = await value("taken");
    assert.deepEqual(calls, [
      "all",
      "run",
      "exec",
      "first",
      "first",
      "first",
      "first",
      "raw",
      "raw",
      "raw",
    ]);
  });

  it("takes statements of its own tenant only", async () => {
    const { tenant, d1, text } = await value("foreignBatch");
    for (const { error } of [tenant, d1, text]) assert.equal(error.name, "TypeError");
    assert.match(tenant.error.message, /one tenant/);
    assert.deepEqual(await value("sameTenantBatch"), [{ n: 7 }]);
  });

  it("keeps the bytes that were bound", async () => {
    assert.deepEqual(await sameAsD1("changedBuffer"), [1, 2, 3]);
  });

  it("has sessions as D1 has them", async () => {
    for (const anchor of [
      undefined,
      "first-primary",
      "first-unconstrained",
      "  ",
      "0000-0001-0002",
    ]) {
      const { members } = await sameAsD1("session", { anchor });
      assert.deepEqual(members, ["prepare", "batch", "getBookmark"]);
    }
  });

  it("refuses dump and says what to use", async () => {
    const { error } = await stack.scenario("dump");
    assert.match(error.message, /d1fleet backup/);
  });

  it("throws TenantNotFound, TenantNotReady and TenantSuspended as its own classes", async () => {
    const gone = { state: "closed", database_uuid: null };
    await stack.tenant("left", null, null, gone);
    await stack.tenant("early", SHARD_1, UNBOUND);
    await stack.tenant("broken", null, null, { state: "failed", database_uuid: null });
    await stack.tenant("paused", SHARD_1, B, { state: "suspended", database_uuid: null });
    await stack.tenant("leaving", SHARD_1, B, { state: "closing", database_uuid: null });
    const ids = ["nobody", "left", "early", "broken", "paused", "leaving", "not an id"];
    const found = await value("tenantErrors", { ids });
    const told = Object.fromEntries(ids.map((id) => [id, [found[id].kinds, found[id].name]]));
    assert.deepEqual(told, {
      nobody: [["TenantNotFound"], "TenantNotFound"],
      left: [["TenantNotFound"], "TenantNotFound"],
      early: [["TenantNotReady"], "TenantNotReady"],
      broken: [["TenantNotReady"], "TenantNotReady"],
      paused: [["TenantSuspended"], "TenantSuspended"],
      leaving: [["TenantSuspended"], "TenantSuspended"],
      "not an id": [["TenantNotFound"], "TenantNotFound"],
    });
    assert.equal(found.left.closed, true);
    assert.equal(found.nobody.closed, false);
    assert.equal(found.early.retryAfter, 2);
    assert.equal(found.broken.retryAfter, 30);
    assert.equal(found.paused.state, "suspended");
    assert.equal(found.leaving.state, "closing");
    assert.ok(Object.values(found).every((error) => error.isError));
  });

  it("types its errors in an app deployed without the compatibility flag too", async () => {
    const flagless = await stack.miniflare.getWorker("flagless");
    const ask = async (name, id) => {
      const body = JSON.stringify({ id });
      return (await flagless.fetch(`http://app/${name}`, { method: "POST", body })).json();
    };
    const early = await ask("client", "broken");
    assert.equal(early.error.type, "TenantNotReady");
    assert.equal(early.error.retryAfter, 30);
    assert.equal((await ask("client", "left")).error.closed, true);
    assert.equal((await ask("client", "nobody")).error.closed, false);
    assert.equal((await ask("client", "leaving")).error.state, "closing");
    assert.match(
      (await ask("verbatim", "broken")).error.message,
      /^TenantNotReady: .*retry after 30 s$/,
    );
    assert.deepEqual((await ask("client", "two")).value.results, [{ one: 1 }]);
  });
});
