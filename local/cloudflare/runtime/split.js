/** Stands before a Worker of which two versions are deployed: each call goes to one, by its share. */
import { WorkerEntrypoint } from "cloudflare:workers";

/** @param {{FIRST: any, SECOND: any, SHARE: string}} env `SHARE`: the percentage of the second */
function pick(env) {
  return Math.random() * 100 < Number(env.SHARE) ? env.SECOND : env.FIRST;
}

export default class Split extends WorkerEntrypoint {
  /** @param {Request} request */
  fetch(request) {
    return pick(this.env).fetch(request);
  }
}

// Methods are looked up on the prototype: there, whatever a version may have is handed on to it.
Object.setPrototypeOf(
  Split.prototype,
  new Proxy(WorkerEntrypoint.prototype, {
    get(target, name, receiver) {
      if (typeof name === "symbol" || name in target) return Reflect.get(target, name, receiver);
      return (/** @type {unknown[]} */ ...values) => pick(receiver.env)[name](...values);
    },
  }),
);
