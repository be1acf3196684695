// Pure: identities of clients: an account, and perhaps a name within it after a `/`.

/** The account of an identity: what is before the first `/`. */
export function accountOf(identity: string | null): string {
  return identity?.split("/")[0] ?? "";
}

/** Tell whether a client is of an account. */
export function isOfAccount(account: string, client: string | null): boolean {
  return client !== null && accountOf(client) === account;
}
