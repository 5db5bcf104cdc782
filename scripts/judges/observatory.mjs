// MDN HTTP Observatory's own scorer on a running site over TLS: A+ everywhere, at least 135 for the API.
//
//   npm i --prefix DIR --ignore-scripts @mdn/mdn-http-observatory
//   JUDGES=DIR .venv/bin/python scripts/judges/site.py node scripts/judges/observatory.mjs
import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";

if (process.env.NODE_EXTRA_CA_CERTS !== process.env.SITE_CA) {
  // Node reads the authority to trust at its start only.
  const env = { ...process.env, NODE_EXTRA_CA_CERTS: process.env.SITE_CA };
  process.exit(spawnSync(process.execPath, process.argv.slice(1), { env, stdio: "inherit" }).status ?? 1);
}

const packageFolder = `${process.env.JUDGES}/node_modules/@mdn/mdn-http-observatory`;
const source = `${packageFolder}/src`;
const preloaded = `${packageFolder}/conf/hsts-preload.json`;
if (!existsSync(preloaded)) writeFileSync(preloaded, "{}"); // browsers' list, fetched by npm scripts; not for localhost
const { retrieve } = await import(`${source}/retriever/retriever.js`);
const { ALL_TESTS } = await import(`${source}/constants.js`);
const { getGradeForScore, getScoreModifier } = await import(`${source}/grader/grader.js`);
const { MINIMUM_SCORE_FOR_EXTRA_CREDIT } = await import(`${source}/grader/charts.js`);
const CLOSED_PORT = 9; // nothing of the site answers plain http
// An answer without a cookie can reach 130: the last five are for setting one the way it should be set.
const WANTED = { "/api/products/": 130, "/api/auth/csrf": 135, "/": 100, "/login": 100, "/docs": 100 };

async function judge(path) {
  const { hostname, port } = new URL(process.env.SITE_TLS_URL);
  const found = await retrieve(hostname, { httpsPort: Number(port), httpPort: CLOSED_PORT, path });
  const results = ALL_TESTS.map((test) => test(found)).filter((result) => result.result);
  const modifiers = results.map((result) => getScoreModifier(result.result));
  const sum = (numbers) => numbers.reduce((total, number) => total + number, 100);
  const base = sum(modifiers.filter((number) => number < 0));
  const score = base >= MINIMUM_SCORE_FOR_EXTRA_CREDIT ? sum(modifiers) : base;
  if (process.env.JUDGE_VERBOSE) console.log(results.map((result) => `${result.result} ${getScoreModifier(result.result)}`));
  const failed = results.filter((result) => !result.pass).map((result) => result.result);
  return { path, score, grade: getGradeForScore(score).grade, failed };
}

let short = 0;
for (const [path, wanted] of Object.entries(WANTED)) {
  const verdict = await judge(path);
  short += verdict.score < wanted || verdict.grade !== "A+";
  console.log(JSON.stringify({ ...verdict, wanted }));
}
process.exit(short ? 1 : 0);
