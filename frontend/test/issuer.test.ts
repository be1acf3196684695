import assert from "node:assert/strict";
import { test } from "node:test";

import {
  authorizationUrl,
  claimsOf,
  codeOf,
  isReturn,
  type Journey,
  type Offer,
  redirectUrl,
  renewal,
  tokensOf,
} from "../src/issuer.ts";

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

test("claims are text, not Latin letters only", () => {
  assert.deepEqual(claimsOf(tokenOf({ name: "Ada Čapek" })), { name: "Ada Čapek" });
  for (const token of ["", "a", "a.b.c", "a.!.c"]) assert.deepEqual(claimsOf(token), {});
});
