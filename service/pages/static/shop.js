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
  const options = { method, headers: { ...headers } };
  if (body !== undefined) { options.headers["Content-Type"] = "application/json"; options.body = JSON.stringify(body); }
  if (method !== "GET" && signedIn) options.headers["X-CSRF-Token"] = await csrf();
  const response = await fetch(path, options);
  const answer = response.status === 204 ? null : await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.detail || answer.title), { answer, status: response.status });
  return answer;
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

async function start(path) {
  await mergeGuestCart();
  location.href = path;
}

async function mergeGuestCart() {
  // The page still thinks it is a guest's, so the token is asked for by hand.
  const token = (await (await fetch("/api/auth/csrf")).json()).csrfToken;
  await fetch("/api/cart/merge", { method: "POST", headers: { "X-CSRF-Token": token } });
}

const actions = {
  async "add-to-cart"(form) {
    const sku = form.closest("[data-sku]").dataset.sku;
    const cart = await api("GET", "/api/cart");
    const held = cart.items.find((item) => item.sku === sku)?.quantity ?? 0;
    showCount(await api("PUT", `/api/cart/items/${sku}`, { quantity: held + Number(form.quantity.value) }));
    say("Added to your cart.");
  },
  async "notify-me"(form) {
    if (!signedIn) { location.href = "/login"; return; }
    await api("POST", `/api/inventory/${form.closest("[data-sku]").dataset.sku}/notify-me`, {});
    say("We will tell you when it is back.");
  },
  async login(form) {
    await api("POST", "/api/auth/login", { email: form.email.value, password: form.password.value });
    await start(location.pathname === "/login" ? "/" : location.href);
  },
  async register(form) {
    await api("POST", "/api/auth/register", { email: form.email.value, password: form.password.value, name: form.elements.name.value });
    await start(location.pathname === "/login" ? "/" : location.href);
  },
  async logout() { await api("POST", "/api/auth/logout"); location.href = "/"; },
  async checkout(form) {
    if (!signedIn) { location.href = "/login"; return; }
    form.dataset.key ||= crypto.randomUUID();
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
    form.dataset.key ||= crypto.randomUUID();
    try {
      await api("POST", `/api/orders/${orderOf(form)}/pay`, { paymentMethod: form.paymentMethod.value }, { "Idempotency-Key": form.dataset.key });
    } finally { if (form.dataset.key) setTimeout(() => location.reload(), 600); }
  },
  async cancel(button) { await api("POST", `/api/orders/${orderOf(button)}/cancel`); location.reload(); },
  async receive(form) {
    await api("POST", "/api/inventory/receive", { lines: [{ sku: form.sku.value, quantity: Number(form.quantity.value) }] });
    say(`${form.quantity.value} units of ${form.sku.value} received.`);
  },
};

function orderOf(element) { return element.closest("[data-order]").dataset.order; }

async function run(name, element) {
  try { await actions[name](element); } catch (error) { say(error.message); }
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
    quantity.addEventListener("change", async () => showCart(await api("PUT", `/api/cart/items/${item.sku}`, { quantity: Number(quantity.value) })));
    const state = item.available >= item.quantity ? "" : item.available ? `only ${item.available} left` : "sold out";
    return [item.slug ? link(`/p/${item.slug}`, item.name) : item.name, quantity, money(item.unitPrice, cart.currency), money(item.lineTotal, cart.currency), state];
  });
  const total = Object.assign(document.createElement("p"), { className: "price", textContent: `Total ${money(cart.subtotal, cart.currency)}` });
  place.replaceChildren(table(["Item", "Quantity", "Price", "Total", ""], rows), total);
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
    if (left === 0) clearInterval(timer);
  };
  const timer = setInterval(tick, 1000);
  tick();
}

function completeSearch(input) {
  let waiting;
  input.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      const found = await api("GET", `/api/products/suggest?q=${encodeURIComponent(input.value)}`);
      document.getElementById("completions").replaceChildren(...found.items.map((item) => Object.assign(document.createElement("option"), { value: item.text })));
    }, 150);
  });
}

api("GET", "/api/cart").then(showCart, (error) => say(error.message));
completeSearch(document.getElementById("q"));
document.querySelectorAll(".countdown").forEach(countDown);
const offers = document.querySelectorAll("[data-sku]");
if (offers.length) watchStock(offers);
