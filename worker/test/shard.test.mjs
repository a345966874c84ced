import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { A, C, COMPATIBILITY, SHARD_1, startStack, UNBOUND } from "./fixtures/stack.mjs";

/** Calls a shard as a router does, with anything that a broken or older router might send. */
const CALLER = `export default {
  async fetch(request, env) {
    const { method, args } = await request.json();
    try {
      return Response.json({ value: (await env.SHARD[method](...args)) ?? null });
    } catch ({ name, message }) {
      return Response.json({ error: { name, message } });
    }
  },
};`;

describe("a shard", () => {
  let stack;
  let caller;

  before(async () => {
    const more = [
      {
        name: "caller",
        modules: true,
        script: CALLER,
        ...COMPATIBILITY,
        serviceBindings: { SHARD: SHARD_1 },
      },
    ];
    stack = await startStack({ more });
    caller = await stack.miniflare.getWorker("caller");
  });

  after(() => stack.stop());

  async function call(method, ...args) {
    const body = JSON.stringify({ method, args });
    return (await caller.fetch("http://caller/", { method: "POST", body })).json();
  }

  const ONE = [["SELECT 1 AS one", []]];

  it("runs what it is told to on the database it is told", async () => {
    assert.deepEqual((await call("run", A, ONE, "all")).value.results, [{ one: 1 }]);
    assert.deepEqual((await call("run", A, ONE, "raw", null)).value, [[1]]);
    assert.deepEqual((await call("run", A, ONE, "all", { later: "field" })).value.results, [
      { one: 1 },
    ]);
  });

  it("looks up databases only, never another binding or a property", async () => {
    for (const binding of [
      "NOT_A_DATABASE",
      "D1FLEET_FLEET_UID",
      "constructor",
      "__proto__",
      "",
      null,
      7,
      [A],
      `${A}\n`,
      A.toLowerCase(),
      UNBOUND,
      C,
    ]) {
      for (const [method, ...rest] of [
        ["run", ONE, "all"],
        ["migrate", [], "d1_migrations"],
        ["probe"],
      ]) {
        const { error } = await call(method, binding, ...rest);
        assert.equal(error?.name, "BindingMissing", `${method} ${binding}`);
        assert.doesNotMatch(error.message, /prepare|undefined/);
      }
    }
  });

  it("refuses a mode or a ledger that it does not know", async () => {
    assert.equal((await call("run", A, ONE, "drop")).error.name, "TypeError");
    assert.equal((await call("migrate", A, [], 'x" (a); --')).error.name, "TypeError");
  });

  it("gives a session's bookmark beside the result", async () => {
    const { value } = await call("run", A, ONE, "all", { session: "first-primary" });
    assert.deepEqual(value.result.results, [{ one: 1 }]);
    assert.ok("bookmark" in value);
  });

  it("has no public face", async () => {
    const worker = await stack.miniflare.getWorker(SHARD_1);
    await assert.rejects(
      worker.fetch("http://shard/").then((response) => response.ok || Promise.reject()),
    );
  });
});
