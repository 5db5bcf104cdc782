// What a page does beyond reading: it calls the same API every client uses. Text is only ever set as text.
const signedIn = document.body.dataset.user !== "";
const notice = document.getElementById("notice");
let csrfToken = null;

export function say(text) { notice.textContent = text; }

async function csrf() {
  if (csrfToken === null) csrfToken = (await (await fetch("/api/auth/csrf")).json()).csrfToken;
  return csrfToken;
}

export async function api(method, path, body, headers = {}) {
  let response = await send(method, path, body, headers);
  if (response.status === 401 && path !== "/api/auth/login" && await refreshed()) response = await send(method, path, body, headers);
  const text = await response.text();
  const answer = text && (response.headers.get("Content-Type") ?? "").includes("json") ? JSON.parse(text) : null;
  if (!response.ok) throw Object.assign(new Error(answer?.detail || answer?.title || `The shop answered ${response.status}.`), { answer, status: response.status });
  return answer;
}

async function send(method, path, body, headers) {
  const options = { method, headers: { ...headers } };
  if (body !== undefined) { options.headers["Content-Type"] = "application/json"; options.body = JSON.stringify(body); }
  if (method !== "GET" && mayBeKnown()) options.headers["X-CSRF-Token"] = await csrf();
  try { return await fetch(path, options); } catch { throw new Error("The shop cannot be reached. Check your connection and try again."); }
}

// The access cookie lives for minutes, the refresh cookie for weeks. Scripts can read neither, so a visit remembers itself.
function mayBeKnown() { return signedIn || localStorage.getItem("visit") !== null; }

let refreshing = null;
function refreshed() {
  if (!mayBeKnown()) return Promise.resolve(false);
  refreshing ??= refresh().finally(() => { refreshing = null; });
  return refreshing;
}

async function refresh() {
  csrfToken = null;
  const headers = { "Content-Type": "application/json", "X-CSRF-Token": await csrf() };
  const response = await fetch("/api/auth/refresh", { method: "POST", headers, body: "{}" });
  csrfToken = null;
  if (response.status >= 400 && response.status < 500 && response.status !== 429) localStorage.removeItem("visit");
  return response.ok;
}

export function money(amount, currency = "GBP") {
  return new Intl.NumberFormat("en-GB", { style: "currency", currency }).format(amount / 100);
}

export function table(columns, rows) {
  const element = document.createElement("table");
  const head = element.createTHead().insertRow();
  for (const column of columns) { const cell = document.createElement("th"); cell.textContent = column; head.append(cell); }
  const body = element.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    for (const value of row) { const cell = line.insertCell(); value instanceof Node ? cell.append(value) : (cell.textContent = value); }
  }
  return element;
}

function link(href, text) { const a = document.createElement("a"); a.href = href; a.textContent = text; return a; }

async function start() {
  localStorage.setItem("visit", "known");
  csrfToken = null;
  // A cart that could not be joined keeps its cookie; being signed in matters more.
  await api("POST", "/api/cart/merge").catch(() => null);
  location.href = location.pathname === "/login" ? "/" : location.href;
}

const actions = {
  async "add-to-cart"(form) {
    const sku = form.closest("[data-sku]").dataset.sku;
    const cart = await api("GET", "/api/cart");
    const held = cart.items.find((item) => item.sku === sku)?.quantity ?? 0;
    showCount(await api("PUT", `/api/cart/items/${encodeURIComponent(sku)}`, { quantity: held + Number(form.quantity.value) }));
    say("Added to your cart.");
  },
  async "notify-me"(form) {
    if (!signedIn) { location.href = "/login"; return; }
    await api("POST", `/api/inventory/${encodeURIComponent(form.closest("[data-sku]").dataset.sku)}/notify-me`, {});
    say("We will tell you when it is back.");
  },
  async login(form) {
    await api("POST", "/api/auth/login", { email: form.email.value, password: form.password.value });
    await start();
  },
  async register(form) {
    await api("POST", "/api/auth/register", { email: form.email.value, password: form.password.value, name: form.elements.name.value });
    await start();
  },
  async logout() { await api("POST", "/api/auth/logout"); localStorage.removeItem("visit"); location.href = "/"; },
  async checkout(form) {
    if (!signedIn) { location.href = "/login"; return; }
    form.dataset.key ||= randomKey();
    try {
      const { order } = await api("POST", "/api/orders", { fromCart: true }, { "Idempotency-Key": form.dataset.key });
      location.href = `/orders/${order.id}`;
    } catch (error) {
      delete form.dataset.key;
      const short = error.answer?.shortages?.map((s) => `${s.sku}: ${s.available} left`).join(", ");
      say(short ? `Not enough stock – ${short}` : error.message);
    }
  },
  async pay(form) {
    form.dataset.key ||= randomKey();
    try {
      await api("POST", `/api/orders/${orderOf(form)}/pay`, { paymentMethod: form.paymentMethod.value }, { "Idempotency-Key": form.dataset.key });
    } catch (error) {
      if (error.status !== 402 && error.status !== 409) throw error; // the same key tries again
      sessionStorage.setItem("said", error.message);
    }
    location.reload();
  },
  async cancel(button) { await api("POST", `/api/orders/${orderOf(button)}/cancel`); location.reload(); },
  async receive(form) {
    await api("POST", "/api/inventory/receive", { lines: [{ sku: form.sku.value, quantity: Number(form.quantity.value) }] });
    say(`${form.quantity.value} units of ${form.sku.value} received.`);
  },
};

// crypto.randomUUID is missing on plain http, getRandomValues is not.
function randomKey() { return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join(""); }

function orderOf(element) { return element.closest("[data-order]").dataset.order; }

async function run(name, element) {
  const buttons = element.matches("form") ? element.querySelectorAll("button") : [element];
  for (const button of buttons) button.disabled = true;
  try { await actions[name](element); } catch (error) { say(error.message); }
  for (const button of buttons) button.disabled = false;
}

document.addEventListener("submit", (event) => {
  const name = event.target.dataset.action;
  if (name in actions) { event.preventDefault(); run(name, event.target); }
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-action]");
  if (button) run(button.dataset.action, button);
});

function showCount(cart) {
  const units = cart.items.reduce((sum, item) => sum + item.quantity, 0);
  document.getElementById("cart-count").textContent = units ? `(${units})` : "";
}

function showCart(cart) {
  showCount(cart);
  const place = document.getElementById("cart");
  if (!place) return;
  const form = document.querySelector("form[data-action=checkout]");
  form.hidden = cart.items.length === 0;
  if (!cart.items.length) { place.replaceChildren("Your cart is empty."); return; }
  const rows = cart.items.map((item) => {
    const quantity = Object.assign(document.createElement("input"), { type: "number", min: 0, max: 999, value: item.quantity });
    quantity.setAttribute("aria-label", `Quantity of ${item.name}`);
    quantity.addEventListener("change", () => api("PUT", `/api/cart/items/${encodeURIComponent(item.sku)}`, { quantity: Number(quantity.value) }).then(showCart, (error) => { say(error.message); quantity.value = item.quantity; }));
    const state = item.available >= item.quantity ? "" : item.available ? `only ${item.available} left` : "sold out";
    return [item.slug ? link(`/p/${item.slug}`, item.name) : item.name, quantity, money(item.unitPrice, cart.currency), money(item.lineTotal, cart.currency), state];
  });
  const total = Object.assign(document.createElement("p"), { className: "price", textContent: `Total ${money(cart.subtotal, cart.currency)}` });
  const wide = Object.assign(document.createElement("div"), { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "Items" });
  wide.append(table(["Item", "Quantity", "Price", "Total", "Stock"], rows));
  place.replaceChildren(wide, total);
}

function watchStock(offers) {
  const query = new URLSearchParams([...offers].map((offer) => ["sku", offer.dataset.sku]));
  new EventSource(`/api/inventory/stream?${query}`).addEventListener("stock", (event) => {
    const stock = JSON.parse(event.data);
    const offer = [...offers].find((each) => each.dataset.sku === stock.sku);
    if (!offer) return;
    offer.querySelector(".availability").textContent = stock.available ? `${stock.available} in stock` : "Sold out";
    offer.querySelector("[data-action=add-to-cart]").hidden = !stock.available;
    offer.querySelector("[data-action=notify-me]").hidden = Boolean(stock.available);
  });
}

function countDown(element) {
  const until = Date.parse(element.dataset.until);
  const tick = () => {
    const left = Math.max(0, Math.round((until - Date.now()) / 1000));
    element.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    if (left === 0) { clearInterval(timer); say("The hold has run out. Paying takes what is left."); }
  };
  const timer = setInterval(tick, 1000);
  tick();
}

function completeSearch(input) {
  let waiting;
  input.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      const found = await api("GET", `/api/products/suggest?q=${encodeURIComponent(input.value)}`).catch(() => ({ items: [] }));
      document.getElementById("completions").replaceChildren(...found.items.map((item) => Object.assign(document.createElement("option"), { value: item.text })));
    }, 150);
  });
}

async function begin() {
  // A page made for a guest whose visit is known: its access cookie ran out, so it is renewed and the page asked for again.
  if (!signedIn && mayBeKnown() && await refreshed()) { location.reload(); return; }
  showCart(await api("GET", "/api/cart"));
}

const said = sessionStorage.getItem("said");
if (said) { sessionStorage.removeItem("said"); say(said); }
begin().catch((error) => say(error.message));
completeSearch(document.getElementById("q"));
document.querySelectorAll(".countdown").forEach(countDown);
const offers = document.querySelectorAll("[data-sku]");
if (offers.length) watchStock(offers);
