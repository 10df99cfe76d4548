// REST calls: one envelope, one kind of error, and an eye on the rate limit.

import { heard } from "./clock.js";
import { token } from "./token.js";

const RESERVE = 25; // requests kept for what the user asks for; the page's own reloads stop before

/** What went wrong, in the server's words. `errors` names the fields at fault, `retryAt` says when to try again. */
export class ApiError extends Error {
  constructor(status, message, { errors = [], retryAt = null } = {}) {
    super(message);
    this.status = status;
    this.errors = errors;
    this.retryAt = retryAt;
  }
}

/** Who wants to know: the token was refused; the limit was met. */
export const hooks = { unauthorised: () => {}, limited: () => {} };

let remaining = Infinity;
let windowEndsAt = 0;

/** Whether the page may spend `count` requests on something nobody asked for just now. */
export function canAfford(count = 1) {
  if (Date.now() >= windowEndsAt) remaining = Infinity;
  return remaining - count >= RESERVE;
}

/** The answer's body. Throws ApiError. */
export async function call(method, path, { body, query, signal } = {}) {
  const response = await send(method, path + queryString(query), body, signal);
  note(response.headers);
  const answer = await response.json().catch(() => null);
  if (response.ok && answer?.success) return answer;
  throw failure(response, answer);
}

export const get = (path, query, options) => call("GET", path, { query, ...options }).then((answer) => answer.data);

export function agentPath(id, rest = "") {
  return `/api/agents/${encodeURIComponent(id)}${rest}`;
}

async function send(method, path, body, signal) {
  const askedAt = Date.now();
  const headers = { Authorization: `Bearer ${token() ?? ""}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    const response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal });
    const answeredAt = Date.now();
    // The date is cut to seconds, and of somewhere between the two. Only a quick answer tells the time.
    if (answeredAt - askedAt < 1000) heard(Date.parse(response.headers.get("Date")) + 500, (askedAt + answeredAt) / 2);
    return response;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The server cannot be reached.");
  }
}

function queryString(query) {
  const given = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

function note(headers) {
  if (!headers.has("RateLimit-Remaining")) return;
  remaining = Number(headers.get("RateLimit-Remaining"));
  windowEndsAt = Date.now() + Number(headers.get("RateLimit-Reset")) * 1000;
}

function failure(response, answer) {
  const wait = Number(response.headers.get("Retry-After"));
  const retryAt = wait > 0 ? Date.now() + wait * 1000 : null;
  const message = answer?.error ?? `The server answered with status ${response.status}.`;
  const error = new ApiError(response.status, message, { errors: answer?.errors ?? [], retryAt });
  if (response.status === 401) hooks.unauthorised(error);
  if (response.status === 429) hooks.limited(error);
  return error;
}
