// A shop's frontend in short, on nothing but the published document: `paths` is generated from it, so a request that
// the document does not describe, or an answer read in a way it does not promise, does not compile.
import createClient from "openapi-fetch";
import type { paths } from "./openapi.js";

const baseUrl = process.env["SITE_URL"];
if (!baseUrl) throw new Error("SITE_URL is not set: run under scripts/conformance/site.py");

let requests = 0;
let token = "";
const shop = createClient<paths>({ baseUrl });
shop.use({
  onRequest({ request }) {
    requests += 1;
    if (token) request.headers.set("Authorization", `Bearer ${token}`);
    return request;
  },
});

/** What was promised is there. */
function given<Value>(answer: { data?: Value; error?: unknown; response: Response }, status: number): Value {
  const { data, error, response } = answer;
  if (response.status !== status || data === undefined) {
    throw new Error(`${response.url}: ${response.status} instead of ${status}: ${JSON.stringify(error)}`);
  }
  return data;
}

function same<Value>(what: string, found: Value, wanted: Value): void {
  if (found !== wanted) throw new Error(`${what}: ${String(found)} instead of ${String(wanted)}`);
}

async function register(): Promise<void> {
  const email = `ts-${crypto.randomUUID()}@example.com`;
  const body = { email, password: "a long enough passphrase", name: "Type Script" };
  const session = given(await shop.POST("/api/auth/register", { body }), 201);
  token = session.accessToken;
  same("who I am", given(await shop.GET("/api/auth/me"), 200).user.email, email);
  const again = await shop.POST("/api/auth/register", { body });
  same("a taken address", again.error?.code, "email_taken");
}

/** A product that can be bought, found as a shopper finds it. */
async function find(): Promise<{ sku: string; price: number }> {
  const found = given(await shop.GET("/api/products/search", { params: { query: { q: "tea", limit: 5 } } }), 200);
  const product = found.items.find((item) => item.sku !== null && item.availability.inStock);
  if (!product?.sku) throw new Error("nothing to buy was found");
  const path = { idOrSlug: product.slug };
  const read = await shop.GET("/api/products/{idOrSlug}", { params: { path } });
  same("the same product", given(read, 200).id, product.id);
  const etag = read.response.headers.get("ETag") ?? "";
  const header = { "If-None-Match": etag };
  const unchanged = await shop.GET("/api/products/{idOrSlug}", { params: { path, header } });
  same("an unchanged product", unchanged.response.status, 304);
  return { sku: product.sku, price: product.price };
}

async function available(sku: string): Promise<number> {
  const query = { sku: [sku] };
  const { items } = given(await shop.GET("/api/inventory/availability", { params: { query } }), 200);
  same("what one can do", items[0]?.action, "add_to_cart");
  return items[0]?.available ?? 0;
}

async function fillCart(sku: string, quantity: number, price: number): Promise<void> {
  const params = { path: { sku } };
  const cart = given(await shop.PUT("/api/cart/items/{sku}", { params, body: { quantity } }), 200);
  same("the subtotal", cart.subtotal, quantity * price);
  same("the line's total", cart.items[0]?.lineTotal, quantity * price);
}

/** The order's id. A second try under the same key is the same order. */
async function checkout(sku: string, total: number): Promise<string> {
  const params = { header: { "Idempotency-Key": crypto.randomUUID() } };
  const body = { fromCart: true };
  const placed = given(await shop.POST("/api/orders", { params, body }), 201).order;
  same("the total", placed.total, total);
  same("the status", placed.status, "pending");
  same("the hold", placed.reservation.status, "active");
  const repeated = await shop.POST("/api/orders", { params, body });
  same("the repeated order", given(repeated, 201).order.id, placed.id);
  same("marked as repeated", repeated.response.headers.get("Idempotency-Replayed"), "true");
  const other = await shop.POST("/api/orders", { params, body: { items: [{ sku, quantity: 1 }] } });
  same("the key for something else", other.error?.code, "idempotency_key_reused");
  return placed.id;
}

async function pay(orderId: string): Promise<void> {
  const params = { path: { orderId }, header: { "Idempotency-Key": crypto.randomUUID() } };
  const paid = given(await shop.POST("/api/orders/{orderId}/pay", { params, body: { paymentMethod: "card" } }), 200);
  same("the status", paid.order.status, "paid");
  same("the hold", paid.order.reservation.status, "confirmed");
}

async function history(orderId: string): Promise<void> {
  const page = given(await shop.GET("/api/orders", { params: { query: { limit: 10, status: "paid" } } }), 200);
  same("the newest order", page.items[0]?.id, orderId);
  same("no further page", page.nextCursor, null);
  const one = given(await shop.GET("/api/orders/{orderId}", { params: { path: { orderId } } }), 200);
  same("its steps", one.order.history.map((step) => step.status).join(), "pending,paid");
}

/** More than there is: a refusal whose code and shortages are typed. */
async function buyTooMuch(sku: string): Promise<void> {
  const body = { items: [{ sku, quantity: 1_000_000 }] };
  const { error, response } = await shop.POST("/api/orders", { body });
  same("too much", response.status, 409);
  if (error?.code !== "insufficient_stock" || !("shortages" in error)) throw new Error(`refused as ${error?.code}`);
  same("what is short", error.shortages?.[0]?.sku, sku);
}

const QUANTITY = 2;
await register();
const { sku, price } = await find();
const before = await available(sku);
await fillCart(sku, QUANTITY, price);
const orderId = await checkout(sku, QUANTITY * price);
await pay(orderId);
await history(orderId);
await buyTooMuch(sku);
same("what is left", await available(sku), before - QUANTITY);
console.log(JSON.stringify({ requests, order: orderId }));
