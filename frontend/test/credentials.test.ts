import assert from "node:assert/strict";
import { test } from "node:test";

import { forgetToken, keepToken, keptCredentials } from "../src/credentials.ts";
import { MemoryStorage } from "./browser.ts";

test("a tab without a token is a client with a name of its own", () => {
  const storage = new MemoryStorage();
  const [one, other] = [keptCredentials(storage), keptCredentials(storage)];
  assert.deepEqual([one.role, one.ticket], ["client", ""]);
  assert.match(one.name, /^dashboard-[0-9a-f]{12}$/);
  assert.notEqual(one.name, other.name);
});

test("a token is kept until it is forgotten", () => {
  const storage = new MemoryStorage();
  keepToken(storage, "operator", "secret");
  assert.deepEqual([keptCredentials(storage).role, keptCredentials(storage).ticket], ["operator", "secret"]);
  forgetToken(storage);
  assert.equal(keptCredentials(storage).ticket, "");
});

test("what was kept and can't be read counts as nothing", () => {
  const storage = new MemoryStorage();
  for (const text of ["{not json", "", "null", "7"]) {
    storage.setItem("icefarm.session", text);
    assert.deepEqual([keptCredentials(storage).role, keptCredentials(storage).ticket], ["client", ""]);
  }
});
