// The API as the pages call it. A refusal or a lost answer is an Error whose message is for people.
export const signedIn = document.body.dataset.user !== "";
const notice = document.getElementById("notice");
const UNREACHABLE = "The shop cannot be reached. Check your connection and try again.";
const SAID_MS = 12_000;
const RETRY_PAUSES_MS = [400, 1_600];
// After these nothing is open about what was asked: it happened, or it never will under this key.
const DEFINITE = new Set([400, 402, 404, 409, 410, 412, 413, 415, 422]);
const STILL_OPEN = new Set(["idempotency_in_progress", "payment_in_progress"]);
let csrfToken = null;
const clearing = new Map();

export function say(text, place = notice) {
  place.textContent = text;
  clearTimeout(clearing.get(place));
  clearing.set(place, setTimeout(() => { place.textContent = ""; }, SAID_MS));
}

export function pause(ms) { return new Promise((resolve) => setTimeout(resolve, ms)); }

async function request(path, options) {
  try { return await fetch(path, options); } catch { throw new Error(UNREACHABLE); }
}

async function csrf() {
  if (csrfToken === null) csrfToken = (await (await request("/api/auth/csrf")).json()).csrfToken;
  return csrfToken;
}

export function forgetCsrf() { csrfToken = null; }

export async function api(method, path, body, headers = {}) {
  if (accessRanOut()) await refreshed();
  let response = await send(method, path, body, headers);
  if (response.status === 401 && path !== "/api/auth/login" && await refreshed()) response = await send(method, path, body, headers);
  const answer = await read(response);
  if (!response.ok) throw refusal(response, answer);
  return answer;
}

async function read(response) {
  let text;
  try { text = await response.text(); } catch { throw new Error(UNREACHABLE); }
  return text && (response.headers.get("Content-Type") ?? "").includes("json") ? JSON.parse(text) : null;
}

function refusal(response, answer) {
  const messages = [...new Set((answer?.errors ?? []).map((each) => each.message).filter(Boolean))].join(" ");
  const short = answer?.shortages?.map((each) => `${each.sku}: ${each.available} left`).join(", ");
  const text = short ? `Not enough stock – ${short}` : messages || answer?.detail || answer?.title;
  const status = response.status;
  return Object.assign(new Error(text || `The shop cannot do that right now (${status}). Try again in a moment.`), { answer, status });
}

async function send(method, path, body, headers) {
  const options = { method, headers: { ...headers } };
  if (body !== undefined) { options.headers["Content-Type"] = "application/json"; options.body = JSON.stringify(body); }
  if (method !== "GET" && mayBeKnown()) options.headers["X-CSRF-Token"] = await csrf();
  return request(path, options);
}

// A change that moves stock or money goes under a key that outlives errors and reloads: until an answer says what became
// of it, to try again is to ask about the same change.
export async function once(name, path, body) {
  const kept = pending(name), asked = JSON.stringify(body ?? null);
  const sent = kept?.asked === asked ? kept : { asked, key: randomKey(), path };
  sessionStorage.setItem(`once:${name}`, JSON.stringify(sent));
  return settle(name, sent);
}

export function pending(name) { return JSON.parse(sessionStorage.getItem(`once:${name}`) ?? "null"); }

// What became of a change whose answer was lost.
export async function askAgain(name) { return settle(name, pending(name)); }

async function settle(name, sent) {
  for (let attempt = 0; ; attempt++) {
    try {
      const answer = await api("POST", sent.path, JSON.parse(sent.asked) ?? undefined, { "Idempotency-Key": sent.key });
      sessionStorage.removeItem(`once:${name}`);
      return answer;
    } catch (error) {
      if (DEFINITE.has(error.status) && !STILL_OPEN.has(error.answer?.code)) sessionStorage.removeItem(`once:${name}`);
      if (error.status !== undefined || attempt >= RETRY_PAUSES_MS.length) throw error;
      await pause(RETRY_PAUSES_MS[attempt]);
    }
  }
}

// crypto.randomUUID is missing on plain http, getRandomValues is not.
function randomKey() { return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join(""); }

// The access cookie lives for minutes, the refresh cookie for weeks. Scripts can read neither, so a visit remembers itself
// and when its access ends: without the cookie the API would take us for a guest.
export function mayBeKnown() { return signedIn || localStorage.getItem("visit") !== null; }

function accessRanOut() { return mayBeKnown() && Date.now() > Number(localStorage.getItem("access-until") ?? Infinity); }

export function remember(login) {
  localStorage.setItem("visit", "known");
  localStorage.setItem("access-until", String(Date.now() + ((login?.expiresIn ?? 600) - 20) * 1000));
  forgetCsrf();
}

export function forget() { localStorage.removeItem("visit"); localStorage.removeItem("access-until"); }

let refreshing = null;
export function refreshed() {
  if (!mayBeKnown()) return Promise.resolve(false);
  refreshing ??= refresh().finally(() => { refreshing = null; });
  return refreshing;
}

async function refresh() {
  forgetCsrf();
  const headers = { "Content-Type": "application/json", "X-CSRF-Token": await csrf() };
  const response = await request("/api/auth/refresh", { method: "POST", headers, body: "{}" });
  forgetCsrf();
  if (response.status >= 400 && response.status < 500 && response.status !== 429) forget();
  if (response.ok) remember(await read(response));
  return response.ok;
}

// A page of ours as a document, to take parts from.
export async function pageAt(path) {
  if (accessRanOut()) await refreshed();
  const response = await request(path, { headers: { Accept: "text/html" } });
  let text;
  try { text = await response.text(); } catch { throw new Error(UNREACHABLE); }
  return new DOMParser().parseFromString(text, "text/html");
}
