/**
 * Owns every workerd of the emulator and the switch in front of the running Workers.
 *
 * Python speaks to it in JSON lines: a command on stdin, its answer (same `id`) on stdout, events
 * without an `id` whenever something happened by itself. When stdin ends, Python is gone: every child
 * is killed at once, so that no workerd outlives its emulator, however that one died.
 *
 * Arguments: the folder whose node_modules holds workerd, and the switch's port (0: any).
 */

import { spawn } from "node:child_process";
import { openSync, writeSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import readline from "node:readline";

const [root, workersPort] = process.argv.slice(2);
const workerd = createRequire(path.join(root, "package.json"))("workerd");

/** A Worker may still do work after its last answer (`waitUntil`): a drained front lives this much longer. */
const LINGER_MS = 300;
const STOP_MS = 5000;
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** @typedef {{proc: import("node:child_process").ChildProcess, gone: Promise<void>, expected: boolean}} Child */

/** @type {Map<string, Child>} */
const children = new Map();

/** @param {object} message */
function say(message) {
  try {
    writeSync(1, `${JSON.stringify(message)}\n`);
  } catch (error) {
    if (error.code !== "EPIPE") throw error; // Python is gone: the end of stdin says so too
  }
}

/**
 * Start one workerd and wait until each of its sockets listens.
 *
 * @param {{key: string, config: string, sockets: string[], log: string, timeout: number, addresses?: Record<string, string>}} options
 * @returns {Promise<{ports: Record<string, number>, pid: number} | {error: string}>}
 */
function serve({ key, config, sockets, log, timeout, addresses = {} }) {
  const output = openSync(log, "a");
  const overrides = Object.entries(addresses).map(([name, at]) => `--socket-addr=${name}=${at}`);
  const proc = spawn(
    workerd.default,
    ["serve", "--experimental", "--control-fd=3", ...overrides, config],
    { stdio: ["ignore", output, "pipe", "pipe"] },
  );
  /** @type {Child} */
  const child = { proc, expected: true, gone: Promise.resolve() };
  children.set(key, child);
  let complaint = "";
  let ready = false;
  proc.stderr.on("data", (chunk) => {
    if (!ready && complaint.length < 16384) complaint += chunk;
    writeSync(output, chunk);
  });
  child.gone = new Promise((resolve) => {
    proc.on("close", (code, signal) => {
      children.delete(key);
      say({ event: child.expected ? "gone" : "exit", key, code, signal });
      resolve();
    });
  });
  return new Promise((resolve) => {
    /** @type {Record<string, number>} */
    const ports = {};
    const timer = setTimeout(() => {
      complaint = complaint || `did not start within ${timeout} ms`;
      proc.kill("SIGKILL");
    }, timeout);
    const lines = readline.createInterface({ input: proc.stdio[3] });
    const settle = () => {
      clearTimeout(timer);
      ready = true;
      child.expected = false;
      resolve({ ports, pid: proc.pid });
    };
    lines.on("line", (line) => {
      const message = JSON.parse(line);
      if (message.event !== "listen") return;
      ports[message.socket] = message.port;
      if (sockets.every((name) => name in ports)) settle();
    });
    proc.on("error", (error) => {
      complaint = String(error);
    });
    child.gone.then(() => {
      clearTimeout(timer);
      resolve({ error: complaint.trim() || "ended while starting" });
    });
  });
}

/** @param {string} key */
async function stop(key) {
  const child = children.get(key);
  if (child === undefined) return;
  child.expected = true;
  child.proc.kill("SIGTERM");
  const timer = setTimeout(() => child.proc.kill("SIGKILL"), STOP_MS);
  await child.gone;
  clearTimeout(timer);
}

/** One generation of running Workers: requests in flight decide how long it lives. */
class Front {
  /** @param {string} key */
  constructor(key) {
    this.key = key;
    this.inFlight = 0;
    this.retired = false;
    this.timer = undefined;
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 512 });
  }

  enter() {
    this.inFlight += 1;
    clearTimeout(this.timer);
  }

  leave() {
    this.inFlight -= 1;
    this.consider();
  }

  retire() {
    this.retired = true;
    this.consider();
  }

  consider() {
    if (!this.retired || this.inFlight > 0) return;
    this.timer = setTimeout(() => {
      this.agent.destroy();
      stop(this.key);
    }, LINGER_MS);
  }
}

/** @type {Front | undefined} */
let front;
/** @type {Map<string, number>} */
let routes = new Map();

/** @param {{key: string, routes: Record<string, number>}} options */
function route({ key, routes: next }) {
  routes = new Map(Object.entries(next));
  if (front?.key === key) return {};
  front?.retire();
  front = new Front(key);
  return {};
}

/**
 * @param {http.ServerResponse} response
 * @param {number} status
 * @param {string} text
 */
function refuse(response, status, text) {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.writeHead(status, { "content-type": "text/plain" });
  response.end(`${text}\n`);
}

/**
 * Forward one request to the Worker that its first path segment names, in the newest generation.
 *
 * @param {http.IncomingMessage} request
 * @param {http.ServerResponse} response
 */
function forward(request, response) {
  const [, name, rest] = /^\/([^/?]*)(.*)$/s.exec(request.url ?? "/") ?? ["", "", ""];
  const port = routes.get(name);
  const target = front;
  if (port === undefined || target === undefined) {
    request.resume();
    refuse(response, 404, "There is nothing here yet.");
    return;
  }
  target.enter();
  response.once("close", () => target.leave());
  /** @type {http.OutgoingHttpHeaders} */
  const headers = {};
  for (const [header, value] of Object.entries(request.headers)) {
    if (!HOP_BY_HOP.has(header)) headers[header] = value;
  }
  const upstream = http.request({
    agent: target.agent,
    headers,
    host: "127.0.0.1",
    method: request.method,
    path: rest.startsWith("/") ? rest : `/${rest}`,
    port,
  });
  upstream.on("response", (answer) => {
    const kept = [];
    for (let i = 0; i < answer.rawHeaders.length; i += 2) {
      if (!HOP_BY_HOP.has(answer.rawHeaders[i].toLowerCase())) {
        kept.push(answer.rawHeaders[i], answer.rawHeaders[i + 1]);
      }
    }
    response.writeHead(answer.statusCode ?? 502, answer.statusMessage, kept);
    answer.on("error", () => response.destroy());
    answer.pipe(response);
  });
  upstream.on("error", (error) => refuse(response, 502, `The Worker did not answer: ${error}`));
  response.once("close", () => upstream.destroy());
  request.pipe(upstream);
}

const server = http.createServer(forward);
// A client that reuses a connection just as the server closes it would see a request dropped.
server.keepAliveTimeout = 600_000;
server.requestTimeout = 0;

/** @type {Record<string, (options: any) => any>} */
const commands = { route, serve, stop: async ({ key }) => stop(key).then(() => ({})) };

/** @param {string} line */
async function obey(line) {
  const { id, op, ...options } = JSON.parse(line);
  try {
    say({ id, ...(await commands[op](options)) });
  } catch (error) {
    say({ id, error: String(error) });
  }
}

async function leave() {
  const left = [...children.values()];
  for (const child of left) {
    child.expected = true;
    child.proc.kill("SIGKILL");
  }
  // Waited for, so that no zombie stays where nobody else would collect it.
  await Promise.all(left.map((child) => child.gone));
  process.exit(0);
}

// Ctrl-C reaches the whole process group: Python decides when this ends, by closing stdin.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => {});

server.on("error", (error) => {
  say({ event: "failed", error: String(error) });
  leave();
});
server.listen(Number(workersPort), "127.0.0.1", () => {
  const address = /** @type {import("node:net").AddressInfo} */ (server.address());
  say({ event: "ready", port: address.port, compatibilityDate: workerd.compatibilityDate });
});
readline.createInterface({ input: process.stdin }).on("line", obey).on("close", leave);
