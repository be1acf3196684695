// A real OpenID Connect issuer for tests, on loopback: panva's oidc-provider, in memory, with its own pages for signing
// in and consent. Anybody signs in with any password; a name that begins with "op-" belongs to the group of operators.
//
// usage: node issuer.mjs '{"port": 0, "lifetime": 300, "redirects": ["http://127.0.0.1:8080/"]}'
// It prints its URL as a line of JSON, and ends when its standard input does. Each start makes new keys.

import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";

import Provider from "oidc-provider";

const { port = 0, lifetime = 300, redirects = ["http://127.0.0.1/"] } = JSON.parse(process.argv[2] ?? "{}");

const DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code";

function signingKey() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256" };
}

function account(name) {
  const groups = name.startsWith("op-") ? ["lab", "operators"] : ["lab"];
  return { accountId: name, claims: () => ({ sub: name, preferred_username: name, groups }) };
}

const configuration = {
  clients: [
    {
      client_id: "icefarm",
      token_endpoint_auth_method: "none",
      application_type: "native",
      grant_types: ["authorization_code", "refresh_token", DEVICE_CODE],
      response_types: ["code"],
      redirect_uris: redirects,
    },
  ],
  jwks: { keys: [signingKey()] },
  cookies: { keys: ["only for tests"] },
  claims: { openid: ["sub"], profile: ["preferred_username", "groups"], email: ["email"] },
  // As Keycloak does: claims are in ID tokens, and every client that may refresh gets a token for that.
  conformIdTokenClaims: false,
  issueRefreshToken: async (_, client) => client.grantTypeAllowed("refresh_token"),
  features: { deviceFlow: { enabled: true }, devInteractions: { enabled: true }, revocation: { enabled: true } },
  findAccount: (_, name) => account(name),
  clientBasedCORS: () => true,
  ttl: { IdToken: lifetime, AccessToken: lifetime },
};

const server = createServer();
server.listen(port, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  server.on("request", new Provider(issuer, configuration).callback());
  process.stdout.write(`${JSON.stringify({ issuer })}\n`);
});
process.stdin.on("end", () => process.exit(0)).resume();
