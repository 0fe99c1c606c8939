// One page that uses the real `next-auth/react`: every button is one call of its public functions, and what the call
// answered is shown as JSON, so that a test reads what an application would see.
import { useState } from "react";
import { createRoot } from "react-dom/client";
import { getProviders, SessionProvider, signIn, signOut, useSession } from "next-auth/react";

function Page() {
  const { data, status, update } = useSession();
  const [result, setResult] = useState("");
  const show = async (call) => setResult(JSON.stringify((await call) ?? null));
  const password = (event) => {
    event.preventDefault();
    const { username, password } = event.currentTarget.elements;
    show(signIn("credentials", { redirect: false, username: username.value, password: password.value }));
  };
  return (
    <main>
      <output id="status">{status}</output>
      <output id="name">{data?.user?.name ?? ""}</output>
      <pre id="session">{JSON.stringify(data ?? null)}</pre>
      <pre id="result">{result}</pre>
      <form onSubmit={password}>
        <input name="username" aria-label="Username" />
        <input name="password" type="password" aria-label="Password" />
        <button id="sign-in">Sign in</button>
      </form>
      <button id="sign-in-op" onClick={() => signIn("op", { callbackUrl: "/page?back=1" })}>Sign in with the provider</button>
      <button id="providers" onClick={() => show(getProviders())}>Providers</button>
      <button id="update" onClick={() => show(update({ name: "Grace" }))}>Update</button>
      <button id="sign-out" onClick={() => show(signOut({ redirect: false }))}>Sign out</button>
      <button id="sign-out-away" onClick={() => signOut({ callbackUrl: "/page?left=1" })}>Sign out and leave</button>
    </main>
  );
}

createRoot(document.getElementById("root")).render(
  <SessionProvider>
    <Page />
  </SessionProvider>,
);
