/**
 * The router `<fleet>-pool`: the one Worker that the app and the control plane talk to.
 *
 * Its entrypoint `DbPool` is what the app's service binding names; its default export is the admin
 * door of the control plane. Which database is a tenant's is read from the directory, a D1 database,
 * through this isolate's memory; the query itself runs on the shard that holds the binding.
 *
 * Uploaded with the modules beside it and nothing else. Routers and shards are upgraded one by one:
 * RPC methods are only ever added, arguments only appended, unknown fields ignored.
 */
import { answerAdmin } from "./admin.js";

export { DbPool } from "./pool.js";

export default { fetch: answerAdmin };
