// The token functions and the whole servers of npm `next-auth` 4 and `@auth/core`: one JSON object a line in, one a line
// out, in order.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { Auth } from "@auth/core";
import * as v5 from "@auth/core/jwt";

const require = createRequire(import.meta.url);
const v4 = require("next-auth/jwt");
// Neither package exports how it splits a long token over cookies, nor does next-auth its server without Next.
const beside = (name, file) => require.resolve(name).replace(/[^/]+\/[^/]+$/, file);
const v4Cookies = require(beside("next-auth/jwt", "core/lib/cookie.js"));
const { AuthHandler } = require(beside("next-auth/jwt", "core/index.js"));
const v5Cookies = await import(pathToFileURL(require.resolve("@auth/core/jwt").replace("jwt.js", "lib/utils/cookie.js")));

const quiet = { debug() {}, warn() {}, error() {} };

function split(cookies, { name, token, had = {} }) {
  const option = { name, options: { path: "/" } };
  const store =
    cookies === v4Cookies ? new cookies.SessionStore(option, { cookies: had }, quiet) : new cookies.SessionStore(option, had, quiet);
  return store.chunk(token, {}).map(({ name, value }) => [name, value]);
}

const jar = (header) => Object.fromEntries(header.split("; ").map((pair) => pair.split(/=(.*)/s, 2)));

async function v4Answer({ action, cookie, secret, origin }) {
  process.env.NEXTAUTH_URL = origin;
  const request = { action, method: "GET", cookies: jar(cookie), headers: { cookie }, query: {}, origin };
  const { body, cookies = [] } = await AuthHandler({ req: request, options: { secret, providers: [], logger: quiet } });
  return { body, cookies: cookies.map(({ name, value }) => [name, value]) };
}

async function v5Answer({ action, cookie, secret, origin }) {
  const request = new Request(`${origin}/api/auth/${action}`, { headers: { cookie } });
  const options = { basePath: "/api/auth", providers: [], secret, trustHost: true, logger: quiet };
  const answer = await Auth(request, options);
  const cookies = answer.headers.getSetCookie().map((line) => line.split(";")[0].split(/=(.*)/s, 2));
  return { body: await answer.json(), cookies };
}

const operations = {
  "v4.answer": v4Answer,
  "v5.answer": v5Answer,
  "v4.encode": ({ claims, secret, maxAge }) => v4.encode({ token: claims, secret, maxAge }),
  "v4.decode": ({ token, secret }) => v4.decode({ token, secret }),
  "v4.getToken": ({ cookie, secret, cookieName }) =>
    v4.getToken({ req: { headers: { cookie }, cookies: jar(cookie) }, secret, cookieName, logger: quiet }),
  "v4.split": (input) => split(v4Cookies, input),
  "v5.encode": ({ claims, secret, salt, maxAge }) => v5.encode({ token: claims, secret, salt, maxAge }),
  "v5.decode": ({ token, secret, salt }) => v5.decode({ token, secret, salt }),
  "v5.getToken": ({ cookie, secret, cookieName, secureCookie }) =>
    v5.getToken({ req: { headers: new Headers({ cookie }) }, secret, cookieName, secureCookie, logger: quiet }),
  "v5.split": (input) => split(v5Cookies, input),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { op, ...input } = JSON.parse(line);
  let answer;
  try {
    answer = { ok: true, result: (await operations[op](input)) ?? null };
  } catch (error) {
    answer = { ok: false, error: String(error?.message ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
