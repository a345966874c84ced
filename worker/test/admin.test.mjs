import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, it } from "node:test";
import {
  C,
  D,
  FLEET_UID,
  OTHER_SECRET,
  ROUTER,
  SECRET,
  SHARD_1,
  SHARD_2,
  startStack,
} from "./fixtures/stack.mjs";

const sha256 = (text) => createHash("sha256").update(text).digest("hex");
const STRANGER = `whsec_${Buffer.alloc(32, 1).toString("base64")}`;

describe("the router's admin door", () => {
  let stack;

  before(async () => {
    stack = await startStack({ secret: `${SECRET} not-a-secret ${OTHER_SECRET}` });
  });

  after(() => stack.stop());

  describe("who may enter", () => {
    it("takes any of the configured secrets, and any signature of several", async () => {
      assert.equal((await stack.admin("status")).status, 200);
      assert.equal((await stack.admin("status", {}, { secret: OTHER_SECRET })).status, 200);
      const wrong = `v1,${Buffer.alloc(32).toString("base64")}`;
      const among = (signature) => `v1a,AAAA ${wrong} ${signature}`;
      assert.equal((await stack.admin("status", {}, { sign: among })).status, 200);
      assert.equal((await stack.admin("status", {}, { sign: () => wrong })).status, 401);
    });

    it("refuses what is unsigned, signed by a stranger, falsified or malformed with 401", async () => {
      const attempts = [
        { secret: STRANGER },
        { signedBody: "{}" },
        { headers: { "webhook-id": "msg_2" } },
        { headers: { "webhook-id": "" } },
        { headers: { "webhook-timestamp": String(Math.floor(Date.now() / 1000) - 1) } },
        { headers: { "webhook-timestamp": "1e9" } },
        { headers: { "webhook-timestamp": "" } },
        { headers: { "webhook-signature": "" } },
        { headers: { "webhook-signature": "v1,!!! v1, v2,AAAA v1" } },
        { headers: { "webhook-signature": `v1,${"A".repeat(5)}` } },
      ];
      for (const falsified of attempts) {
        const { status, json } = await stack.admin("status", {}, falsified);
        assert.equal(status, 401, JSON.stringify(falsified));
        assert.equal(json.error.name, "BadSignature");
        assert.equal(json.error.retryable, false);
      }
    });

    it("takes a signature 299 s old or ahead, and refuses one of 302 s", async () => {
      for (const seconds of [-299, 299]) {
        const at = new Date(Date.now() + seconds * 1000);
        assert.equal((await stack.admin("status", {}, { at })).status, 200, seconds);
      }
      for (const seconds of [-302, 302]) {
        const at = new Date(Date.now() + seconds * 1000);
        const { status, json } = await stack.admin("status", {}, { at });
        assert.equal(status, 401, seconds);
        assert.equal(json.error.name, "StaleSignature");
      }
    });

    it("is not there for another path, operation or method: one and the same 404", async () => {
      const answers = new Set();
      for (const falsified of [
        { path: "/" },
        { path: "/_d1fleet" },
        { path: "/_d1fleet/" },
        { path: "/_d1fleet/status/" },
        { path: "/x/_d1fleet/status" },
        { path: "/_d1fleet/constructor" },
        { path: "/_d1fleet/sql" },
        { path: "/_d1fleet/tenants.delete" },
        { method: "GET" },
        { method: "PUT" },
        { method: "DELETE" },
      ]) {
        const { status, text } = await stack.admin("status", {}, falsified);
        assert.equal(status, 404, JSON.stringify(falsified));
        answers.add(text);
      }
      assert.equal(answers.size, 1);
    });

    it("is not there at all without a secret, or with none that is well formed", async () => {
      const known = (await stack.admin("status", {}, { path: "/" })).text;
      for (const secret of [null, "", "   ", "plain-text whsec_dG9vc2hvcnQ= whsec_***"]) {
        const closed = await startStack({ secret });
        try {
          const { status, text } = await closed.admin("status");
          assert.equal(status, 404);
          assert.equal(text, known);
        } finally {
          await closed.stop();
        }
      }
    });

    it("refuses a request for another script, fleet or operation with 409", async () => {
      for (const [args, name] of [
        [{ script: SHARD_1 }, "WrongFleet"],
        [{ script: undefined }, "WrongFleet"],
        [{ fleet_uid: "other" }, "WrongFleet"],
        [{ op: "migrate" }, "WrongOperation"],
      ]) {
        const { status, json } = await stack.admin("status", args);
        assert.equal(status, 409);
        assert.equal(json.error.name, name);
        assert.equal(json.error.retryable, false);
      }
    });

    it("refuses a body that is not a command: 400 for JSON, 422 for version and time", async () => {
      for (const body of ["", "{", "[]", "null", '"x"', "\u0000"]) {
        const { status, json } = await stack.admin("status", {}, { body });
        assert.equal(status, 400, body);
        assert.equal(json.error.name, "MalformedBody");
      }
      for (const args of [{ v: 2 }, { v: "1" }, { time: "soon" }, { time: undefined }]) {
        const { status, json } = await stack.admin("status", args);
        assert.equal(status, 422, JSON.stringify(args));
        assert.equal(json.error.name, "BadArguments");
      }
    });

    it("refuses a body above 8 MiB with 413, before its signature is judged", async () => {
      const body = "x".repeat(8 * 1024 * 1024 + 1);
      const { status, json } = await stack.admin("status", {}, { body });
      assert.equal(status, 413);
      assert.equal(json.error.name, "BodyTooLarge");
    });

    it("answers JSON that nobody may cache", async () => {
      for (const falsified of [{}, { secret: STRANGER }, { path: "/" }]) {
        assert.match((await stack.admin("status", {}, falsified)).type, /^application\/json/);
      }
    });
  });

  describe("status", () => {
    it("tells of the router itself", async () => {
      const { json } = await stack.admin("status");
      assert.deepEqual(json, {
        script: ROUTER,
        generation: 3,
        fleet_uid: FLEET_UID,
        code: "router-code",
        bindings: 0,
        bindings_hash: sha256(""),
        shards: [SHARD_1, SHARD_2],
      });
    });

    it("tells of a shard: generation, number and hash of its databases", async () => {
      const { json } = await stack.admin("status", { shard: SHARD_2 });
      assert.deepEqual(json, {
        script: SHARD_2,
        generation: 22,
        fleet_uid: FLEET_UID,
        code: "shard-code",
        bindings: 2,
        bindings_hash: sha256(`${C}\n${D}`),
      });
    });

    it("says 503 ShardUnknown of a shard that is not bound, and 422 of what is no shard", async () => {
      for (const shard of ["acme-pool-9", "other-pool-1"]) {
        const { status, json } = await stack.admin("status", { shard });
        assert.equal(status, 503);
        assert.equal(json.error.name, "ShardUnknown");
        assert.equal(json.error.retryable, true);
      }
      for (const shard of ["DIRECTORY", "", 1, null, "acme-pool-1; DROP"]) {
        assert.equal((await stack.admin("status", { shard })).status, 422, String(shard));
      }
    });
  });
});
