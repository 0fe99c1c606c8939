// Shows one session as it runs. Everything shown comes from the server; this page only keeps the time between answers.

import * as api from "./api.js";
import { Timeline, clockTime, divide, duration, shares } from "./timeline.js";

const byId = (id) => document.getElementById(id);
const timeline = new Timeline();
const TIMES = new Set(["iat", "exp", "auth_time"]);
const SHORTENED = new Set(["sid", "jti", "sub"]);
const ORDER = ["sub", "username", "name", "email", "picture", "isSponsor", "iat", "exp", "auth_time", "sid", "jti"];
const LOG_LENGTH = 40;

let settings;
let claims = null;
let policy = null;
let phase = "fresh";
let offset = null;
let ended = false;
let polling = 0;
let ticking = 0;

const serverNow = () => Date.now() / 1000 + (offset ?? 0);

function log(kind, title, detail = "") {
  const entry = document.createElement("li");
  entry.className = kind;
  const when = document.createElement("time");
  when.textContent = clockTime(serverNow());
  const what = document.createElement("b");
  what.textContent = title;
  const more = document.createElement("span");
  more.textContent = detail;
  entry.append(when, what, more);
  byId("log").prepend(entry);
  while (byId("log").children.length > LOG_LENGTH) byId("log").lastElementChild.remove();
}

function complain(id, message) {
  byId(id).textContent = message ?? "";
  byId(id).hidden = !message;
}

function showPerson() {
  const shown = claims.name || claims.username || claims.email || "Somebody";
  byId("name").textContent = shown;
  byId("email").textContent = claims.email ?? "";
  byId("username-badge").textContent = claims.username ? `@${claims.username}` : "";
  byId("sponsor").hidden = !claims.isSponsor;
  byId("avatar").textContent = (shown.match(/\b\p{L}/gu) ?? []).slice(0, 2).join("").toUpperCase();
  byId("who").textContent = shown;
  byId("who").hidden = false;
}

function showClaims(changed) {
  const rows = ORDER.filter((name) => claims[name] !== undefined && claims[name] !== null).flatMap((name) => {
    const term = document.createElement("dt");
    term.textContent = name;
    const value = document.createElement("dd");
    const text = String(claims[name]);
    value.textContent = SHORTENED.has(name) && text.length > 18 ? `${text.slice(0, 8)}…${text.slice(-4)}` : text;
    if (SHORTENED.has(name)) value.title = text;
    if (TIMES.has(name)) {
      const readable = document.createElement("span");
      readable.textContent = clockTime(claims[name]);
      value.append(readable);
    }
    value.classList.toggle("changed", changed.has(name));
    return [term, value];
  });
  byId("claims").replaceChildren(...rows);
}

// Takes over what the cookie holds now; says in the log what became of it. True when a new cookie was issued.
function take(answer, reason) {
  const before = claims;
  claims = answer.claims;
  policy = answer.policy;
  const { least, most } = answer.offset;
  offset = Math.min(Math.max(offset ?? (least + most) / 2, least), most);
  const reissued = before !== null && before.sid === claims.sid && before.jti !== claims.jti;
  const changed = new Set(reissued ? ORDER.filter((name) => before[name] !== claims[name]) : []);
  timeline.show(claims, policy, reissued);
  if (before === null || reissued) phase = timeline.tick(serverNow());
  showPerson();
  showClaims(changed);
  if (before === null || before.sid !== claims.sid) {
    byId("display-name").value = claims.name ?? "";
    log("started", "Session started", `It expires at ${clockTime(claims.exp)}.`);
  } else if (reissued) {
    const title = reason === "update" ? "Updated" : "Refreshed";
    const gained = claims.exp > before.exp ? `, ${duration(claims.exp - before.exp)} later than before` : "";
    log("refreshed", title, `Cookie re-issued: it expires at ${clockTime(claims.exp)}${gained}.`);
  } else if (reason === "asked") {
    log("kept", "Kept", "Still fresh, so the cookie stayed as it is.");
  }
}

function finish(title, explanation) {
  if (ended || claims === null) return;
  ended = true;
  stop();
  byId("who").hidden = true;
  timeline.end(title, explanation);
  log("ended", title, explanation);
  disableControls();
  byId("sign-in-again").focus();
}

function disableControls() {
  for (const id of ["refresh", "sign-out", "auto", "display-name"]) byId(id).disabled = true;
  byId("update-form").querySelector("button").disabled = true;
}

function endedBy(code) {
  if (code === "session_ended") return finish("Ended", "It was ended elsewhere: in another tab, or by an operator.");
  if (code === "session_missing" && timeline.phase(serverNow()) !== "over") {
    return finish("Ended", "Its cookie is gone: it was signed out in another tab.");
  }
  if (claims.exp >= (claims.auth_time || claims.iat) + policy.absoluteAge) {
    return finish("Ended", "It reached its absolute age, which no refresh passes.");
  }
  return finish("Ended", "It expired, and its grace period passed without a use.");
}

// One look, or one use: asks the server and shows the answer.
async function look({ use, reason = "" }) {
  const session = use ? await api.useSession() : undefined;
  if (session === null && claims === null) return show("welcome");
  const answer = await api.readClaims();
  if (!answer.refused) return take(answer, reason);
  if (claims === null) return show("welcome");
  const inGrace = answer.refused === "session_expired" && timeline.phase(serverNow()) !== "over";
  if (session === null || !inGrace) endedBy(answer.refused);
}

async function attempt(work) {
  try {
    await work();
    complain("action-error", null);
  } catch (error) {
    const words = error instanceof TypeError ? "The server does not answer. Is it still running?" : error.message;
    complain(claims === null ? "signin-error" : "action-error", words);
    if (claims === null) show("welcome");
  }
}

function start() {
  stop();
  if (ended || claims === null) return;
  const pause = policy.maxAge <= 600 ? 4000 : 30000;
  polling = setInterval(poll, pause);
  ticking = setInterval(tick, 1000);
  tick();
}

function poll() {
  const use = byId("auto").checked;
  // An expired cookie shows nothing to a look; only a use, or the end, brings news.
  if (use || phase !== "grace") attempt(() => look({ use }));
}

function tick() {
  const before = phase;
  phase = timeline.tick(serverNow());
  if (before === "due" && phase === "grace") log("expired", "Expired", "In its grace period, the next use still renews it.");
  if (before === "grace" && phase === "over") attempt(() => look({ use: false }));
}

function stop() {
  clearInterval(polling);
  clearInterval(ticking);
}

function show(name) {
  byId("welcome").hidden = name !== "welcome";
  byId("live").hidden = name !== "live";
}

async function enter() {
  await look({ use: true });
  if (claims === null) return;
  show("live");
  start();
}

function prepareSignIn() {
  const { username, password } = settings.demoUser;
  const { maxAge, updateAge, gracePeriod, absoluteAge } = settings.policy;
  byId("durations").textContent =
    `Here a token lives ${duration(maxAge)}, is renewed when used after ${duration(updateAge)}, has ${duration(gracePeriod)} ` +
    `of grace, and no session outlives ${duration(absoluteAge)}.`;
  divide(byId("preview"), shares([0, updateAge, maxAge, maxAge + gracePeriod]));
  byId("username").value = username;
  byId("password").value = password;
  byId("demo-user").textContent = `Demo user: ${username}, password: ${password}`;
  const credentials = settings.providers.find((provider) => provider.type === "credentials");
  byId("password-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = new FormData(event.target);
    const refusal = await api
      .signInWithPassword(credentials.id, fields.get("username"), fields.get("password"))
      .catch(() => "The server does not answer. Is it still running?");
    complain("signin-error", refusal);
    if (!refusal) await attempt(enter);
  });
  for (const provider of settings.providers.filter((one) => one.type !== "credentials")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button";
    button.textContent = `Sign in with ${provider.name}`;
    button.addEventListener("click", async () => {
      const url = await api.signInWithProvider(provider.id).catch(() => null);
      if (url) location.assign(url);
      else complain("signin-error", "The provider does not answer. Try again.");
    });
    byId("provider-buttons").append(button);
  }
}

byId("refresh").addEventListener("click", () => attempt(() => look({ use: true, reason: "asked" })));
byId("sign-in-again").addEventListener("click", () => location.reload());
byId("sign-out").addEventListener("click", () =>
  attempt(async () => {
    await api.signOut();
    finish("Signed out", "You signed out, and the cookie is deleted. Copies of it open nothing any more.");
  }),
);
byId("update-form").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    await api.updateSession({ name: byId("display-name").value });
    await look({ use: false, reason: "update" });
  });
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return stop();
  if (!ended && claims !== null) {
    start();
    poll();
  }
});

settings = await api.settings();
prepareSignIn();
await attempt(enter);
