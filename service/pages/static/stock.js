// Live stock over one connection for all tabs of a browser: browsers open six to a host, and a page needs one to load.
// The visible tab that holds the lock listens for all visible tabs and passes on what it hears; a hidden tab lets go.
// Without locks (plain http) each visible tab listens for itself.
const channel = new BroadcastChannel("stock");
const tab = Math.random().toString(36).slice(2);
const SKUS_MAX = 100;
const GATHER_MS = 60;
const RECONNECT_MS = 5_000;
const wanted = new Map(); // by tab: the SKUs it shows
const states = new Map(); // by SKU: what was heard last
let skus = [], show = () => {}, source = null, asked = "", leading = false, release = null, gathering;

export function watchStock(ofPage, shown) {
  [skus, show] = [ofPage, shown];
  channel.addEventListener("message", ({ data }) => heard[data.type]?.(data));
  document.addEventListener("visibilitychange", () => (document.hidden ? leave() : join()));
  addEventListener("pagehide", leave);
  addEventListener("pageshow", (event) => { if (event.persisted) join(); });
  if (!document.hidden) join();
}

const heard = {
  watch({ from, of }) { if (leading) { wanted.set(from, of); for (const sku of of) if (states.has(sku)) pass(states.get(sku)); connectSoon(); } },
  leave({ from }) { if (wanted.delete(from) && leading) connectSoon(); },
  who() { if (!document.hidden) channel.postMessage({ type: "watch", from: tab, of: skus }); },
  stock({ state }) { take(state); },
};

function take(state) { if (skus.includes(state.sku)) show(state); }

function pass(state) { channel.postMessage({ type: "stock", state }); }

function join() {
  channel.postMessage({ type: "watch", from: tab, of: skus });
  if (!navigator.locks) return lead();
  const ended = new AbortController();
  const held = new Promise((resolve) => { release = () => { ended.abort(); resolve(); }; });
  navigator.locks.request("stock", { signal: ended.signal }, () => { lead(); return held; }).catch(() => {});
}

function lead() {
  leading = true;
  wanted.clear();
  wanted.set(tab, skus);
  if (navigator.locks) channel.postMessage({ type: "who" });
  connectSoon();
}

function leave() {
  channel.postMessage({ type: "leave", from: tab });
  leading = false;
  clearTimeout(gathering);
  source?.close();
  [source, asked] = [null, ""];
  states.clear();
  release?.();
  release = null;
}

// Tabs that open or close together change the connection once.
function connectSoon() { clearTimeout(gathering); gathering = setTimeout(connect, GATHER_MS); }

function connect() {
  if (!leading) return;
  const all = [...new Set([...skus, ...[...wanted.values()].flat()])].slice(0, SKUS_MAX);
  const query = new URLSearchParams(all.map((sku) => ["sku", sku])).toString();
  if (query === asked && source && source.readyState !== EventSource.CLOSED) return;
  source?.close();
  asked = query;
  source = new EventSource(`/api/inventory/stream?${query}`);
  source.addEventListener("stock", (event) => hear(JSON.parse(event.data)));
  // A refused stream is closed for good by the browser: ask again, slowly.
  source.addEventListener("error", () => { if (leading && source?.readyState === EventSource.CLOSED) gathering = setTimeout(connect, RECONNECT_MS); });
}

function hear(state) { states.set(state.sku, state); take(state); pass(state); }
