// Workers, the queue, classes: what is beside the boards.

import assert from "node:assert/strict";
import { test } from "node:test";

import type { FailureRecord, QueueRecord } from "../../src/records.ts";
import { board, request, reserved, snapshot, worker } from "../made.ts";
import { refusal } from "../testfarm.ts";
import { looking, NOW, type Scene, type Shown } from "./show.tsx";

const BOARDS = [reserved("A1", "ada/night"), board("A2"), reserved("B1", "bob", { worker: "w2" })];
const WORKERS = [
  worker("w1", { kind_versions: { pulsecount: "1.2" }, labels: { lab: "3" } }),
  worker("w2", { draining: true }),
  worker("w10", { status: "offline", last_seen: NOW - 125 }),
];
const QUEUE = [
  request("eve", { place: 2, since: NOW - 30, earliest: NOW + 60, latest: NOW + 200 }),
  request("dan/x", { place: 1, since: NOW - 90, serials: ["A1", "B1"], shared: true, behind: ["ada"] }),
];
const see = (scene: Scene, look: (shown: Shown) => Promise<void> | void) =>
  looking(
    { ...scene, answers: { snapshot: snapshot(BOARDS, { workers: WORKERS, queue: QUEUE }), ...scene.answers } },
    look,
  );

test("workers that are away come first, then those that drain", () =>
  see({ at: "workers" }, (shown) => {
    assert.deepEqual(shown.firsts("Workers"), ["w10", "w2", "w1"]);
    const [away, drained, well] = shown.rows("Workers");
    assert.ok(
      away?.some((cell) => cell.endsWith("(2 min 5 s ago)")),
      String(away),
    );
    assert.ok(drained?.includes("◐online, draining"));
    assert.ok(well?.includes("1 / 2"));
    assert.ok(well?.includes("pulsecount 1.2"));
    assert.ok(well?.includes("now"));
  }));

test("the page of workers says how one more is added", () =>
  see({ at: "workers" }, (shown) => {
    assert.match(shown.text, /twistd -n icefarm-worker --control http:\/\/farm:8080 --name NAME/);
  }));

test("an operator drains a worker, and resumes one", () =>
  see({ at: "workers", as: "operator", answers: { drain: null, resume: null } }, async (shown) => {
    await shown.click("Drain worker w1");
    assert.match(shown.see.getByRole("dialog").textContent ?? "", /its boards are used by ada\/night/);
    await shown.confirm();
    await shown.click("Resume worker w2");
    await shown.confirm();
    assert.deepEqual(shown.farm.asked("drain"), [{ worker: "w1" }]);
    assert.deepEqual(shown.farm.asked("resume"), [{ worker: "w2" }]);
  }));

test("an operator drains several workers with one call", () =>
  see({ at: "workers", as: "operator", answers: { drain: null } }, async (shown) => {
    await shown.click(shown.see.getByLabelText("Select all that are shown"));
    assert.match(shown.see.getByRole("toolbar").textContent ?? "", /^3 workers selectedDrain \(2\)Resume \(1\)/);
    await shown.click("Drain (2)");
    await shown.click("Drain: 2 workers");
    assert.deepEqual(shown.farm.asked("drain"), [{ workers: ["w10", "w1"] }]);
  }));

test("a refusal is said by its name, and stays until it is closed", () =>
  see({ at: "workers", as: "operator", answers: { drain: refusal("unavailable", "not now") } }, async (shown) => {
    await shown.click("Drain worker w1");
    await shown.confirm();
    await shown.pass(20_000);
    assert.match(shown.text, /Drain worker w1: unavailable: not now/);
    await shown.click("Close this message");
    assert.doesNotMatch(shown.text, /not now/);
  }));

test("a worker's page shows it, its boards, and what it can be asked for", () =>
  see({ at: "worker/w1", as: "operator" }, (shown) => {
    assert.match(shown.text, /Worker w1/);
    assert.match(shown.text, /Labelslab=3/);
    assert.match(shown.text, /Boards in use1 \/ 2/);
    assert.deepEqual(shown.firsts("Boards"), ["A1", "A2"]);
    assert.ok(shown.button("Drain worker w1"));
    assert.ok(shown.see.queryByRole("columnheader", { name: "Worker" }) === null);
  }));

test("a worker that the farm does not have is named", () =>
  see({ at: "worker/w%2F9" }, (shown) => {
    assert.match(shown.text, /The farm has no worker w\/9/);
    assert.match(shown.text, /It has no boards/);
  }));

test("a client's page shows its boards, and what it waits for", () =>
  see({ at: "client/dan%2Fx" }, (shown) => {
    assert.match(shown.text, /Of account dan\. It has 0 boards; 1 request of it waits\./);
    assert.deepEqual(shown.rows("Queue").length, 1);
    assert.match(shown.text, /It has no boards just now/);
  }));

test("an account's page shows the boards and requests of all of its clients", () =>
  see({ at: "account/ada", answers: { experiments: { experiments: [], next: null } } }, (shown) => {
    assert.deepEqual(shown.firsts("Boards"), ["A1"]);
    assert.match(shown.text, /It waits for no boards/);
    assert.match(shown.text, /It has no experiment that you may read/);
    assert.doesNotMatch(shown.text, /Its usage/);
  }));

test("an operator sees what an account may have, and what it has of that", () => {
  const limits = { account: "ada", limits: { boards: 8, calls: 64 }, has: { boards: 1 } };
  const answers = {
    experiments: { experiments: [], next: null },
    limits: ({ account }: { account: string }) => account === "ada" && limits,
  };
  return see({ at: "account/ada", as: "operator", answers }, (shown) => {
    assert.match(shown.text, /Boards1 of at most 8/);
    assert.match(shown.text, /Calls not answered yetat most 64/);
    assert.equal(shown.see.getByText("Its usage").getAttribute("href"), "#/usage?account=ada");
  });
});

test("an account whose limits the farm does not tell says so", () =>
  see(
    { at: "account/ada", as: "operator", answers: { limits: refusal("invalid_argument", "no such account") } },
    (shown) => {
      assert.match(shown.text, /Its limits are not known/);
    },
  ));

test("the queue is in the order in which requests are served, with why each waits", () =>
  see({ at: "queue" }, (shown) => {
    const [first, second] = shown.rows("Queue");
    assert.deepEqual(first?.slice(0, 3), ["1", "dan/x", "A1, B1, shared"]);
    assert.ok(first?.includes("none is free; behind ada"));
    assert.deepEqual(second?.slice(0, 3), ["2", "eve", "2 × pulsecount"]);
    assert.ok(second?.some((cell) => cell.endsWith("(30 s)")));
    assert.equal(shown.root.querySelector("nav .badge")?.textContent, "2");
  }));

test("a time at which a request is expected is of the farm's day, however wrong the reader's clock is", () => {
  const day = 86_400;
  const ahead = snapshot(BOARDS, {
    time: NOW + day,
    queue: [{ ...(QUEUE[0] as QueueRecord), earliest: NOW + day + 60, latest: NOW + day + 60 }],
  });
  return see({ at: "queue", answers: { snapshot: ahead } }, (shown) => {
    assert.ok(
      shown.rows("Queue")[0]?.some((cell) => /^\d\d:\d\d$/.test(cell)),
      String(shown.rows("Queue")[0]),
    );
  });
});

test("a request that is served leaves the queue", () =>
  see({ at: "queue" }, async (shown) => {
    await shown.tell("queue", { ...QUEUE[0], place: 0 });
    await shown.tell("queue", { ...QUEUE[1], place: 0 });
    assert.match(shown.text, /Nobody waits for boards/);
    assert.ok(shown.root.querySelector("nav .badge") === null);
  }));

test("an operator removes a request", () =>
  see({ at: "queue", as: "operator", answers: { dismiss: null } }, async (shown) => {
    await shown.click("Remove the request of eve");
    await shown.confirm();
    assert.deepEqual(shown.farm.asked("dismiss"), [{ ids: ["q-eve"] }]);
  }));

const FAILURE: FailureRecord = {
  client: "bob/1", serial: "B1", kind: "pulsecount", circuit: null, error: "device_failed", message: "CDONE stayed low", time: NOW - 20,
}; // biome-ignore format: a record in one line
const CLASS = {
  account_groups: { ada: "class-a", bob: "class-a", zoe: "class-b" },
  recent_failures: [FAILURE, { ...FAILURE, time: NOW - 50 }],
};

test("a class shows who has a board, who waits, and what failed", () =>
  see({ at: "class", answers: CLASS }, (shown) => {
    const cards = [...shown.root.querySelectorAll(".member")].map((card) => card.textContent?.replace(/\s+/g, " "));
    assert.deepEqual(cards, [
      "ada● 1 board",
      "bob● 1 board✕ The board failed: CDONE stayed low 20 s ago, 2 failures",
      "dan◷ waits for 1 min 30 s, place 1",
      "eve◷ waits for 30 s, place 2",
      "zoeno board",
    ]);
    assert.match(
      shown.root.querySelector(".summary")?.textContent ?? "",
      /2 of 5 accounts have boards · 2 wait, the longest for 1 min 30 s · 1 had/,
    );
  }));

test("a class is chosen by its group, or by how names begin", () =>
  see({ at: "class", answers: CLASS }, async (shown) => {
    const names = () => [...shown.root.querySelectorAll(".member .name")].map((name) => name.textContent);
    await shown.type(/^Group/, "class-a");
    assert.deepEqual(names(), ["ada", "bob"]);
    await shown.type(/^Group/, "E");
    assert.deepEqual(names(), ["eve"]);
    await shown.type(/^Group/, "nobody");
    assert.match(shown.text, /No account is of nobody, or begins so/);
  }));

test("a teacher ends all that the chosen accounts have", () =>
  see({ at: "class?of=class-a", as: "operator", answers: { ...CLASS, end_accounts: null } }, async (shown) => {
    assert.equal(shown.button(/^End all of/).disabled, true);
    await shown.click(shown.see.getByLabelText("Select ada"));
    assert.equal(shown.button("End all of ada").disabled, false);
    await shown.click("Select all");
    await shown.click("End all of 2 accounts");
    await shown.confirm();
    assert.deepEqual(shown.farm.asked("end_accounts"), [{ accounts: ["ada", "bob"] }]);
    await shown.click("Select none");
    assert.match(shown.see.getByRole("toolbar").textContent ?? "", /^0 accounts selected/);
  }));

test("a farm that has no groups shows a class without them", () =>
  see({ at: "class" }, (shown) => {
    assert.equal(shown.root.querySelectorAll(".member").length, 4);
  }));
