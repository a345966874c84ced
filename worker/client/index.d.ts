/** What a session begins with: anywhere, at the primary, or where a bookmark is known. */
export type SessionConstraint = "first-primary" | "first-unconstrained";

export interface Meta {
  duration: number;
  size_after: number;
  rows_read: number;
  rows_written: number;
  last_row_id: number;
  changed_db: boolean;
  changes: number;
  served_by_region?: string;
  served_by_colo?: string;
  served_by_primary?: boolean;
  timings?: { sql_duration_ms: number };
  total_attempts?: number;
}

export interface Result<T = unknown> {
  success: true;
  meta: Meta & Record<string, unknown>;
  error?: never;
  results: T[];
}

export interface ExecResult {
  count: number;
  duration: number;
}

/** A statement: plain data until one of its methods runs it, in one RPC call. */
export interface Statement {
  bind(...values: unknown[]): Statement;
  first<T = unknown>(colName: string): Promise<T | null>;
  first<T = Record<string, unknown>>(): Promise<T | null>;
  run<T = Record<string, unknown>>(): Promise<Result<T>>;
  all<T = Record<string, unknown>>(): Promise<Result<T>>;
  raw<T = unknown[]>(options: { columnNames: true }): Promise<[string[], ...T[]]>;
  raw<T = unknown[]>(options?: { columnNames?: false }): Promise<T[]>;
}

export interface Session {
  prepare(query: string): Statement;
  batch<T = unknown>(statements: Statement[]): Promise<Result<T>[]>;
  /** The latest bookmark of all that has run in this session, or null. */
  getBookmark(): string | null;
}

/** A tenant's database; assignable to `D1Database` of `@cloudflare/workers-types`. */
export interface TenantDatabase {
  prepare(query: string): Statement;
  /** Run statements of this tenant as one transaction, in one RPC call. */
  batch<T = unknown>(statements: Statement[]): Promise<Result<T>[]>;
  exec(query: string): Promise<ExecResult>;
  withSession(constraintOrBookmark?: string | SessionConstraint): Session;
  /** @deprecated Always refused: `d1fleet backup` gives a tenant's data as one file. */
  dump(): Promise<ArrayBuffer>;
}

export interface Pool {
  /** Name a tenant's database; nothing is asked until a statement runs. */
  get(tenantId: string): TenantDatabase;
}

/** The type of the binding itself, for the line that imports nothing: `env.DB_POOL.get(id).prepare(…)`. */
export interface DbPoolBinding {
  get(tenantId: string): Pick<TenantDatabase, "prepare" | "exec">;
}

/**
 * Wrap the service binding to the router's entrypoint `DbPool`, e.g. `dbPool(env.DB_POOL)`.
 *
 * Executions reject with `TenantNotFound`, `TenantNotReady` or `TenantSuspended`, or with D1's own
 * errors, unchanged.
 */
export function dbPool(binding: object): Pool;

/** No such tenant. */
export class TenantNotFound extends Error {
  constructor(message: string, closed?: boolean);
  readonly name: "TenantNotFound";
  /** True when there was one, and it has left. */
  readonly closed: boolean;
}

/** The tenant's database cannot serve yet, or not at the moment. */
export class TenantNotReady extends Error {
  constructor(message: string, retryAfter?: number);
  readonly name: "TenantNotReady";
  /** Seconds until asking again makes sense. */
  readonly retryAfter: number;
}

/** The tenant exists and has no access. */
export class TenantSuspended extends Error {
  constructor(message: string, state?: "suspended" | "closing");
  readonly name: "TenantSuspended";
  readonly state: "suspended" | "closing";
}
