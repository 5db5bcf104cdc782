// An order's page follows the order: what another tab, the payment or the end of the hold made of it.
import { once, pageAt, pause, say } from "./api.js";

const channel = new BroadcastChannel("orders");
const CHECK_MS = 2_000;
const CHECK_MAX_MS = 20_000;
const ENDED = "The hold has run out; paying takes what is left.";
let ticking;

const order = () => document.getElementById("order");

export function followOrder(actOn) {
  actOn({ pay: (form) => change(form, "pay", { paymentMethod: form.paymentMethod.value }), cancel: (form) => change(form, "cancel") });
  channel.addEventListener("message", ({ data }) => { if (data === order().dataset.order) refresh(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  addEventListener("pageshow", (event) => { if (event.persisted) refresh(); });
  begin();
}

function begin() {
  clearInterval(ticking);
  const face = order().querySelector(".countdown");
  if (face) countDown(face);
  if ("checking" in order().dataset) check();
}

async function change(form, verb, body) {
  const id = order().dataset.order;
  try {
    await once(`${verb}:${id}`, `/api/orders/${id}/${verb}`, body);
  } catch (error) {
    if (!error.status) throw error;
    await refresh();
    throw error;
  } finally {
    channel.postMessage(id);
  }
  await refresh();
}

// Takes over the order as the shop has it now. What can no longer be done is no longer offered.
async function refresh() {
  const now = (await pageAt(location.pathname + location.search).catch(() => null))?.getElementById("order");
  if (now === null) return;
  if (now === undefined) return location.reload();
  order().replaceWith(now);
  begin();
}

// The shop's clock counts, not the phone's: it said how many seconds are left.
function countDown(face) {
  const from = performance.now(), seconds = Number(face.dataset.seconds);
  const tick = () => {
    const left = Math.max(0, Math.ceil(seconds - (performance.now() - from) / 1000));
    face.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    if (left > 0) return;
    clearInterval(ticking);
    face.parentElement.textContent = ENDED;
    say(ENDED);
    pause(1_000).then(refresh);
  };
  ticking = setInterval(tick, 500);
  tick();
}

async function check() {
  const state = order();
  for (let wait = CHECK_MS; order() === state; wait = Math.min(wait * 1.5, CHECK_MAX_MS)) {
    await pause(wait);
    if (!document.hidden && order() === state) { await refresh(); return; }
  }
}
