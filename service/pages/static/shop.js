// What a page does beyond reading. Every form works without this script; with it the page stays where it is.
import { api, askAgain, forget, mayBeKnown, once, pageAt, pause, pending, refreshed, remember, say, signedIn } from "./api.js";
import { followOrder } from "./order.js";
import { watchStock } from "./stock.js";

const CHECKOUT = "/api/orders";
const item = (sku) => `/api/cart/items/${encodeURIComponent(sku)}`;

function signInFirst() { location.href = `/login?next=${encodeURIComponent(location.pathname + location.search)}`; }

async function entered(login, form) {
  remember(login);
  // A cart that could not be joined keeps its cookie; being signed in matters more.
  await api("POST", "/api/cart/merge").catch(() => null);
  location.href = form.elements.next.value || "/";
}

const actions = {
  async "add-to-cart"(form) {
    const sku = form.elements.sku.value, cart = await api("GET", "/api/cart");
    const held = cart.items.find((each) => each.sku === sku)?.quantity ?? 0;
    showCount(units(await api("PUT", item(sku), { quantity: held + Number(form.quantity.value) })));
    say("Added to your cart.");
  },
  async "notify-me"(form) {
    if (!signedIn) return signInFirst();
    await api("POST", `/api/inventory/${encodeURIComponent(form.elements.sku.value)}/notify-me`, {});
    say("We will tell you when it is back.");
  },
  async login(form) {
    const code = form.code.value.trim(), given = { email: form.email.value, password: form.password.value, ...(code ? { code } : {}) };
    try {
      await entered(await api("POST", "/api/auth/login", given), form);
    } catch (error) {
      if (["second_factor_required", "bad_code"].includes(error.answer?.code)) {
        form.querySelector("details").open = true;
        form.code.focus();
      }
      throw error;
    }
  },
  async register(form) {
    const given = { email: form.email.value, password: form.password.value, name: form.elements.name.value };
    await entered(await api("POST", "/api/auth/register", given), form);
  },
  async logout() { await api("POST", "/api/auth/logout"); forget(); location.href = "/"; },
  async forgot(form) {
    await api("POST", "/api/auth/password/forgot", { email: form.email.value });
    say("If there is an account with this address, a mail with a link is on its way.");
  },
  async verify(form) {
    await api("POST", "/api/auth/email/verify", { token: code(form) });
    done(form, "Thank you: your address is verified.", "/", "Go to the shop");
  },
  async reset(form) {
    await api("POST", "/api/auth/password/reset", { token: code(form), password: form.password.value });
    forget();
    done(form, "Your new password is set.", "/login", "Sign in with it");
  },
  async "change-line"(form, pressed) {
    const quantity = form.elements.quantity, sku = form.closest("[data-line]").dataset.line, removing = pressed?.name === "remove";
    if (!removing && !/^\d{1,7}$/.test(quantity.value)) {
      quantity.value = quantity.defaultValue;
      return say("Enter a whole number, or press Remove.");
    }
    const wanted = removing ? 0 : Number(quantity.value);
    try { await api("PUT", item(sku), { quantity: wanted }); } catch (error) { quantity.value = quantity.defaultValue; throw error; }
    await showCart(wanted ? "/cart" : `/cart?${new URLSearchParams({ removed: sku, quantity: quantity.defaultValue })}`);
    if (!wanted) document.querySelector(".undo button")?.focus();
  },
  async "put-back"(form) {
    await api("PUT", item(form.elements.sku.value), { quantity: Number(form.elements.quantity.value) });
    await showCart("/cart");
  },
  async checkout(form) {
    if (!signedIn) return signInFirst();
    const total = form.elements.expectedTotal?.value;
    const body = { fromCart: true, ...(total === undefined ? {} : { expectedTotal: Number(total) }) };
    if (await earlierOrder(body)) return;
    try {
      location.href = `/orders/${(await once("checkout", CHECKOUT, body)).order.id}`;
    } catch (error) {
      if (error.status) await showCart("/cart"); // prices and stock as they are now
      throw error;
    }
  },
};

// An earlier checkout whose answer was lost may have become an order. It is asked about before another one is made.
async function earlierOrder(body) {
  const open = pending("checkout");
  if (!open || open.asked === JSON.stringify(body)) return false;
  try { location.href = `/orders/${(await askAgain("checkout")).order.id}`; return true; } catch (error) { if (!error.status || error.status >= 500) throw error; return false; }
}

function code(form) { return form.elements.token.value.split("token=").at(-1).trim(); }

function done(form, text, href, label) {
  form.replaceChildren(Object.assign(document.createElement("p"), { textContent: text }), Object.assign(document.createElement("a"), { href, textContent: label }));
  form.tabIndex = -1;
  form.focus();
}

export function actOn(more) { Object.assign(actions, more); }

async function run(form, pressed) {
  const buttons = form.querySelectorAll("button");
  for (const button of buttons) button.disabled = true;
  const place = form.querySelector(".said") ?? undefined;
  try { await actions[form.dataset.action](form, pressed); } catch (error) { say(error.message, place); }
  for (const button of buttons) button.disabled = false;
}

document.addEventListener("submit", (event) => {
  if (!(event.target.dataset.action in actions)) return;
  event.preventDefault();
  run(event.target, event.submitter);
});
document.addEventListener("change", (event) => {
  if (event.target.closest("form[data-action=change-line]") && event.target.name === "quantity") run(event.target.form);
});

const units = (cart) => cart.items.reduce((sum, each) => sum + each.quantity, 0);

function showCount(count) { document.getElementById("cart-count").textContent = count ? `(${count})` : ""; }

async function showCart(path) {
  const cart = (await pageAt(path)).getElementById("cart");
  if (!cart) return location.reload();
  document.getElementById("cart").replaceWith(cart);
  showCount(Number(cart.dataset.units));
}

function offerToAskAgain() {
  if (!pending("checkout")) return;
  const button = Object.assign(document.createElement("button"), { textContent: "See what became of it" });
  const notice = Object.assign(document.createElement("p"), { className: "card" });
  notice.append("We could not hear the answer to your last checkout. ", button);
  document.getElementById("cart").before(notice);
  button.addEventListener("click", () => askAgain("checkout").then(
    ({ order }) => { location.href = `/orders/${order.id}`; },
    (error) => { say(error.message); if (!pending("checkout")) notice.remove(); }));
}

function showStock(stock) {
  const offer = [...document.querySelectorAll("[data-sku]")].find((each) => each.dataset.sku === stock.sku);
  if (!offer) return;
  offer.querySelector(".availability").textContent = stock.available ? `${stock.available} in stock` : "Sold out";
  offer.querySelector("[data-action=add-to-cart]").hidden = !stock.available;
  offer.querySelector("[data-action=notify-me]").hidden = Boolean(stock.available);
}

function completeSearch(input) {
  let waiting;
  input.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      const found = await api("GET", `/api/products/suggest?q=${encodeURIComponent(input.value)}`).catch(() => ({ items: [] }));
      document.getElementById("completions").replaceChildren(...found.items.map((each) => Object.assign(document.createElement("option"), { value: each.text })));
    }, 150);
  });
}

// The code of a mail's link stands behind the #, which is never sent: it is taken out of the address before anything else.
function takeCode(form) {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return;
  history.replaceState(null, "", location.pathname);
  form.elements.token.value = token;
  form.elements.token.closest("label").hidden = true;
  if (form.dataset.action === "verify") run(form);
}

// What a form without script said stands in the address; a reload need not say it again.
function tidyAddress() {
  const query = new URLSearchParams(location.search);
  if (!query.has("said")) return;
  query.delete("said");
  history.replaceState(null, "", location.pathname + (query.size ? `?${query}` : ""));
}

async function begin() {
  // A page made for a guest whose visit is known: its access cookie ran out, so it is renewed and the page asked for again.
  // Once: a page that knows nobody, such as that of a missing address, would be asked for without end.
  const again = sessionStorage.getItem("asked-again") !== null;
  sessionStorage.removeItem("asked-again");
  if (!signedIn && !again && mayBeKnown() && await refreshed()) {
    sessionStorage.setItem("asked-again", "yes");
    return location.reload();
  }
  const cart = document.getElementById("cart");
  showCount(cart ? Number(cart.dataset.units) : units(await api("GET", "/api/cart")));
}

tidyAddress();
document.querySelectorAll("form[data-code]").forEach(takeCode);
begin().catch(async (error) => { await pause(0); say(error.message); });
completeSearch(document.getElementById("q"));
if (document.getElementById("cart")) offerToAskAgain();
if (document.getElementById("order")) followOrder(actOn);
const offers = [...document.querySelectorAll("[data-sku]")];
if (offers.length) watchStock(offers.map((offer) => offer.dataset.sku), showStock);
