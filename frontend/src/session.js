// Who this page is at the farm. A token stays in this tab (session storage), and goes when the tab is closed.

const KEY = "icefarm.session";
const random = () => [...crypto.getRandomValues(new Uint8Array(6))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** The credentials of this tab: as kept, or those of a client without a token. */
export function credentials() {
  const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
  const one = random();
  return { name: `dashboard-${one}`, instance: one, role: kept?.role ?? "client", ticket: kept?.ticket ?? "" };
}

/** Sign in with this token from now on. */
export function keep(role, ticket) {
  sessionStorage.setItem(KEY, JSON.stringify({ role, ticket }));
}

/** Forget the token. */
export function forget() {
  sessionStorage.removeItem(KEY);
}
