// Who this page is at the farm. A token stays in this tab (session storage), and goes when the tab is closed.

const KEY = "icefarm.session";

export type Role = "client" | "operator";

export interface Credentials {
  readonly name: string;
  readonly instance: string;
  readonly role: Role;
  /** The token; empty for a client without one. */
  readonly ticket: string;
}

interface Kept {
  readonly role: Role;
  readonly ticket: string;
}

/** The credentials of this tab: as kept, or those of a client without a token. */
export function keptCredentials(storage: Storage): Credentials {
  const kept = parsed(storage.getItem(KEY));
  const one = randomName();
  return { name: `dashboard-${one}`, instance: one, role: kept?.role ?? "client", ticket: kept?.ticket ?? "" };
}

/** What was kept; null if it is no longer what was written. */
function parsed(text: string | null): Kept | null {
  try {
    return JSON.parse(text ?? "null") as Kept | null;
  } catch {
    return null;
  }
}

/** Sign in with this token from now on. */
export function keepToken(storage: Storage, role: Role, ticket: string): void {
  storage.setItem(KEY, JSON.stringify({ role, ticket }));
}

export function forgetToken(storage: Storage): void {
  storage.removeItem(KEY);
}

function randomName(): string {
  return [...crypto.getRandomValues(new Uint8Array(6))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
