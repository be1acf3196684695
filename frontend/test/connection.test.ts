import assert from "node:assert/strict";
import { test } from "node:test";

import autobahn from "autobahn";

import { connector } from "../src/connection.ts";
import type { Credentials } from "../src/credentials.ts";

const ADA: Credentials = { name: "ada", instance: "i", role: "client", ticket: "secret" };

/** A connection of Autobahn JS that does what the test says. */
class TestConnection {
  static last: TestConnection;
  readonly options: Record<string, unknown>;
  onopen: (session: unknown, details: { authid?: string }) => void = () => {};
  onclose: (reason: string, details: { reason: string | null; message: string | null }) => boolean = () => false;
  opens = 0;
  closes = 0;
  isOpen = false;

  constructor(options: Record<string, unknown>) {
    this.options = options;
    TestConnection.last = this;
  }

  open(): void {
    this.opens += 1;
  }

  close(): void {
    if (!this.isOpen) throw new Error("connection already closed");
    this.isOpen = false;
    this.closes += 1;
  }
}

/** What a connection of Ada tells, and its close. */
function connected() {
  const real = autobahn.Connection;
  Object.assign(autobahn, { Connection: TestConnection });
  const told: unknown[] = [];
  try {
    const close = connector("ws://farm:8080/ws")(
      ADA,
      (_, identity) => told.push(["opened", identity]),
      (reason, message) => told.push(["closed", reason, message]),
    );
    return { told, close, connection: TestConnection.last };
  } finally {
    Object.assign(autobahn, { Connection: real });
  }
}

test("a connection signs in by its token, and comes back by nobody but the link", () => {
  const { connection } = connected();
  assert.equal(connection.opens, 1);
  const { url, realm, authid, authextra, max_retries: retries, onchallenge } = connection.options;
  assert.deepEqual(
    [url, realm, authid, authextra, retries],
    ["ws://farm:8080/ws", "icefarm", "ada", { role: "client", instance: "i" }, 0],
  );
  assert.equal((onchallenge as () => string)(), "secret");
});

test("a session has the identity that the farm gives it, else the name that it asked for", () => {
  const { told, connection } = connected();
  connection.onopen({}, { authid: "students/ada" });
  connection.onopen({}, {});
  assert.deepEqual(told, [
    ["opened", "students/ada"],
    ["opened", "ada"],
  ]);
});

test("the end of a connection is told once, with its reason", () => {
  const { told, connection } = connected();
  assert.equal(connection.onclose("closed", { reason: "icefarm.v1.error.busy", message: "later" }), true);
  connection.onclose("closed", { reason: null, message: null });
  assert.deepEqual(told, [["closed", "icefarm.v1.error.busy", "later"]]);
});

test("a connection that was given up says nothing more, and one that opens too late is closed", () => {
  const { told, close, connection } = connected();
  close();
  connection.isOpen = true;
  connection.onopen({}, {});
  connection.onclose("closed", { reason: null, message: null });
  assert.deepEqual(told, []);
  assert.equal(connection.closes, 1);
});

test("to close twice is harmless", () => {
  const { close, connection } = connected();
  connection.isOpen = true;
  close();
  close();
  assert.equal(connection.closes, 1);
});
