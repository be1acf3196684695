// Signing in at the lab's own issuer: the code flow with PKCE (RFC 7636), as a public client. Tokens stay in this tab.

import { signal } from "@preact/signals";
import { FarmError } from "./link.ts";

/** The farm's answer to `api/sign-in`, if it has an issuer. */
export interface Offer {
  readonly issuer: string;
  readonly client: string;
  readonly scope: string;
  /** Null while the farm has not reached the issuer. */
  readonly authorization_endpoint: string | null;
  readonly token_endpoint: string | null;
}

/** What this tab keeps while the reader is at the issuer. */
export interface Journey {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
  /** Where the reader was: the address behind the '#'. */
  readonly hash: string;
}

/** What the issuer gave. */
export interface Tokens {
  readonly id: string;
  readonly refresh: string | null;
}

/** The page's session at the farm, as far as tokens go. */
export interface TokenHolder {
  /** Sign in with a token. Rejects with a `FarmError`. */
  signIn(token: string): Promise<void>;
  /** Go on under a fresh token of the same account. */
  renew(token: string): Promise<void>;
}

interface Kept {
  readonly refresh: string;
  /** When the token is to be refreshed, in milliseconds since the epoch. */
  readonly due: number;
}

type Fields = Record<string, string>;

const JOURNEY = "icefarm.journey";
const KEPT = "icefarm.issuer";
/** The part of its life after which a token is refreshed, and the wait after a failure, in milliseconds. */
const PART = 0.6;
const AGAIN = 15_000;
/** The longest wait of a browser's timer, in milliseconds: with a longer one it fires at once. */
const LONGEST = 2 ** 31 - 1;

/** Where the issuer sends the reader back to, for a page at `base`. */
export function redirectUrl(base: string): string {
  return new URL(".", base).href.replace(/[?#].*$/, "");
}

/** Where to send the reader. */
export function authorizationUrl(
  offer: Offer,
  endpoint: string,
  base: string,
  journey: Journey,
  challenge: string,
): string {
  const url = new URL(endpoint);
  const fields: Fields = {
    response_type: "code",
    client_id: offer.client,
    redirect_uri: redirectUrl(base),
    scope: offer.scope,
    state: journey.state,
    nonce: journey.nonce,
    code_challenge: challenge,
    code_challenge_method: "S256",
  };
  for (const [name, value] of Object.entries(fields)) url.searchParams.set(name, value);
  return url.href;
}

/** Whether an address is one that an issuer sent the reader back with. */
export function isReturn(search: string): boolean {
  const query = new URLSearchParams(search);
  return query.has("state") && (query.has("code") || query.has("error"));
}

/** The code in the address that the issuer sent the reader back with. Throws a `FarmError`. */
export function codeOf(search: string, journey: Journey | null, issuer: string): string {
  const query = new URLSearchParams(search);
  if (journey === null || query.get("state") !== journey.state)
    throw new FarmError("not_authorized", "this tab did not begin that sign-in; sign in again");
  const from = query.get("iss");
  if (from !== null && from !== issuer) throw new FarmError("not_authorized", "that answer is of another issuer");
  const code = query.get("code");
  if (code === null)
    throw new FarmError("not_authorized", query.get("error_description") ?? query.get("error") ?? "refused");
  return code;
}

/** The claims of a token, which the farm verifies, not the page; empty if they can't be read. */
export function claimsOf(token: string): Record<string, unknown> {
  try {
    const part = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(part), (letter) => letter.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
  } catch {
    return {};
  }
}

/** Milliseconds from now to when a token is to be refreshed. */
export function renewal(token: string): number {
  const { iat, exp } = claimsOf(token);
  if (typeof iat !== "number" || typeof exp !== "number") return AGAIN;
  return Math.min(LONGEST, Math.max(1, exp - iat) * 1000 * PART);
}

/** The tokens in an answer of the token endpoint. Throws a `FarmError`. */
export function tokensOf(answer: Record<string, unknown>, nonce: string | null): Tokens {
  const { id_token: id, refresh_token: refresh } = answer;
  if (typeof id !== "string")
    throw new FarmError("not_authorized", String(answer.error_description ?? answer.error ?? "there is no ID token"));
  if (nonce !== null && claimsOf(id).nonce !== nonce)
    throw new FarmError("not_authorized", "that token is not for this sign-in; sign in again");
  return { id, refresh: typeof refresh === "string" ? refresh : null };
}

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}

function random(): string {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

async function challengeOf(verifier: string): Promise<string> {
  return base64url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
}

/** The issuer that this farm has, and the reader's sign-in there. */
export class IssuerSignIn {
  readonly offer = signal<Offer | null>(null);
  private readonly holder: TokenHolder;
  private timer: number | undefined;

  constructor(holder: TokenHolder) {
    this.holder = holder;
  }

  /** Whether the page may sign in there: browsers have what that takes only on pages that nobody can change. */
  get possible(): boolean {
    return window.isSecureContext && this.offer.value?.authorization_endpoint != null;
  }

  /** Ask the farm for its issuer, and go on with a sign-in there. Rejects with a `FarmError`. */
  async start(): Promise<void> {
    const returned = isReturn(window.location.search) ? window.location.search : null;
    const journey = JSON.parse(sessionStorage.getItem(JOURNEY) ?? "null") as Journey | null;
    if (returned !== null) {
      sessionStorage.removeItem(JOURNEY);
      // The code is of no use a second time, and nobody is to find it in the address.
      const place = window.location.pathname + (journey?.hash ?? "");
      window.history.replaceState(null, "", place);
      window.dispatchEvent(new PopStateEvent("popstate", { state: null }));
    }
    this.offer.value = await fetchOffer();
    if (returned !== null) await this.finish(returned, journey);
    else await this.resume();
  }

  /** Send the reader to the issuer. */
  async go(): Promise<void> {
    const offer = this.offer.value;
    if (offer?.authorization_endpoint == null) throw new FarmError("link_lost", "the issuer is out of reach");
    const journey = { state: random(), nonce: random(), verifier: random(), hash: window.location.hash };
    const challenge = await challengeOf(journey.verifier);
    sessionStorage.setItem(JOURNEY, JSON.stringify(journey));
    const { authorization_endpoint: endpoint } = offer;
    window.location.assign(authorizationUrl(offer, endpoint, document.baseURI, journey, challenge));
  }

  /** Forget what the issuer gave. */
  forget(): void {
    clearTimeout(this.timer);
    sessionStorage.removeItem(KEPT);
  }

  private async finish(search: string, journey: Journey | null): Promise<void> {
    const offer = this.offer.value;
    if (offer === null) throw new FarmError("link_lost", "the farm does not say where its issuer is; sign in again");
    const code = codeOf(search, journey, offer.issuer);
    const form = {
      grant_type: "authorization_code",
      code,
      redirect_uri: redirectUrl(document.baseURI),
      code_verifier: journey?.verifier ?? "",
    };
    const tokens = tokensOf(await this.ask(form), journey?.nonce ?? "");
    await this.holder.signIn(tokens.id);
    this.keep(tokens, null);
  }

  private keep({ id, refresh }: Tokens, before: string | null): void {
    const latest = refresh ?? before;
    if (latest === null) return;
    sessionStorage.setItem(KEPT, JSON.stringify({ refresh: latest, due: Date.now() + renewal(id) } satisfies Kept));
    this.wait(renewal(id));
  }

  private kept(): Kept | null {
    return JSON.parse(sessionStorage.getItem(KEPT) ?? "null") as Kept | null;
  }

  /** After a reload of the page. */
  private async resume(): Promise<void> {
    const kept = this.kept();
    if (kept === null) return;
    if (kept.due > Date.now()) {
      this.wait(kept.due - Date.now());
      return;
    }
    try {
      await this.refresh();
    } catch (failure) {
      this.wait(AGAIN);
      throw failure;
    }
  }

  private wait(milliseconds: number): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => {
      this.refresh().catch(() => this.wait(AGAIN));
    }, milliseconds);
  }

  private async refresh(): Promise<void> {
    const kept = this.kept();
    if (kept === null) return;
    // The farm, or its issuer, may have been out of reach when the page was opened.
    if (this.offer.value?.token_endpoint == null) this.offer.value = await fetchOffer();
    const answer = await this.ask({ grant_type: "refresh_token", refresh_token: kept.refresh });
    // The reader may have signed out meanwhile.
    if (this.kept()?.refresh !== kept.refresh) return;
    if (answer.error === "invalid_grant") {
      // The session ends when its token does; the farm then says that a sign-in is needed.
      this.forget();
      return;
    }
    const tokens = tokensOf(answer, null);
    // Before the farm answers: the issuer may take the old one no more.
    this.keep(tokens, kept.refresh);
    await this.holder.renew(tokens.id);
  }

  private async ask(fields: Fields): Promise<Record<string, unknown>> {
    const offer = this.offer.value;
    if (offer?.token_endpoint == null) throw new FarmError("link_lost", "the issuer is out of reach");
    const body = new URLSearchParams({ ...fields, client_id: offer.client });
    try {
      const answer = await fetch(offer.token_endpoint, { method: "POST", body, credentials: "omit" });
      return (await answer.json()) as Record<string, unknown>;
    } catch (failure) {
      throw new FarmError("link_lost", `the issuer did not answer: ${failure}`);
    }
  }
}

async function fetchOffer(): Promise<Offer | null> {
  try {
    const answer = await fetch(new URL("api/sign-in", document.baseURI));
    return answer.ok ? ((await answer.json()) as { oidc: Offer | null }).oidc : null;
  } catch {
    return null;
  }
}
