import assert from "node:assert/strict";
import { test } from "node:test";

import type { Credentials } from "../src/credentials.ts";
import {
  backoff,
  CALL_LIMIT,
  type Connect,
  farmError,
  Link,
  type LinkListener,
  RETRY_LONGEST,
  type Session,
} from "../src/link.ts";

/** Time that passes when the test says so. */
class TestTimers {
  now = 0;
  readonly waiting = new Map<number, { call: () => void; at: number }>();
  private next = 1;

  setTimeout(call: () => void, delay: number): number {
    this.waiting.set(this.next, { call, at: this.now + delay });
    return this.next++;
  }

  clearTimeout(timer: number | undefined): void {
    if (timer !== undefined) this.waiting.delete(timer);
  }

  async pass(seconds: number): Promise<void> {
    const end = this.now + seconds * 1000;
    for (;;) {
      await settled();
      const [due] = [...this.waiting].filter(([, { at }]) => at <= end).sort(([, one], [, other]) => one.at - other.at);
      if (due === undefined) break;
      const [timer, { call, at }] = due;
      this.waiting.delete(timer);
      this.now = at;
      call();
    }
    this.now = end;
  }
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

interface Attempt {
  readonly credentials: Credentials;
  readonly opened: (session: Session, identity?: string) => void;
  readonly closed: (reason: string | null, message: string | null) => void;
  over: boolean;
}

/** A link to a router that does what the test says, and what the link told. */
function rig() {
  const timers = new TestTimers();
  const told: string[] = [];
  const identities: (string | null)[] = [];
  const attempts: Attempt[] = [];
  const connect: Connect = (credentials, opened, closed) => {
    const attempt = {
      credentials,
      opened: (session: Session, identity = credentials.name) => opened(session, identity),
      closed,
      over: false,
    };
    attempts.push(attempt);
    return () => {
      attempt.over = true;
    };
  };
  const listener: LinkListener = {
    state: (state) => {
      told.push(state.live ? "live" : `away: ${state.reason}`);
      identities.push(state.identity);
    },
    snapshot: () => told.push("snapshot"),
    event: ({ topic }) => told.push(`event ${topic}`),
  };
  const link = new Link(connect, listener, timers);
  const attempt = (index: number): Attempt => {
    const found = attempts.at(index);
    assert.ok(found !== undefined);
    return found;
  };
  return { link, timers, told, identities, attempts, attempt };
}

const ADA: Credentials = { name: "ada", instance: "i", role: "client", ticket: "" };

type Handler = (args: unknown[], fields: unknown, details: { topic: string }) => void;

/** A session: answers calls with what `answers` has for them, else never. */
function session(answers: Readonly<Record<string, unknown>> = {}) {
  const handlers: Handler[] = [];
  return {
    handlers,
    subscribe: async (_: string, handler: Handler) => handlers.push(handler),
    call: (procedure: string) => {
      const name = procedure.split(".").at(-1) ?? "";
      return name in answers ? Promise.resolve(answers[name]) : new Promise<unknown>(() => {});
    },
  };
}

const answering = () => session({ snapshot: {}, available: {} });

test("it is live once the snapshot is there, and passes events on", async () => {
  const { link, timers, told, attempt } = rig();
  link.open(ADA);
  const one = answering();
  attempt(0).opened(one);
  await timers.pass(0);
  one.handlers[0]?.([], { serial: "A" }, { topic: "icefarm.v1.event.device" });
  assert.deepEqual(told, ["snapshot", "live", "event device"]);
});

test("a live link knows who the farm says that it is, and a lost one does not", async () => {
  const { link, timers, identities, attempt } = rig();
  link.open(ADA);
  attempt(0).opened(answering(), "students/ada");
  await timers.pass(0);
  attempt(0).closed(null, null);
  assert.deepEqual(identities, ["students/ada", null]);
});

test("it comes back after any loss, and fetches a snapshot again", async () => {
  const { link, timers, told, attempt } = rig();
  link.open(ADA);
  attempt(0).opened(answering());
  await timers.pass(0);
  attempt(0).closed("wamp.close.system_shutdown", "");
  assert.equal(told.at(-1), "away: the connection was lost");
  await timers.pass(1);
  attempt(1).opened(answering());
  await timers.pass(0);
  assert.deepEqual(told.slice(-2), ["snapshot", "live"]);
});

test("calls that wait at a loss are rejected", async () => {
  const { link, timers, attempt } = rig();
  link.open(ADA);
  attempt(0).opened(answering());
  await timers.pass(0);
  const call = assert.rejects(link.call("reboot"), { name: "link_lost" });
  attempt(0).closed(null, null);
  await call;
});

test("a call has a time limit", async () => {
  const { link, timers, attempt } = rig();
  link.open(ADA);
  attempt(0).opened(answering());
  await timers.pass(0);
  const call = assert.rejects(link.call("reboot"), { name: "timed_out" });
  await timers.pass(CALL_LIMIT + 1);
  await call;
});

test("a router that falls silent is found out", async () => {
  const { link, timers, told, attempts, attempt } = rig();
  link.open(ADA);
  attempt(0).opened(session({ snapshot: {} }));
  await timers.pass(20);
  assert.match(told.find((word) => word.startsWith("away")) ?? "", /no answer/);
  assert.equal(attempt(0).over, true);
  assert.ok(attempts.length > 1);
});

test("a link that is doubted is lost within a second where nobody answers", async () => {
  const { link, timers, told, attempt } = rig();
  link.open(ADA);
  attempt(0).opened(session({ snapshot: {} }));
  await timers.pass(1);
  link.doubt();
  await timers.pass(0.9);
  assert.match(told.at(-1) ?? "", /^away: there was no answer/);
});

test("a link that is doubted without reason stays", async () => {
  const { link, timers, told, attempts, attempt } = rig();
  link.open(ADA);
  attempt(0).opened(answering());
  await timers.pass(1);
  link.doubt();
  await timers.pass(60);
  assert.equal(told.at(-1), "live");
  assert.equal(attempts.length, 1);
});

test("when the network comes back, the next attempt is now", async () => {
  const { link, timers, attempts, attempt } = rig();
  link.doubt();
  assert.equal(attempts.length, 0);
  link.open(ADA);
  for (let round = 0; round < 6; round += 1) {
    attempt(-1).closed(null, null);
    await timers.pass(RETRY_LONGEST * 2);
  }
  attempt(-1).closed(null, null);
  const made = attempts.length;
  link.doubt();
  assert.equal(attempts.length, made + 1);
  link.doubt();
  await timers.pass(1);
  assert.equal(attempts.length, made + 1);
});

test("a refused sign-in is not tried again", async () => {
  const { link, timers, told, attempts, attempt } = rig();
  link.open(ADA);
  attempt(0).closed("icefarm.v1.error.not_authorized", "it takes a token");
  link.doubt();
  await timers.pass(60);
  assert.deepEqual(told, ["away: it takes a token"]);
  assert.equal(attempts.length, 1);
});

test("hours without a router leave no timer and no call behind", async () => {
  const { link, timers, attempt } = rig();
  link.open(ADA);
  for (let round = 0; round < 500; round += 1) {
    attempt(-1).closed(null, null);
    await timers.pass(RETRY_LONGEST * 2);
  }
  assert.ok(timers.waiting.size <= 2);
  link.close();
  assert.equal(timers.waiting.size, 0);
});

test("the wait between attempts grows to its limit", () => {
  assert.ok(backoff(0, () => 0.5) <= 0.5);
  assert.ok(backoff(20, () => 1) <= RETRY_LONGEST * 1.25);
});

test("errors have the farm's names", () => {
  const failure = { error: "icefarm.v1.error.not_yours", args: ["board A is not yours"], kwargs: {} };
  assert.deepEqual([farmError(failure).name, farmError(failure).message], ["not_yours", "board A is not yours"]);
  assert.equal(farmError({ error: "wamp.error.not_authorized", args: ["..."] }).name, "not_authorized");
});
