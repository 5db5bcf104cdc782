// The live page: it asks every second, and shows what it was told.
import { api, say, table } from "./shop.js";

const SECONDS = 120;
const rates = [];

function set(id, value) { document.getElementById(id).textContent = value; }

function draw(svg, html) { svg.replaceChildren(...new DOMParser().parseFromString(`<svg xmlns="http://www.w3.org/2000/svg">${html}</svg>`, "image/svg+xml").documentElement.childNodes); }

function lineChart(svg, values) {
  const top = Math.max(1, ...values);
  const points = values.map((value, i) => `${(i / (SECONDS - 1)) * 580 + 10},${140 - (value / top) * 120}`).join(" ");
  draw(svg, `<polyline class="line" points="${points}"/><text x="10" y="14">${Math.round(top)}/s</text>`);
}

function barChart(svg, bars) {
  const top = Math.max(1, ...bars.map((bar) => bar.count));
  const width = 580 / bars.length;
  draw(svg, bars.map((bar, i) => {
    const height = (bar.count / top) * 110, x = 10 + i * width;
    return `<rect class="bar" x="${x}" y="${135 - height}" width="${width - 8}" height="${height}"/><text x="${x}" y="152">${bar.fromMinutes}+ min</text><text x="${x}" y="${130 - height}">${bar.count}</text>`;
  }).join(""));
}

async function refresh() {
  const live = await api("GET", "/ops/live");
  rates.push(live.checkoutsPerSecond);
  if (rates.length > SECONDS) rates.shift();
  set("rate", live.checkoutsPerSecond.toFixed(1));
  set("holds", live.holds.reduce((sum, bar) => sum + bar.count, 0));
  set("overdue", live.overdueHolds);
  set("low", live.low);
  set("skus", live.skus);
  set("retries", live.ledger.retries);
  set("batch", live.ledger.batches ? (live.ledger.postings / live.ledger.batches).toFixed(1) : "–");
  lineChart(document.getElementById("rate-chart"), rates);
  barChart(document.getElementById("age-chart"), live.holds);
}

async function refreshLists() {
  const [low, alerts] = await Promise.all([api("GET", "/api/inventory/low-stock?limit=15"), api("GET", "/api/inventory/alerts?limit=15")]);
  document.getElementById("low-stock").replaceChildren(low.items.length ? table(["SKU", "Available", "On hand", "Reserved"], low.items.map((i) => [i.sku, i.available, i.onHand, i.reserved])) : "Nothing is low.");
  document.getElementById("alerts").replaceChildren(alerts.items.length ? table(["SKU", "Alert", "Since"], alerts.items.map((a) => [a.sku, a.kind.replaceAll("_", " "), new Date(a.raisedAt).toLocaleString()])) : "No open alerts.");
}

async function runJob(name) {
  const started = await api("POST", `/api/inventory/jobs/${name}`);
  for (let tries = 0; tries < 60; tries++) {
    const job = await api("GET", `/api/inventory/jobs/${started.jobId}`);
    document.getElementById("job").textContent = JSON.stringify(job, null, 2);
    if (job.status === "succeeded" || job.status === "failed") return;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

function every(seconds, work) {
  const again = () => work().catch((error) => say(error.message)).finally(() => setTimeout(again, seconds * 1000));
  again();
}

for (const button of document.querySelectorAll("[data-job]")) button.addEventListener("click", () => runJob(button.dataset.job).catch((error) => say(error.message)));
every(1, refresh);
every(3, refreshLists);
