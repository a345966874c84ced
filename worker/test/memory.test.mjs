import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Miniflare } from "miniflare";
import { TenantMemory } from "../src/router/memory.js";
import { bundle, COMPATIBILITY, source } from "./fixtures/stack.mjs";

const active = (fields = {}) => ({
  tenant_id: "t",
  shard: "acme-pool-1",
  binding: "DB_01JA0000000000000000000000",
  database_uuid: "u",
  state: "active",
  schema_version: null,
  version: 1,
  ...fields,
});

/** A directory whose rows, failures and delays a test decides; it counts what it was asked. */
function directory(row = active()) {
  const self = {
    row,
    failing: false,
    asked: 0,
    read: async () => {
      self.asked += 1;
      if (self.failing) throw new Error("the directory is away");
      return self.row;
    },
  };
  return self;
}

function atTime(options = {}) {
  const time = { now: 1_000_000 };
  return {
    time,
    memory: new TenantMemory({ clock: () => time.now, random: () => 0.5, ...options }),
  };
}

describe("the router's memory of the directory", () => {
  it("asks once while an active row is fresh, and sees a suspension within 30 s", async () => {
    for (const random of [0, 0.5, 0.999]) {
      const { time, memory } = atTime({ random: () => random });
      const source = directory();
      await memory.find("t", source.read);
      source.row = active({ state: "suspended", version: 2 });
      time.now += 23_900;
      assert.equal((await memory.find("t", source.read)).state, "active");
      assert.equal(source.asked, 1);
      time.now += 6_100;
      assert.equal((await memory.find("t", source.read)).state, "suspended");
    }
  });

  it("spreads expiry, so that rows remembered together are not asked for together", async () => {
    const draws = [0, 0.99];
    const { time, memory } = atTime({ random: () => draws.shift() });
    const source = directory();
    await memory.find("first", source.read);
    await memory.find("second", source.read);
    time.now += 25_000;
    await memory.find("first", source.read);
    await memory.find("second", source.read);
    assert.equal(source.asked, 3);
  });

  it("sees within 2 s that a tenant unknown, suspended, failed or closed has become active", async () => {
    for (const before of [
      null,
      ...["suspended", "closing", "failed", "closed"].map((state) => active({ state })),
    ]) {
      const { time, memory } = atTime();
      const source = directory(before);
      await memory.find("t", source.read);
      source.row = active({ version: 2 });
      time.now += 1_999;
      assert.deepEqual(await memory.find("t", source.read), before);
      time.now += 1;
      assert.equal((await memory.find("t", source.read)).state, "active");
      assert.equal(source.asked, 2);
    }
  });

  it("merges concurrent look-ups of one tenant, not of two", async () => {
    const { memory } = atTime();
    const source = directory();
    await Promise.all(Array.from({ length: 20 }, () => memory.find("t", source.read)));
    assert.equal(source.asked, 1);
    await Promise.all([memory.find("x", source.read), memory.find("y", source.read)]);
    assert.equal(source.asked, 3);
  });

  it("lets a merged failure fail all who wait, and asks again afterwards", async () => {
    const { memory } = atTime();
    const source = directory();
    source.failing = true;
    const outcomes = await Promise.allSettled([
      memory.find("t", source.read),
      memory.find("t", source.read),
    ]);
    assert.deepEqual(
      outcomes.map((outcome) => outcome.status),
      ["rejected", "rejected"],
    );
    source.failing = false;
    assert.equal((await memory.find("t", source.read)).state, "active");
  });

  it("does not wait for ever for a look-up whose request was cancelled", async () => {
    const { memory } = atTime({ patience: 20 });
    const never = () => new Promise(() => {});
    const cancelled = assert.rejects(memory.find("t", never), { name: "DirectoryUnavailable" });
    const source = directory();
    assert.equal((await memory.find("t", source.read)).state, "active");
    assert.equal(source.asked, 1);
    await cancelled;
  });

  it("keeps a look-up alive beyond the request that began it", async () => {
    const { memory } = atTime();
    const kept = [];
    await memory.find("t", directory().read, { waitUntil: (promise) => kept.push(promise) });
    assert.equal(kept.length, 1);
    await kept[0];
  });

  it("serves a known row 5 minutes more while the directory fails, then fails too", async () => {
    const { time, memory } = atTime();
    const source = directory();
    await memory.find("t", source.read);
    source.failing = true;
    time.now += 60_000;
    assert.equal((await memory.find("t", source.read)).state, "active");
    time.now += 260_000;
    assert.equal((await memory.find("t", source.read)).state, "active");
    time.now += 10_000;
    await assert.rejects(memory.find("t", source.read), /away/);
  });

  it("asks a failing directory every 2 s at most while a row stands in, and takes its first answer", async () => {
    const { time, memory } = atTime();
    const source = directory();
    await memory.find("t", source.read);
    source.failing = true;
    time.now += 30_000;
    for (let times = 0; times < 10; times += 1) await memory.find("t", source.read);
    assert.equal(source.asked, 2);
    source.failing = false;
    source.row = active({ state: "suspended", version: 2 });
    time.now += 2_000;
    assert.equal((await memory.find("t", source.read)).state, "suspended");
  });

  it("keeps a suspended tenant out while the directory fails, and never invents a miss", async () => {
    const { time, memory } = atTime();
    const suspended = directory(active({ state: "suspended" }));
    const unknown = directory(null);
    await memory.find("t", suspended.read);
    await memory.find("u", unknown.read);
    suspended.failing = true;
    unknown.failing = true;
    time.now += 60_000;
    assert.equal((await memory.find("t", suspended.read)).state, "suspended");
    await assert.rejects(memory.find("u", unknown.read), /away/);
  });

  it("does not let a look-up that began before an upsert bring the older row back", async () => {
    const { memory } = atTime();
    let answer;
    const slow = () => new Promise((resolve) => (answer = resolve));
    const looking = memory.find("t", slow);
    memory.remember("t", active({ state: "suspended", version: 2 }));
    answer(active());
    assert.equal((await looking).state, "suspended");
    assert.equal((await memory.find("t", slow)).state, "suspended");
  });

  it("does not let one bring back a row whose version no record can have", async () => {
    const { memory } = atTime();
    let answer;
    const slow = () => new Promise((resolve) => (answer = resolve));
    const looking = memory.find("t", slow);
    memory.remember("t", active({ state: "suspended", version: 2 }));
    answer(active({ version: 2 ** 53 }));
    assert.equal((await looking).state, "suspended");
  });

  it("believes a directory that was restored to an earlier time", async () => {
    const { time, memory } = atTime();
    const source = directory(active({ version: 9 }));
    await memory.find("t", source.read);
    source.row = active({ version: 4 });
    time.now += 30_000;
    assert.equal((await memory.find("t", source.read)).version, 4);
  });

  it("stays within its bounds and forgets what was used least recently", async () => {
    const { memory } = atTime({ capacity: 3 });
    const source = directory();
    for (const id of ["a", "b", "c", "a", "d"]) await memory.find(id, source.read);
    assert.equal(memory.size, 3);
    assert.equal(source.asked, 4);
    await memory.find("a", source.read);
    assert.equal(source.asked, 4);
    await memory.find("b", source.read);
    assert.equal(source.asked, 5);
  });
});

describe("the router's memory across requests of a real isolate", () => {
  let miniflare;
  let url;

  before(async () => {
    miniflare = new Miniflare({
      workers: [
        {
          name: "memory",
          modules: true,
          script: await bundle("memory_app.js"),
          ...COMPATIBILITY,
          serviceBindings: { SLOW: "slow" },
        },
        {
          name: "slow",
          modules: true,
          script: source("test/fixtures/slow_directory.js"),
          ...COMPATIBILITY,
        },
      ],
    });
    url = await miniflare.ready;
  });

  after(() => miniflare.dispose());

  const asked = async () => {
    const slow = await miniflare.getWorker("slow");
    return (await slow.fetch("http://slow/asked")).json();
  };

  it("lets requests wait for another request's look-up", async () => {
    const requests = Array.from({ length: 20 }, () => fetch(new URL("/merged?delay=200", url)));
    for (const response of await Promise.all(requests)) {
      assert.equal((await response.json()).state, "active");
    }
    assert.equal((await asked()).merged, 1);
  });

  it("answers who waited when the request that began the look-up is cancelled", async () => {
    const abort = new AbortController();
    const first = fetch(new URL("/cancelled?delay=250", url), { signal: abort.signal });
    const gone = assert.rejects(first, { name: "AbortError" });
    while (!(await asked()).cancelled) await new Promise((resolve) => setImmediate(resolve));
    const second = fetch(new URL("/cancelled?delay=250", url));
    abort.abort();
    await gone;
    assert.equal((await (await second).json()).state, "active");
  });
});
