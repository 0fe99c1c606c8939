// npm `@auth/pg-adapter` on a database that it is told, and a whole Auth.js with database sessions over it: one JSON
// object a line in, one a line out, in order.
import { createInterface } from "node:readline";
import { Auth } from "@auth/core";
import PostgresAdapter from "@auth/pg-adapter";
import pg from "pg";

const quiet = { debug() {}, warn() {}, error() {} };
const pools = new Map();

function poolOf(url) {
  if (!pools.has(url)) {
    pools.set(url, new pg.Pool({ connectionString: url, max: 5 }));
  }
  return pools.get(url);
}

// JSON has no dates, the adapter's times are nothing else.
const times = new Set(["expires", "emailVerified"]);
const revived = (name, value) => (times.has(name) && typeof value === "string" ? new Date(value) : value);

async function answer({ url, action, cookie, maxAge, updateAge }) {
  const request = new Request(`http://localhost:3000/api/auth/${action}`, { headers: { cookie } });
  const response = await Auth(request, {
    adapter: PostgresAdapter(poolOf(url)),
    basePath: "/api/auth",
    providers: [],
    secret: "a secret that this process alone needs",
    session: { strategy: "database", maxAge, updateAge },
    trustHost: true,
    logger: quiet,
  });
  return { body: await response.json(), cookies: response.headers.getSetCookie() };
}

async function close({ url }) {
  await poolOf(url).end();
  pools.delete(url);
}

for await (const line of createInterface({ input: process.stdin })) {
  const { op, url, args, ...input } = JSON.parse(line, revived);
  let told;
  try {
    const call = { answer, close }[op] ?? (() => PostgresAdapter(poolOf(url))[op](...args));
    told = { ok: true, result: (await call({ url, ...input })) ?? null };
  } catch (error) {
    told = { ok: false, error: String(error?.message ?? error) };
  }
  process.stdout.write(`${JSON.stringify(told)}\n`);
}
