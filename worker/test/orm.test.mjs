import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { A, bundle, SHARD_1, startStack } from "./fixtures/stack.mjs";

async function start(app) {
  const stack = await startStack({ app: await bundle(app) });
  await stack.tenant("one", SHARD_1, A);

  /** Run a scenario on a tenant's database and on a plain D1 binding: both must end alike. */
  async function sameAsD1(name) {
    const onD1 = await stack.scenario(name, { on: "d1" });
    await stack.scenario("taken");
    const onPool = await stack.scenario(name, {});
    assert.deepEqual(onPool, onD1, name);
    return onPool;
  }
  const calls = async () => (await stack.scenario("taken")).value;
  return { stack, sameAsD1, calls };
}

describe("Drizzle's D1 driver, as it comes from npm", () => {
  let drizzle;

  before(async () => {
    drizzle = await start("drizzle_app.js");
    await drizzle.sameAsD1("schema");
  });

  after(() => drizzle.stack.stop());

  it("inserts, selects and joins as on D1", async () => {
    const { value } = await drizzle.sameAsD1("insert");
    assert.deepEqual(value, [{ id: 1, author: 1, text: "first", extra: { a: [1, null] } }]);
    const { value: selected } = await drizzle.sameAsD1("select");
    assert.deepEqual(selected, [{ id: 1, name: "Ada", active: true, picture: null }]);
    assert.equal((await drizzle.sameAsD1("get")).value.text, "first");
    const { value: joined } = await drizzle.sameAsD1("joined");
    assert.equal(joined[0].notes.text, "first");
    assert.equal(joined[0].authors.name, "Ada");
    assert.deepEqual((await drizzle.sameAsD1("relational")).value, [{ text: "first" }]);
  });

  it("runs a batch of ten in one RPC call", async () => {
    const { value } = await drizzle.sameAsD1("batch");
    assert.deepEqual(value[0], [{ n: 9 }]);
    assert.equal(value[1].length, 2);
    assert.deepEqual(await drizzle.calls(), ["batch"]);
  });

  it("leaves no row of a batch that fails", async () => {
    const { error } = await drizzle.sameAsD1("failingBatch");
    assert.match(error.message, /UNIQUE constraint failed: authors.name/);
    assert.deepEqual((await drizzle.sameAsD1("rows")).value, [{ id: 1 }, { id: 2 }]);
  });

  it("fails a transaction as D1 fails it, and a bad query too", async () => {
    const { error } = await drizzle.sameAsD1("transaction");
    assert.match(`${error.message} ${error.cause?.message}`, /begin/i);
    assert.deepEqual((await drizzle.sameAsD1("rows")).value, [{ id: 1 }, { id: 2 }]);
    const bad = await drizzle.sameAsD1("badSql");
    assert.match(bad.error.cause.message, /^D1_ERROR: no such table: nowhere/);
  });

  it("keeps the typed error of a tenant as the cause of its own", async () => {
    const { error } = await drizzle.stack.scenario("missing");
    assert.equal(error.cause.name, "TenantNotFound");
  });
});

describe("the kysely-d1 dialect, as it comes from npm", () => {
  let kysely;

  before(async () => {
    kysely = await start("kysely_app.js");
  });

  after(() => kysely.stack.stop());

  it("makes a schema and sees it", async () => {
    const { value } = await kysely.sameAsD1("schema");
    assert.deepEqual(value, ["authors", "notes"]);
  });

  it("inserts, updates, selects and joins as on D1", async () => {
    const { value } = await kysely.sameAsD1("insert");
    assert.deepEqual(value, { id: "1", note: { id: 1, text: "first" }, updated: "1" });
    assert.deepEqual((await kysely.sameAsD1("select")).value, [
      { id: 1, author: 1, text: "changed" },
    ]);
    const { value: joined } = await kysely.sameAsD1("joined");
    assert.deepEqual(joined, [{ note: 1, author: 1, name: "Ada", text: "changed" }]);
    assert.deepEqual((await kysely.sameAsD1("raw")).value, [{ x: "x" }]);
  });

  it("puts compiled queries into a batch of one RPC call", async () => {
    assert.equal((await kysely.sameAsD1("batch")).value, 10);
    assert.deepEqual(await kysely.calls(), ["batch"]);
  });

  it("fails as D1 fails, and refuses transactions as the dialect does", async () => {
    const { error } = await kysely.sameAsD1("failing");
    assert.match(error.message, /^D1_ERROR: UNIQUE constraint failed/);
    const transaction = await kysely.sameAsD1("transaction");
    assert.match(transaction.error.message, /Transactions are not supported/);
  });
});
