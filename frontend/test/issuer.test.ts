import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";

import {
  authorizationUrl,
  claimsOf,
  codeOf,
  IssuerSignIn,
  isReturn,
  type Journey,
  type Offer,
  redirectUrl,
  renewal,
  tokensOf,
} from "../src/issuer.ts";
import { openWindow } from "./browser.ts";

const OFFER: Offer = {
  issuer: "https://sign-in.example",
  client: "icefarm",
  scope: "openid profile",
  authorization_endpoint: "https://sign-in.example/auth?tenant=lab",
  token_endpoint: "https://sign-in.example/token",
};
const JOURNEY: Journey = { state: "s", nonce: "n", verifier: "v", hash: "#/queue" };

function tokenOf(claims: object): string {
  return ["{}", JSON.stringify(claims), "x"].map((part) => Buffer.from(part).toString("base64url")).join(".");
}

test("the reader is sent to the issuer with state, nonce and challenge, and without the verifier", () => {
  const base = "https://farm.example/lab/?x=1#/boards";
  const url = new URL(authorizationUrl(OFFER, OFFER.authorization_endpoint ?? "", base, JOURNEY, "c"));
  assert.equal(url.origin, "https://sign-in.example");
  assert.deepEqual(Object.fromEntries(url.searchParams), {
    tenant: "lab",
    response_type: "code",
    client_id: "icefarm",
    redirect_uri: "https://farm.example/lab/",
    scope: "openid profile",
    state: "s",
    nonce: "n",
    code_challenge: "c",
    code_challenge_method: "S256",
  });
  assert.equal(redirectUrl("http://127.0.0.1:8080/?code=1"), "http://127.0.0.1:8080/");
});

test("an answer is taken only for the sign-in that this tab began, and only of the farm's issuer", () => {
  assert.equal(codeOf("?code=c&state=s", JOURNEY, OFFER.issuer), "c");
  assert.equal(codeOf(`?code=c&state=s&iss=${OFFER.issuer}`, JOURNEY, OFFER.issuer), "c");
  for (const search of ["?code=c&state=other", "?code=c", "?code=c&state=s&iss=https://other.example"])
    assert.throws(() => codeOf(search, JOURNEY, OFFER.issuer), { name: "not_authorized" });
  assert.throws(() => codeOf("?code=c&state=s", null, OFFER.issuer), { name: "not_authorized" });
  assert.throws(() => codeOf("?error=access_denied&state=s", JOURNEY, OFFER.issuer), /access_denied/);
});

test("other addresses are left alone", () => {
  assert.ok(isReturn("?code=c&state=s"));
  assert.ok(isReturn("?error=access_denied&state=s"));
  for (const search of ["", "?code=c", "?state=s", "?x=1"]) assert.ok(!isReturn(search));
});

test("a token without this sign-in's nonce is refused", () => {
  const id = tokenOf({ nonce: "n", sub: "ada" });
  assert.deepEqual(tokensOf({ id_token: id, refresh_token: "r" }, "n"), { id, refresh: "r" });
  assert.deepEqual(tokensOf({ id_token: id }, null), { id, refresh: null });
  assert.throws(() => tokensOf({ id_token: id }, "other"), { name: "not_authorized" });
  assert.throws(() => tokensOf({ id_token: tokenOf({}) }, "n"), { name: "not_authorized" });
  assert.throws(() => tokensOf({ error: "invalid_grant" }, "n"), /invalid_grant/);
});

test("a token is refreshed before its end, by its own times", () => {
  const life = renewal(tokenOf({ iat: 1000, exp: 1300 }));
  assert.ok(life > 60_000 && life < 290_000);
  assert.ok(renewal("nonsense") > 0);
});

test("a token of a long life is not refreshed at once", () => {
  const life = renewal(tokenOf({ iat: 0, exp: 10 * 365 * 86400 }));
  assert.ok(life > 20 * 86400 * 1000 && life < 2 ** 31);
});

const KEPT = "icefarm.issuer";
const FRESH = tokenOf({ iat: 0, exp: 1000 });
const settled = () => new Promise((resolve) => setImmediate(resolve));

/** A tab whose token is to be refreshed, and an issuer that answers while it is there. */
class Tab {
  there = true;
  readonly renewed: string[] = [];
  readonly issuer = new IssuerSignIn({ signIn: async () => {}, renew: (token) => this.renew(token) });
  answer: Promise<object> = Promise.resolve({ id_token: FRESH, refresh_token: "second" });

  constructor({ mock }: TestContext) {
    openWindow();
    mock.timers.enable({ apis: ["setTimeout", "Date"] });
    mock.method(globalThis, "fetch", (url: URL | string) => this.fetch(String(url)));
    sessionStorage.setItem(KEPT, JSON.stringify({ refresh: "first", due: 0 }));
  }

  get refresh(): string | null {
    return JSON.parse(sessionStorage.getItem(KEPT) ?? "{}").refresh ?? null;
  }

  /** The farm does not answer. */
  private renew(token: string): Promise<void> {
    this.renewed.push(token);
    return new Promise(() => {});
  }

  private async fetch(url: string): Promise<object> {
    if (!this.there) throw new Error("out of reach");
    const answer = url === OFFER.token_endpoint ? await this.answer : { oidc: OFFER };
    return { ok: true, json: async () => answer };
  }
}

test("a fresh token is taken when the page is opened, and its refresh token is kept before the farm has answered", async (context) => {
  const tab = new Tab(context);
  tab.issuer.start();
  await settled();
  assert.deepEqual(tab.renewed, [FRESH]);
  assert.equal(tab.refresh, "second");
});

test("a refresh that fails when the page is opened is said, and tried again with what the farm then offers", async (context) => {
  const tab = new Tab(context);
  tab.there = false;
  await assert.rejects(tab.issuer.start(), { name: "link_lost" });
  tab.there = true;
  context.mock.timers.tick(15_000);
  await settled();
  assert.deepEqual(tab.renewed, [FRESH]);
});

test("a reader who signs out while a token is refreshed stays signed out", async (context) => {
  const tab = new Tab(context);
  let answered = (_: object) => {};
  tab.answer = new Promise((resolve) => {
    answered = resolve;
  });
  const started = tab.issuer.start();
  await settled();
  tab.issuer.forget();
  answered({ id_token: FRESH, refresh_token: "second" });
  await started;
  assert.deepEqual(tab.renewed, []);
  assert.equal(tab.refresh, null);
});

test("claims are text, not Latin letters only", () => {
  assert.deepEqual(claimsOf(tokenOf({ name: "Ada Čapek" })), { name: "Ada Čapek" });
  for (const token of ["", "a", "a.b.c", "a.!.c"]) assert.deepEqual(claimsOf(token), {});
});
