// The certified OpenID provider of npm `oidc-provider` as a process: prints one JSON line when it is ready.
//
//   node oidc-provider.mjs '{"port": 0, "clients": [{"client_id": "…", "client_secret": "…", "redirect_uris": ["…"]}]}'
//
// More clients come in while it runs through dynamic registration (RFC 7591) at POST /reg. Any login name signs in on a
// page without script. A name that starts with `unverified` has an unproven address; `email:<address>` picks the address.
import { createServer } from "node:http";
import { exportJWK, generateKeyPair } from "jose";
import Provider from "oidc-provider";

const settings = JSON.parse(process.argv[2] ?? "{}");

async function privateKey(algorithm) {
  const { privateKey } = await generateKeyPair(algorithm, { extractable: true });
  return { ...(await exportJWK(privateKey)), alg: algorithm, use: "sig" };
}

function claimsOf(login) {
  const named = login.startsWith("email:");
  const email = named ? login.slice("email:".length) : `${login}@op.example`;
  const name = login.charAt(0).toUpperCase() + login.slice(1);
  return { sub: login, name, preferred_username: login, email, email_verified: !login.startsWith("unverified") };
}

function page(uid) {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Identity provider</title>
<form method="post" action="/interaction/${uid}"><label>Login <input name="login" required autofocus></label>
<button type="submit">Continue</button><button type="submit" name="cancel" value="1" formnovalidate>Cancel</button></form></html>`;
}

async function readForm(request) {
  let text = "";
  for await (const chunk of request) text += chunk;
  return new URLSearchParams(text);
}

async function interact(provider, request, response) {
  const { uid } = await provider.interactionDetails(request, response);
  if (request.method === "GET") {
    response.setHeader("content-type", "text/html; charset=utf-8");
    return response.end(page(uid));
  }
  const form = await readForm(request);
  const result = form.has("cancel")
    ? { error: "access_denied", error_description: "the person went back" }
    : { login: { accountId: form.get("login") }, consent: {} };
  return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}

// Nobody is asked for consent: the grant is made from what the client requests.
async function grantEverything(ctx) {
  const { client, session } = ctx.oidc;
  const grant = new ctx.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope([...ctx.oidc.requestParamScopes].join(" "));
  await grant.save();
  return grant;
}

const server = createServer();
server.listen(settings.port ?? 0, "127.0.0.1", async () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: settings.clients ?? [],
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "preferred_username"] },
    conformIdTokenClaims: settings.conformIdTokenClaims ?? true,
    cookies: { keys: ["a key for the cookies of a provider in tests"] },
    features: {
      devInteractions: { enabled: false },
      registration: { enabled: true, initialAccessToken: false },
      rpInitiatedLogout: { enabled: true },
    },
    findAccount: (_ctx, id) => ({ accountId: id, claims: () => claimsOf(id) }),
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    jwks: { keys: [await privateKey("RS256"), await privateKey("ES256")] },
    loadExistingGrant: grantEverything,
    pkce: { required: () => true },
    rotateRefreshToken: true,
    scopes: ["openid", "offline_access", "email", "profile"],
    ttl: { AccessToken: 3600, AuthorizationCode: 60, Grant: 3600, IdToken: 3600, Interaction: 600, Session: 3600 },
  });
  const answer = provider.callback();
  server.on("request", (request, response) => {
    if (!request.url.startsWith("/interaction/")) return answer(request, response);
    return interact(provider, request, response).catch((error) => {
      response.statusCode = 400;
      response.end(String(error.message));
    });
  });
  process.stdout.write(`${JSON.stringify({ ready: true, issuer })}\n`);
});
