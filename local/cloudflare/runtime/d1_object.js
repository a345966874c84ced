/**
 * One D1 database: the simulator of the miniflare package, and a count of its writes, which is what
 * time travel's bookmarks are made of.
 */

import { D1DatabaseObject as Simulator } from "./database.worker.js";

export class D1DatabaseObject extends Simulator {
  /** @param {Request} request */
  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/emulator/writes") {
      const wanted = searchParams.get("set");
      if (wanted !== null) this.state.storage.kv.put("writes", Number(wanted));
      return Response.json({ writes: this.#writes() });
    }
    if (pathname === "/emulator/reset") this.state.abort("the file was changed from outside");
    const response = await super.fetch(request);
    const text = await response.text();
    if (text.includes('"changed_db":true')) this.state.storage.kv.put("writes", this.#writes() + 1);
    return new Response(text, response);
  }

  /** @returns {number} */
  #writes() {
    return this.state.storage.kv.get("writes") ?? 0;
  }
}
