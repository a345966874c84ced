/** What is bound to the router: its variables, the directory and the shards. */
import { SHARD } from "./names.js";

/**
 * @typedef {[sql: string, params: unknown[]]} PlainStatement
 * @typedef {{ session?: string, column?: string, columnNames?: boolean }} RunOptions
 * @typedef {{ run(binding: string, statements: unknown[], mode: string, options?: RunOptions): Promise<unknown>,
 *   probe(binding: string): Promise<{ generation: number }>, status(): Promise<Record<string, unknown>>,
 *   inspect(bindings: string[], table: string): Promise<unknown[]>,
 *   migrate(binding: string, files: unknown[], table: string): Promise<{ applied: string[], ledger: string[],
 *     error?: { name: string, message: string, retryable: boolean } }>,
 *   read(binding: string, statements: string[]): Promise<{ results?: unknown[][][],
 *     error?: { name: string, message: string, retryable: boolean } }> }} ShardStub
 * @typedef {{ D1FLEET_SCRIPT: string, D1FLEET_FLEET_UID: string, D1FLEET_GENERATION: string, D1FLEET_CODE: string,
 *   D1FLEET_ADMIN_SECRET?: string, D1FLEET_DIRECTORY: D1Database }} RouterEnv
 * @typedef {{ waitUntil(promise: Promise<unknown>): void }} KeepAlive
 */

/**
 * @param {RouterEnv} env
 * @param {string} script a shard's name
 * @returns {ShardStub | undefined} undefined: not bound to this version of the router
 */
export function shardStub(env, script) {
  const number = SHARD.exec(script)?.[1];
  if (number === undefined || script !== `${env.D1FLEET_SCRIPT}-${number}`) return undefined;
  const name = `SHARD_${number}`;
  const bindings = /** @type {Record<string, unknown>} */ (/** @type {unknown} */ (env));
  if (!Object.hasOwn(bindings, name)) return undefined;
  return /** @type {ShardStub} */ (bindings[name]);
}
