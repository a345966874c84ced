/** Compiled, never run: what `index.d.ts` promises must fit where an app expects D1's own types. */
import {
  type DbPoolBinding,
  dbPool,
  type TenantDatabase,
  TenantNotReady,
} from "../client/index.js";

interface Env {
  DB_POOL: Fetcher;
}

export function asD1(env: Env): D1Database {
  return dbPool(env.DB_POOL).get("acme");
}

export function asSession(env: Env): D1DatabaseSession {
  return dbPool(env.DB_POOL).get("acme").withSession("first-primary");
}

/** And back: code written for a tenant's database takes a plain D1 binding, in tests say. */
export function fromD1(database: D1Database): TenantDatabase {
  return database;
}

export function retryAfter(error: unknown): number | undefined {
  return error instanceof TenantNotReady ? error.retryAfter : undefined;
}

export async function verbatim(env: {
  DB_POOL: DbPoolBinding;
}): Promise<D1Result<{ text: string }>> {
  dbPool(env.DB_POOL);
  return env.DB_POOL.get("acme").prepare("SELECT text FROM notes").bind(1).all<{ text: string }>();
}
