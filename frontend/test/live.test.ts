import assert from "node:assert/strict";
import { test } from "node:test";

import { effect } from "@preact/signals";

import type { Action } from "../src/actions.ts";
import { accountOf } from "../src/identity.ts";
import { BATCH, Live } from "../src/live.ts";
import { Operations } from "../src/operations.ts";
import { openWindow } from "./browser.ts";
import { board, reading, reserved } from "./made.ts";
import { TestFarm } from "./testfarm.ts";

const settled = () => new Promise((resolve) => setTimeout(resolve, 5));
const batched = () => new Promise((resolve) => setTimeout(resolve, BATCH + 60));

async function opened(farm = new TestFarm()) {
  openWindow();
  const live = new Live(farm.connect);
  live.start();
  await settled();
  return { live, farm };
}

test("a page that is opened knows the farm at once", async () => {
  const { live } = await opened();
  assert.equal(live.connected.value, true);
  assert.deepEqual([...live.boards.value.keys()], ["A"]);
  live.stop();
});

test("many events are one change of each signal that they concern, and none of others", async () => {
  const { live, farm } = await opened();
  const drawn = { boards: 0, queue: 0 };
  const stops = [
    effect(() => {
      drawn.boards += live.boards.value.size;
    }),
    effect(() => {
      drawn.queue += 1 + live.queue.value.size;
    }),
  ];
  for (let index = 0; index < 50; index += 1) farm.tell("device", board("A", { evaluations: index }));
  await batched();
  assert.deepEqual(drawn, { boards: 2, queue: 1 });
  assert.equal(live.boards.value.get("A")?.evaluations, 49);
  for (const stop of stops) stop();
  live.stop();
});

test("figures follow what happens", async () => {
  const { live, farm } = await opened();
  farm.tell("device", reserved("B", "ada"));
  farm.tell("reading", { boards: { B: reading({ rate: 2 }) } });
  await batched();
  const { total, inUse, rate } = live.figures.value;
  assert.deepEqual([total, inUse, rate], [2, 1, 2]);
  live.stop();
});

test("a lost link is known, and what was known stays", async () => {
  const { live, farm } = await opened();
  farm.drop();
  assert.equal(live.connected.value, false);
  assert.equal(live.link.value.reason, "the connection was lost");
  assert.equal(live.boards.value.size, 1);
  live.stop();
});

test("an operator's token makes an operator, and is kept in this tab", async () => {
  const { live, farm } = await opened();
  farm.roles = { "": "client", secret: "operator" };
  await live.signIn("secret");
  assert.equal(live.operator.value, true);
  assert.match(sessionStorage.getItem("icefarm.session") ?? "", /secret/);
  live.signOut();
  await settled();
  assert.equal(live.operator.value, false);
  assert.equal(sessionStorage.length, 0);
  live.stop();
});

test("on a farm that asks for tokens, a client's token lets its account watch, and its boards come first", async () => {
  const farm = new TestFarm();
  farm.roles = { mine: "client" };
  const { live } = await opened(farm);
  assert.equal(live.link.value.refused?.name, "not_authorized");
  await live.signIn("mine");
  assert.equal(live.operator.value, false);
  assert.equal(live.account.value, "students");
  assert.equal(live.owner.value, "students");
  live.setOwner("students/night");
  assert.equal(live.owner.value, "students/night");
  live.stop();
});

test("a reader without a token has no account", async () => {
  const { live } = await opened();
  assert.equal(live.account.value, "");
  assert.equal(live.owner.value, "");
  live.stop();
});

test("a token that the farm does not know changes nothing", async () => {
  const { live } = await opened();
  await assert.rejects(live.signIn("guessed"), { name: "not_authorized" });
  await settled();
  assert.equal(live.connected.value, true);
  assert.equal(live.credentials.value.ticket, "");
  live.stop();
});

test("the name whose boards come first is remembered", async () => {
  const { live, farm } = await opened();
  live.setOwner("ada");
  live.stop();
  const storage = localStorage;
  openWindow();
  Object.defineProperty(globalThis, "localStorage", { value: storage, configurable: true });
  const again = new Live(farm.connect);
  assert.equal(again.owner.value, "ada");
});

test("an account is what is before the first slash", () => {
  assert.deepEqual([accountOf("ada/night/run"), accountOf("ada"), accountOf(null)], ["ada", "ada", ""]);
});

const REBOOT: Action = {
  id: "reboot",
  label: "Reboot",
  about: "Reboot board A",
  question: "Reboot board A?",
  consequence: "",
  procedure: "reboot",
  fields: { serials: ["A"] },
  done: "Board A is being rebooted.",
};

/** Timers that ring when the test says so. */
class Alarms {
  private readonly calls: (() => void)[] = [];

  setTimeout(call: () => void): number {
    return this.calls.push(call);
  }

  clearTimeout(): void {}

  ring(): void {
    for (const call of this.calls.splice(0)) call();
  }
}

test("a message of success goes by itself, one of failure stays", async () => {
  const { live } = await opened();
  const alarms = new Alarms();
  const operations = new Operations(live, alarms);
  operations.say("done", "a");
  operations.say("failed", "b");
  alarms.ring();
  assert.deepEqual(
    operations.messages.value.map(({ text }) => text),
    ["b"],
  );
  live.stop();
});

test("an action is carried out once it is confirmed, and not before", async () => {
  const { live, farm } = await opened();
  farm.answers.reboot = null;
  const operations = new Operations(live, new Alarms());
  operations.ask(REBOOT);
  assert.equal(operations.asked.value, REBOOT);
  assert.ok(!farm.calls.some(([name]) => name === "reboot"));
  await operations.confirm();
  assert.deepEqual(farm.calls.at(-1), ["reboot", { serials: ["A"] }]);
  assert.deepEqual(
    operations.messages.value.map(({ level, text }) => [level, text]),
    [["done", "Board A is being rebooted."]],
  );
  assert.equal(operations.asked.value, null);
  live.stop();
});

test("an action that is cancelled is not carried out", async () => {
  const { live, farm } = await opened();
  const operations = new Operations(live, new Alarms());
  operations.ask(REBOOT);
  operations.cancel();
  await operations.confirm();
  assert.ok(!farm.calls.some(([name]) => name === "reboot"));
  live.stop();
});

test("the farm's refusal is told by its name, until the reader closes it", async () => {
  const { live, farm } = await opened();
  farm.answers.reboot = Object.assign(new Error("board A is not yours"), { name: "not_yours" });
  const operations = new Operations(live, new Alarms());
  operations.ask(REBOOT);
  await operations.confirm();
  const [message] = operations.messages.value;
  assert.equal(message?.text, "Reboot board A: not_yours: board A is not yours");
  operations.close(message?.number ?? 0);
  assert.deepEqual(operations.messages.value, []);
  live.stop();
});

test("of many messages the last few are shown", async () => {
  const { live } = await opened();
  const operations = new Operations(live, new Alarms());
  for (let index = 0; index < 9; index += 1) operations.say("failed", `${index}`);
  assert.deepEqual(
    operations.messages.value.map(({ text }) => text),
    ["4", "5", "6", "7", "8"],
  );
  live.stop();
});
