import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { A, B, C, D, SHARD_1, SHARD_2, startStack, UNBOUND } from "./fixtures/stack.mjs";

/** What wrangler's own statement leaves in the schema: tabs and all. */
const WRANGLER_LEDGER = `CREATE TABLE "d1_migrations"(
\t\tid         INTEGER PRIMARY KEY AUTOINCREMENT,
\t\tname       TEXT UNIQUE,
\t\tapplied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL
)`;

const NOTES = {
  name: "0001_notes.sql",
  statements: [
    "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)",
    "CREATE TABLE journal (note INTEGER, what TEXT)",
    `CREATE TRIGGER note_written AFTER INSERT ON notes
     WHEN new.text <> 'a;b'
     BEGIN
       INSERT INTO journal VALUES (new.id, CASE WHEN new.text = ';' THEN 'semicolon' ELSE 'text' END);
       UPDATE notes SET text = trim(new.text) WHERE id = new.id;
     END`,
  ],
};
const SEED = { name: "0002_seed.sql", statements: ["INSERT INTO notes (text) VALUES (' first ')"] };

describe("migrations through a shard's bindings", () => {
  let stack;

  before(async () => {
    stack = await startStack();
  });

  after(() => stack.stop());

  const migrate = (shard, binding, files, table = "d1_migrations") =>
    stack.admin("migrate", { shard, binding, table, files });

  async function rows(shard, binding, sql) {
    const database = await stack.database(binding, shard);
    return (await database.prepare(sql).all()).results;
  }

  it("applies files in order, trigger bodies included, with wrangler's own ledger", async () => {
    const { status, json } = await migrate(SHARD_1, A, [NOTES, SEED]);
    assert.equal(status, 200, JSON.stringify(json));
    const names = [NOTES.name, SEED.name];
    assert.deepEqual(json, { applied: names, ledger: names });
    assert.deepEqual(await rows(SHARD_1, A, "SELECT text FROM notes"), [{ text: "first" }]);
    assert.deepEqual(await rows(SHARD_1, A, "SELECT what FROM journal"), [{ what: "text" }]);
    const [{ sql }] = await rows(
      SHARD_1,
      A,
      "SELECT sql FROM sqlite_master WHERE name = 'd1_migrations'",
    );
    assert.equal(sql, WRANGLER_LEDGER);
    const ledger = await rows(
      SHARD_1,
      A,
      "SELECT id, name, applied_at FROM d1_migrations ORDER BY id",
    );
    assert.deepEqual(
      ledger.map(({ id, name }) => [id, name]),
      [
        [1, NOTES.name],
        [2, SEED.name],
      ],
    );
    assert.match(ledger[0].applied_at, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
  });

  it("applies nothing twice", async () => {
    const { status, json } = await migrate(SHARD_1, A, [NOTES, SEED]);
    assert.equal(status, 200);
    assert.deepEqual(json, { applied: [], ledger: [NOTES.name, SEED.name] });
    assert.deepEqual(await rows(SHARD_1, A, "SELECT count(*) AS n FROM notes"), [{ n: 1 }]);
  });

  it("leaves nothing of a failing file, keeps those before it, and names file and statement", async () => {
    const failing = {
      name: "0003_broken.sql",
      statements: [
        "CREATE TABLE half (id INTEGER)",
        "INSERT INTO half VALUES (1)",
        "INSERT INTO half VALUES (2)",
        "INSER INTO half VALUES (3)",
        "INSERT INTO half VALUES (4)",
        "DROP TABLE notes",
      ],
    };
    const good = { name: "0002b_more.sql", statements: ["CREATE TABLE more (id INTEGER)"] };
    const never = { name: "0004_never.sql", statements: ["CREATE TABLE never (id INTEGER)"] };
    const { status, json } = await migrate(SHARD_1, A, [good, failing, never]);
    assert.equal(status, 422);
    const { message, ...error } = json.error;
    assert.deepEqual(error, {
      name: "MigrationFailed",
      file: "0003_broken.sql",
      statement: 3,
      retryable: false,
    });
    assert.match(message, /near "INSER": syntax error/);
    assert.deepEqual(json.applied, [good.name]);
    assert.deepEqual(json.ledger, [NOTES.name, SEED.name, good.name]);
    const tables = await rows(
      SHARD_1,
      A,
      "SELECT name FROM sqlite_master WHERE name IN ('half', 'never', 'notes', 'more')",
    );
    assert.deepEqual(new Set(tables.map(({ name }) => name)), new Set(["notes", "more"]));
    const ledger = await rows(SHARD_1, A, "SELECT name FROM d1_migrations WHERE name LIKE '0003%'");
    assert.deepEqual(ledger, []);
  });

  it("names the failing statement wherever it stands, and for constraints too", async () => {
    for (const length of [1, 2, 3, 7, 8]) {
      for (let at = 0; at < length; at += 1) {
        const statements = Array.from(
          { length },
          (_, index) => `CREATE TABLE t${index} (id INTEGER PRIMARY KEY)`,
        );
        statements[at] = "SELECT * FROM nowhere";
        const { json } = await migrate(SHARD_1, B, [{ name: "x.sql", statements }]);
        assert.equal(json.error.statement, at, `${at} of ${length}`);
      }
    }
    const twice = [
      "CREATE TABLE u (id INTEGER PRIMARY KEY)",
      "INSERT INTO u VALUES (1)",
      "INSERT INTO u VALUES (1)",
    ];
    const { json } = await migrate(SHARD_1, B, [{ name: "u.sql", statements: twice }]);
    assert.equal(json.error.statement, 2);
    assert.match(json.error.message, /UNIQUE constraint failed: u.id/);
    const left = "SELECT name FROM sqlite_master WHERE name LIKE 't_' OR name = 'u'";
    assert.deepEqual(await rows(SHARD_1, B, left), []);
  });

  it("names no statement when the fault shows only at the end of the transaction", async () => {
    const statements = [
      "PRAGMA defer_foreign_keys = on",
      "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
      "CREATE TABLE child (parent INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)",
      "INSERT INTO child VALUES (404)",
    ];
    const { status, json } = await migrate(SHARD_1, B, [{ name: "fk.sql", statements }]);
    assert.equal(status, 422);
    assert.equal(json.error.statement, null);
    assert.match(json.error.message, /FOREIGN KEY/);
    assert.deepEqual(
      await rows(SHARD_1, B, "SELECT name FROM sqlite_master WHERE name = 'child'"),
      [],
    );
  });

  it("lets two migrators race: each file is applied once and both succeed", async () => {
    for (const [shard, binding] of [
      [SHARD_2, C],
      [SHARD_2, D],
    ]) {
      const files = [
        NOTES,
        ...Array.from({ length: 8 }, (_, index) => ({
          name: `1${index}_add.sql`,
          statements: [`INSERT INTO notes (text) VALUES ('${index}')`],
        })),
      ];
      const answers = await Promise.all(
        Array.from({ length: 4 }, () => migrate(shard, binding, files)),
      );
      const names = files.map((file) => file.name);
      for (const { status, json } of answers) {
        assert.equal(status, 200, JSON.stringify(json));
        assert.deepEqual(json.ledger, names);
      }
      const applied = answers.flatMap(({ json }) => json.applied);
      assert.deepEqual(applied.sort(), [...names].sort());
      assert.deepEqual(await rows(shard, binding, "SELECT count(*) AS n FROM notes"), [{ n: 8 }]);
    }
  });

  it("takes a name with a quote, and a file without statements", async () => {
    const odd = { name: "0005_it's.sql", statements: [] };
    const { json } = await migrate(SHARD_1, B, [odd]);
    assert.deepEqual(json.applied, [odd.name]);
  });

  it("keeps its ledger where it is told to", async () => {
    const { json } = await migrate(SHARD_1, B, [{ name: "a.sql", statements: [] }], "other_ledger");
    assert.deepEqual(json.ledger, ["a.sql"]);
    assert.deepEqual(await rows(SHARD_1, B, "SELECT name FROM other_ledger"), [{ name: "a.sql" }]);
  });

  it("says 503 BindingMissing of a database that is not bound yet, and ShardUnknown of a shard", async () => {
    const missing = await migrate(SHARD_1, UNBOUND, [NOTES]);
    assert.equal(missing.status, 503);
    assert.equal(missing.json.error.name, "BindingMissing");
    assert.equal(missing.json.error.retryable, true);
    assert.equal((await migrate(SHARD_2, A, [NOTES])).json.error.name, "BindingMissing");
    assert.equal((await migrate("acme-pool-3", A, [NOTES])).json.error.name, "ShardUnknown");
  });

  it("refuses what names no database, no ledger or no file, and touches nothing", async () => {
    const files = [{ name: "9_evil.sql", statements: ["DROP TABLE notes"] }];
    for (const binding of [
      "D1FLEET_DIRECTORY",
      "NOT_A_DATABASE",
      "DB_X",
      "",
      null,
      "__proto__",
      `${A} `,
    ]) {
      assert.equal((await migrate(SHARD_1, binding, files)).status, 422, String(binding));
    }
    for (const table of ["", "a b", 'x"; DROP TABLE notes; --', "sqlite_master", "_cf_KV", 1]) {
      assert.equal((await migrate(SHARD_1, A, files, table)).status, 422, String(table));
    }
    for (const bad of [
      undefined,
      {},
      [null],
      [{ name: "" }],
      [{ name: "a", statements: [1] }],
      ["DROP TABLE notes"],
    ]) {
      assert.equal((await migrate(SHARD_1, A, bad)).status, 422, JSON.stringify(bad));
    }
    assert.equal((await rows(SHARD_1, A, "SELECT count(*) AS n FROM notes"))[0].n, 1);
    const directory = await stack.directory
      .prepare("SELECT name FROM sqlite_master WHERE name = 'd1_migrations'")
      .all();
    assert.deepEqual(directory.results, []);
  });

  it("inspects size, schema and newest migration of databases, each on its own", async () => {
    const inspect = (shard, bindings, table = "d1_migrations") =>
      stack.admin("inspect", { shard, bindings, table });
    const { status, json } = await inspect(SHARD_2, [C, UNBOUND, D]);
    assert.equal(status, 200);
    const [one, missing, other] = json.rows;
    assert.deepEqual([one.binding, missing.binding, other.binding], [C, UNBOUND, D]);
    assert.equal(missing.error.name, "BindingMissing");
    assert.ok(one.size > 0);
    assert.equal(one.schema_version, "17_add.sql");
    assert.match(one.schema_hash, /^[0-9a-f]{64}$/);
    assert.equal(one.schema_hash, other.schema_hash);
    const changed = await stack.database(D, SHARD_2);
    await changed.exec("CREATE INDEX by_hand ON notes (text)");
    const [after] = (await inspect(SHARD_2, [D])).json.rows;
    assert.notEqual(after.schema_hash, other.schema_hash);
    const [bare] = (await inspect(SHARD_2, [C], "no_such_ledger")).json.rows;
    assert.equal(bare.schema_version, null);
    for (const bindings of [undefined, "x", ["D1FLEET_DIRECTORY"], Array(101).fill(C)]) {
      assert.equal((await inspect(SHARD_2, bindings)).status, 422);
    }
    assert.equal((await inspect(SHARD_2, [C], 'x"')).status, 422);
  });
});
