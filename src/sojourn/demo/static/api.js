// The requests this page makes: NextAuth's endpoints, and what the demo adds to look inside the cookie.

let base = "/api/auth";

async function json(response) {
  const type = response.headers.get("content-type") ?? "";
  return type.includes("json") ? response.json() : {};
}

async function csrfToken() {
  const response = await fetch(`${base}/csrf`);
  return (await json(response)).csrfToken ?? "";
}

async function postForm(path, fields) {
  const body = new URLSearchParams({ ...fields, csrfToken: await csrfToken(), json: "true" });
  // NextAuth v4 answers in JSON for the field, Auth.js v5 for the header.
  return fetch(`${base}${path}`, { method: "POST", headers: { "x-auth-return-redirect": "1" }, body });
}

const REFUSALS = {
  CredentialsSignin: "That user name and password do not match. Check both and try again.",
  MissingCSRF: "The form had expired. Try again; cookies must be allowed for this site.",
};

export async function settings() {
  const answer = await json(await fetch("/demo/settings"));
  base = answer.basePath;
  return answer;
}

// Asks for the session as any page would: extends it when that is due. Null when nobody is signed in.
export async function useSession() {
  const response = await fetch(`${base}/session`, { headers: { accept: "application/json" } });
  if (!response.ok) throw new Error(`The server answered ${response.status}.`);
  const session = await json(response);
  return session?.user ? session : null;
}

// Looks into the cookie without using the session: nothing is extended. `refused` is the server's code.
export async function readClaims() {
  const asked = Date.now() / 1000;
  const response = await fetch("/demo/claims", { headers: { accept: "application/json" } });
  const answer = await json(response);
  const answered = Date.now() / 1000;
  if (response.status === 401) return { refused: answer.code ?? "session_invalid" };
  if (!response.ok) throw new Error(`The server answered ${response.status}.`);
  // The server told its time in whole seconds, somewhen between our asking and its answer.
  return { ...answer, offset: { least: answer.now - answered, most: answer.now + 1 - asked } };
}

export async function signInWithPassword(provider, username, password) {
  const fields = { username, password, callbackUrl: location.origin };
  const response = await postForm(`/callback/${provider}`, fields);
  if (response.status === 429) {
    return `Too many failed attempts. Wait ${response.headers.get("retry-after") ?? "some"} seconds, then try again.`;
  }
  const { url } = await json(response);
  const code = url && new URL(url, location.href).searchParams.get("error");
  if (response.ok && !code) return null;
  return REFUSALS[code] ?? `The server answered ${response.status}. Try again.`;
}

// Where the provider wants the browser to go.
export async function signInWithProvider(provider) {
  const response = await postForm(`/signin/${provider}`, { callbackUrl: location.origin });
  return (await json(response)).url;
}

export async function updateSession(data) {
  const body = JSON.stringify({ csrfToken: await csrfToken(), data });
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${base}/session`, { method: "POST", headers, body });
  if (!response.ok) throw new Error(`The server answered ${response.status}.`);
}

export async function signOut() {
  const response = await postForm("/signout", { callbackUrl: location.origin });
  if (!response.ok) throw new Error(`The server answered ${response.status}.`);
}
