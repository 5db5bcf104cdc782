// MDN HTTP Observatory's own scorer on a running site over TLS: A+ for every GET of the API and every page.
//
//   npm i --prefix DIR --ignore-scripts @mdn/mdn-http-observatory
//   python3 -m pip install --target DIR/python hstspreload
//   JUDGES=DIR .venv/bin/python scripts/conformance/site.py node scripts/conformance/observatory.mjs
//
// The site is judged under a host name that browsers only ever reach over TLS, as a shop's should be: one below a
// top-level domain on their preload list (hstspreload is that list), which here leads to this machine and nowhere else.
// Another shop asks for its own name: the service's header says `preload`. Judged as localhost, all scores are 5 less.
// The scorer's maximum is 145, and each line says under `missed` what it did not give. Two rewards, of 5 each, are not
// for every answer: `cookies` is for setting a cookie the way it should be set, `subresource-integrity` for scripts in
// HTML. So an answer in JSON can reach 140 if it sets a cookie, 135 if it sets none, and that is what is wanted here.
import { spawnSync } from "node:child_process";
import dns from "node:dns";
import { writeFileSync } from "node:fs";

if (process.env.NODE_EXTRA_CA_CERTS !== process.env.SITE_CA) {
  // Node reads the authority to trust at its start only.
  const env = { ...process.env, NODE_EXTRA_CA_CERTS: process.env.SITE_CA };
  process.exit(spawnSync(process.execPath, process.argv.slice(1), { env, stdio: "inherit" }).status ?? 1);
}

const packageFolder = `${process.env.JUDGES}/node_modules/@mdn/mdn-http-observatory`;
const source = `${packageFolder}/src`;
const preloaded = `${packageFolder}/conf/hsts-preload.json`;
const { hostname } = new URL(process.env.SITE_NAMED_URL);
if (!isPreloaded(hostname)) throw new Error(`${hostname} is not on the browsers' preload list`);
// What the scorer's own npm script fetches, as far as it is about this name.
writeFileSync(preloaded, JSON.stringify({ [hostname]: { mode: "force-https", includeSubDomains: true } }));
const lookUp = dns.lookup;
dns.lookup = (name, ...rest) => lookUp(name === hostname ? "127.0.0.1" : name, ...rest);
const { retrieve } = await import(`${source}/retriever/retriever.js`);
const { ALL_TESTS } = await import(`${source}/constants.js`);
const { getGradeForScore, getScoreModifier } = await import(`${source}/grader/grader.js`);
const { MINIMUM_SCORE_FOR_EXTRA_CREDIT } = await import(`${source}/grader/charts.js`);
const CLOSED_PORT = 9; // nothing of the site answers plain http
const ENDLESS = "/api/inventory/stream";
const PAGES = ["/", "/login", "/cart", "/orders", "/docs", "/no-such-page"];
const WITHOUT_COOKIE = 135;
const WITH_COOKIE = 140;

/** Asks the published list, not ourselves. */
function isPreloaded(name) {
  const ask = "import sys, hstspreload; sys.exit(not hstspreload.in_hsts_preload(sys.argv[1]))";
  const env = { ...process.env, PYTHONPATH: `${process.env.JUDGES}/python` };
  return spawnSync("python3", ["-c", ask, name], { env }).status === 0;
}

async function apiPaths() {
  const document = await (await fetch(`${process.env.SITE_URL}/openapi.json`)).json();
  const gets = Object.entries(document.paths).filter(([path, methods]) => methods.get && path !== ENDLESS);
  return gets.map(([path]) => path.replace(/\{\w+\}/g, "tea"));
}

async function judge(path) {
  const { port } = new URL(process.env.SITE_NAMED_URL);
  const found = await retrieve(hostname, { httpsPort: Number(port), httpPort: CLOSED_PORT, path });
  const results = ALL_TESTS.map((test) => test(found)).filter((result) => result.result);
  const modifiers = results.map((result) => getScoreModifier(result.result));
  const sum = (numbers) => numbers.reduce((total, number) => total + number, 100);
  const base = sum(modifiers.filter((number) => number < 0));
  const score = base >= MINIMUM_SCORE_FOR_EXTRA_CREDIT ? sum(modifiers) : base;
  const setsCookie = results.every((result) => result.result !== "cookies-not-found");
  const wanted = setsCookie ? WITH_COOKIE : WITHOUT_COOKIE;
  const failed = results.filter((result) => !result.pass).map((result) => result.result);
  const status = found.responses.auto.status;
  return { path, status, score, grade: getGradeForScore(score).grade, wanted, failed, missed: missed(results) };
}

/** By test, what its best result would have given beyond what it gave. */
function missed(results) {
  const beyond = ({ constructor, result }) =>
    Math.max(...constructor.possibleResults.map(getScoreModifier)) - getScoreModifier(result);
  return Object.fromEntries(results.map((one) => [one.constructor.name, beyond(one)]).filter(([, more]) => more > 0));
}

const verdicts = [];
for (const path of [...(await apiPaths()), ...PAGES]) {
  verdicts.push(await judge(path));
  console.log(JSON.stringify(verdicts.at(-1)));
}
const short = verdicts.filter((one) => one.score < one.wanted || one.grade !== "A+" || one.failed.length);
const withCookie = verdicts.filter((one) => one.wanted === WITH_COOKIE).length;
console.log(JSON.stringify({ judged: verdicts.length, withCookie, short: short.map((one) => one.path) }));
process.exit(short.length || !withCookie ? 1 : 0);
