import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { A, SHARD_1, startStack, UNBOUND } from "./fixtures/stack.mjs";

describe("reading through a shard's binding", () => {
  let stack;
  let database;

  before(async () => {
    stack = await startStack();
    database = await stack.database(A, SHARD_1);
    await database.exec("CREATE TABLE t (a, b)");
    await database
      .prepare("INSERT INTO t VALUES (1, 'it''s; -- a text'), (2.5, NULL), (x'00ff', '')")
      .run();
  });

  after(() => stack.stop());

  const read = (statements, binding = A) =>
    stack.admin("read", { shard: SHARD_1, binding, statements });

  it("gives each statement's rows as lists", async () => {
    const { status, json } = await read([
      "SELECT a, b FROM t ORDER BY rowid",
      "SELECT count(*) FROM t WHERE b = 'it''s; -- a text'",
      "PRAGMA table_info('t')",
      "SELECT 1 WHERE 0",
    ]);
    assert.equal(status, 200, JSON.stringify(json));
    const [rows, count, columns, none] = json.results;
    assert.deepEqual(rows.slice(0, 2), [
      [1, "it's; -- a text"],
      [2.5, null],
    ]);
    assert.deepEqual(count, [[1]]);
    assert.deepEqual(
      columns.map(([, name]) => name),
      ["a", "b"],
    );
    assert.deepEqual(none, []);
  });

  it("refuses whatever may do more than read, and runs none of the batch", async () => {
    for (const sql of [
      "DELETE FROM t",
      "INSERT INTO t VALUES (1, 2)",
      "WITH x AS (SELECT 1) DELETE FROM t",
      "SELECT 1; DELETE FROM t",
      "SELECT 1;",
      "SELECT ';' ; DELETE FROM t",
      "SELECT 1 -- '\n; DELETE FROM t -- '",
      "SELECT 1 /* ' */; DELETE FROM t /* ' */",
      'SELECT "; DELETE FROM t; --" FROM t; DELETE FROM t',
      "PRAGMA defer_foreign_keys = on",
      "PRAGMA writable_schema = on",
      "PRAGMA optimize",
      "ATTACH 'x' AS y",
      "VACUUM",
      "",
      " ",
    ]) {
      const { status, json } = await read(["SELECT 1", sql]);
      assert.equal(status, 422, sql);
      assert.equal(json.error.name, "NotReadOnly", sql);
    }
    const left = await database.prepare("SELECT count(*) AS n FROM t").first("n");
    assert.equal(left, 3);
  });

  it("tells wrong SQL from trouble, and a binding that is not there yet", async () => {
    const wrong = await read(["SELECT no_such_column FROM t"]);
    assert.equal(wrong.status, 422);
    assert.equal(wrong.json.error.name, "ReadFailed");
    assert.match(wrong.json.error.message, /no_such_column/);
    const early = await read(["SELECT 1"], UNBOUND);
    assert.equal(early.status, 503);
    assert.equal(early.json.error.name, "BindingMissing");
  });

  it("refuses an answer of more than 24 million characters, and takes one below", async () => {
    const megabytes = (count) => Array(count).fill("SELECT hex(zeroblob(1000000))");
    const { status, json } = await read(megabytes(13));
    assert.equal(status, 422);
    assert.equal(json.error.name, "AnswerTooLarge");
    const below = await read(megabytes(11));
    assert.equal(below.status, 200);
    assert.equal(below.json.results[10][0][0].length, 2_000_000);
  });

  it("takes 1 to 250 statements, all of them texts", async () => {
    for (const statements of [undefined, "SELECT 1", [], [1], Array(251).fill("SELECT 1")]) {
      const { status, json } = await read(statements);
      assert.equal(status, 422);
      assert.equal(json.error.name, "BadArguments");
    }
    assert.equal((await read(Array(250).fill("SELECT 1"))).status, 200);
  });
});
