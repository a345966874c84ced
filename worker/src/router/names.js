/** What names and ids look like, and the states that a tenant can have. */

export const TENANT_ID = /^[A-Za-z0-9_\-.:|@]{1,128}$/;
export const BINDING = /^DB_[0-9A-HJKMNP-TV-Z]{26}$/;
export const SHARD = /^[a-z0-9]{1,5}-pool-(\d{1,6})$/;
export const DATABASE_UUID = /^[A-Za-z0-9-]{1,64}$/;
export const LEDGER_NAME = /^[A-Za-z][A-Za-z0-9_]{0,62}$/;

export const STATES = new Set(["pending", "active", "suspended", "closing", "closed", "failed"]);
