/** Who may speak at the admin door: secrets, bodies and their signatures. */
import { Refusal } from "./errors.js";

const TOLERANCE = 300;
const MAX_BODY = 8 * 1024 * 1024;

/** @type {{ text: string, keys: Uint8Array<ArrayBuffer>[] } | undefined} */
let knownKeys;

/**
 * Read the secrets: `whsec_` and base64 each, separated by spaces.
 *
 * @param {string} text
 * @returns {Uint8Array<ArrayBuffer>[]} keys of 24 to 64 bytes; what is not a secret is left out, and said in
 *   the log once an isolate, for anybody can make requests
 */
export function adminKeys(text) {
  if (knownKeys?.text === text) return knownKeys.keys;
  const keys = [];
  for (const secret of text.split(/\s+/).filter(Boolean)) {
    const key = secret.startsWith("whsec_")
      ? decodeBase64(secret.slice("whsec_".length))
      : undefined;
    if (key && key.length >= 24 && key.length <= 64) keys.push(key);
    else console.error({ event: "admin_secret_malformed" });
  }
  knownKeys = { text, keys };
  return keys;
}

/** @param {string} text @returns {Uint8Array<ArrayBuffer> | undefined} undefined: not base64 */
function decodeBase64(text) {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined;
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return undefined; // of an impossible length
  }
}

/**
 * Read a body, counting while reading: a length that is not declared must not fill the memory.
 *
 * @param {Request} request
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
async function readBody(request) {
  const tooLarge = () => new Refusal(413, "BodyTooLarge", `a body has at most ${MAX_BODY} bytes`);
  if (Number(request.headers.get("content-length") ?? 0) > MAX_BODY) throw tooLarge();
  /** @type {Uint8Array[]} */
  const chunks = [];
  let length = 0;
  for await (const chunk of request.body ?? []) {
    length += chunk.length;
    if (length > MAX_BODY) throw tooLarge();
    chunks.push(chunk);
  }
  const body = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    body.set(chunk, offset);
    offset += chunk.length;
  }
  return body;
}

/**
 * Verify a request signed in the Standard Webhooks form and give its body.
 *
 * @param {Request} request
 * @param {Uint8Array<ArrayBuffer>[]} keys
 */
export async function verifiedBody(request, keys) {
  const id = request.headers.get("webhook-id") ?? "";
  const timestamp = request.headers.get("webhook-timestamp") ?? "";
  const signatures = (request.headers.get("webhook-signature") ?? "")
    .split(" ")
    .filter((item) => item.startsWith("v1,"))
    .slice(0, 10)
    .map((item) => decodeBase64(item.slice("v1,".length)))
    .filter((signature) => signature?.length === 32);
  if (!id || id.length > 256 || !/^\d{1,12}$/.test(timestamp) || signatures.length === 0) {
    throw new Refusal(401, "BadSignature", "the request is not signed");
  }
  if (Math.abs(Math.floor(Date.now() / 1000) - Number(timestamp)) > TOLERANCE) {
    throw new Refusal(
      401,
      "StaleSignature",
      `the signature is more than ${TOLERANCE} s away from now`,
    );
  }
  const body = await readBody(request);
  const head = new TextEncoder().encode(`${id}.${timestamp}.`);
  const signed = new Uint8Array(head.length + body.length);
  signed.set(head);
  signed.set(body, head.length);
  for (const key of keys) {
    const algorithm = { name: "HMAC", hash: "SHA-256" };
    const imported = await crypto.subtle.importKey("raw", key, algorithm, false, ["verify"]);
    for (const signature of signatures) {
      // Web Crypto's verify compares in constant time.
      if (signature && (await crypto.subtle.verify("HMAC", imported, signature, signed)))
        return body;
    }
  }
  throw new Refusal(401, "BadSignature", "no configured secret verifies the signature");
}
