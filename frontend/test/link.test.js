import assert from "node:assert/strict";
import { test } from "node:test";

import { backoff, CALL_LIMIT, farmError, Link, RETRY_LONGEST } from "../src/link.js";

/** Time that passes when the test says so. */
class Timers {
  constructor() {
    this.now = 0;
    this.waiting = new Map();
    this.next = 1;
  }

  setTimeout(call, delay) {
    this.waiting.set(this.next, { call, at: this.now + delay });
    return this.next++;
  }

  clearTimeout(number) {
    this.waiting.delete(number);
  }

  async pass(seconds) {
    const end = this.now + seconds * 1000;
    for (;;) {
      await settled();
      const due = [...this.waiting].filter(([, { at }]) => at <= end).sort(([, one], [, other]) => one.at - other.at)[0];
      if (due === undefined) break;
      this.waiting.delete(due[0]);
      this.now = due[1].at;
      due[1].call();
    }
    this.now = end;
  }
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

/** A link to a router that does what the test says, and what it told. */
function rig() {
  const timers = new Timers();
  const told = [];
  const connections = [];
  const connect = (credentials, opened, closed) => {
    const connection = { credentials, opened, closed, over: false };
    connections.push(connection);
    return () => (connection.over = true);
  };
  const on = {
    state: (state) => told.push(state.live ? "live" : `away: ${state.reason}`),
    snapshot: () => told.push("snapshot"),
    event: (topic) => told.push(`event ${topic}`),
  };
  const link = new Link(connect, on, timers);
  return { link, timers, told, connections };
}

/** A session: answers calls with what `answers` has for them, else never. */
function session(answers = {}) {
  const handlers = [];
  return {
    handlers,
    subscribe: async (_, handler) => handlers.push(handler),
    call: (procedure) => {
      const name = procedure.split(".").at(-1);
      return name in answers ? Promise.resolve(answers[name]) : new Promise(() => {});
    },
  };
}

const answering = () => session({ snapshot: {}, available: {} });

test("it is live once the snapshot is there, and passes events on", async () => {
  const { link, timers, told, connections } = rig();
  link.open({ name: "a" });
  const one = answering();
  connections[0].opened(one);
  await timers.pass(0);
  one.handlers[0]([], { serial: "A" }, { topic: "icefarm.v1.event.device" });
  assert.deepEqual(told, ["snapshot", "live", "event device"]);
});

test("it comes back after any loss, and fetches a snapshot again", async () => {
  const { link, timers, told, connections } = rig();
  link.open({ name: "a" });
  connections[0].opened(answering());
  await timers.pass(0);
  connections[0].closed("wamp.close.system_shutdown", "");
  assert.equal(told.at(-1), "away: the connection was lost");
  await timers.pass(1);
  connections[1].opened(answering());
  await timers.pass(0);
  assert.deepEqual(told.slice(-2), ["snapshot", "live"]);
});

test("calls that wait at a loss are rejected", async () => {
  const { link, timers, connections } = rig();
  link.open({ name: "a" });
  connections[0].opened(answering());
  await timers.pass(0);
  const call = assert.rejects(link.call("reboot"), { name: "link_lost" });
  connections[0].closed(null, null);
  await call;
});

test("a call has a time limit", async () => {
  const { link, timers, connections } = rig();
  link.open({ name: "a" });
  connections[0].opened(answering());
  await timers.pass(0);
  const call = assert.rejects(link.call("reboot"), { name: "timed_out" });
  await timers.pass(CALL_LIMIT + 1);
  await call;
});

test("a router that falls silent is found out", async () => {
  const { link, timers, told, connections } = rig();
  link.open({ name: "a" });
  connections[0].opened(session({ snapshot: {} }));
  await timers.pass(20);
  assert.match(told.find((word) => word.startsWith("away")), /no answer/);
  assert.equal(connections[0].over, true);
  assert.ok(connections.length > 1);
});

test("a link that is doubted is lost within a second where nobody answers", async () => {
  const { link, timers, told, connections } = rig();
  link.open({ name: "a" });
  connections[0].opened(session({ snapshot: {} }));
  await timers.pass(1);
  link.doubt();
  await timers.pass(0.9);
  assert.match(told.at(-1), /^away: there was no answer/);
});

test("a link that is doubted without reason stays", async () => {
  const { link, timers, told, connections } = rig();
  link.open({ name: "a" });
  connections[0].opened(answering());
  await timers.pass(1);
  link.doubt();
  await timers.pass(60);
  assert.equal(told.at(-1), "live");
  assert.equal(connections.length, 1);
});

test("when the network comes back, the next attempt is now", async () => {
  const { link, timers, connections } = rig();
  link.doubt();
  assert.equal(connections.length, 0);
  link.open({ name: "a" });
  for (let round = 0; round < 6; round += 1) {
    connections.at(-1).closed(null, null);
    await timers.pass(RETRY_LONGEST * 2);
  }
  connections.at(-1).closed(null, null);
  const made = connections.length;
  link.doubt();
  assert.equal(connections.length, made + 1);
  link.doubt();
  await timers.pass(1);
  assert.equal(connections.length, made + 1);
});

test("a refused sign-in is not tried again", async () => {
  const { link, timers, told, connections } = rig();
  link.open({ name: "a" });
  connections[0].closed("icefarm.v1.error.not_authorized", "it takes a token");
  link.doubt();
  await timers.pass(60);
  assert.deepEqual(told, ["away: it takes a token"]);
  assert.equal(connections.length, 1);
});

test("hours without a router leave no timer and no call behind", async () => {
  const { link, timers, connections } = rig();
  link.open({ name: "a" });
  for (let round = 0; round < 500; round += 1) {
    connections.at(-1).closed(null, null);
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
