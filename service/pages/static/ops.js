// The live page: it asks every second, and shows what it was told.
import { api, once, pageAt, pause, say } from "./api.js";
import { actOn } from "./shop.js";

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

// A list is replaced when it has changed, and not under the fingers of somebody who is about to press one of its buttons.
async function refreshLists() {
  const lists = document.getElementById("lists");
  if (document.hidden || lists.contains(document.activeElement)) return;
  await showLists();
}

async function showLists() {
  const lists = document.getElementById("lists"), now = (await pageAt("/ops/lists")).body;
  if (now.querySelector("#low-stock") && now.innerHTML !== lists.innerHTML) lists.replaceChildren(...now.childNodes);
}

async function runJob(name, place) {
  const started = await api("POST", `/api/inventory/jobs/${name}`);
  for (let tries = 0; tries < 60; tries++) {
    const job = await api("GET", `/api/inventory/jobs/${started.jobId}`);
    place.textContent = inWords(name, job);
    if (job.status === "succeeded" || job.status === "failed") return;
    await pause(500);
  }
  place.textContent = `${name} is still running.`;
}

function inWords(name, job) {
  const found = Object.entries(job.result ?? {}).map(([what, count]) => `${what} ${count}`).join(", ");
  if (job.status === "failed") return `${name} failed: ${job.error}`;
  return job.status === "succeeded" ? `${name} is done${found ? `: ${found}` : ""}.` : `${name} is ${job.status}…`;
}

actOn({
  async receive(form) {
    const sku = form.sku.value.trim(), quantity = Number(form.quantity.value);
    await once("receive", "/api/inventory/receive", { lines: [{ sku, quantity }] });
    say(`${quantity} units of ${sku} received.`, form.querySelector(".said"));
    await showLists();
  },
  async job(form) { await runJob(form.dataset.job, document.getElementById("job")); },
  async acknowledge(form) { await api("POST", `/api/inventory/alerts/${form.dataset.alert}/acknowledge`); await showLists(); },
});

function every(seconds, work) {
  const again = () => (document.hidden ? Promise.resolve() : work()).catch((error) => say(error.message)).finally(() => setTimeout(again, seconds * 1000));
  again();
}

every(1, refresh);
every(3, refreshLists);
