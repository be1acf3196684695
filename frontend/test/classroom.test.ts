import assert from "node:assert/strict";
import { test } from "node:test";

import { accountsAction, bookingActions } from "../src/actions.ts";
import { countsOf, failureWords, isChosen, membersOf } from "../src/classroom.ts";
import { applied, replaced, UNKNOWN_FARM } from "../src/farm.ts";
import type { FailureRecord } from "../src/records.ts";
import { booking, request, reserved, snapshot } from "./made.ts";
import { counted } from "./steps.ts";

const GROUPS = { ada: "class-a", bob: "class-a", cem: "class-b" };
const failure = (client: string, time: number, changes: Partial<FailureRecord> = {}): FailureRecord => ({
  client,
  serial: "A",
  kind: "pulsecount",
  circuit: null,
  error: "device_failed",
  message: "CDONE stayed low",
  time,
  ...changes,
});

const farm = replaced(
  UNKNOWN_FARM,
  snapshot([reserved("A", "ada/laptop"), reserved("B", "ada"), reserved("C", "dan")], {
    queue: [request("bob", { since: 20 }), request("bob/2", { since: 10 })],
  }),
  0,
);

test("accounts of a group are shown with what they have, want, and failed at", () => {
  const members = membersOf(farm, GROUPS, [failure("bob/x", 5), failure("bob", 9), failure("dan", 1)], "class-a");
  assert.deepEqual(
    members.map(({ account, group, boards, waiting, failure: last, failures }) => [
      account,
      group,
      boards.length,
      waiting?.since ?? null,
      last?.time ?? null,
      failures,
    ]),
    [
      ["ada", "class-a", 2, null, null, 0],
      ["bob", "class-a", 0, 10, 9, 2],
    ],
  );
  assert.deepEqual(countsOf(members), { members: 2, holding: 1, waiting: 1, waitingSince: 10, failing: 1 });
});

test("accounts are chosen by their group or by the beginning of their names", () => {
  const of = (chosen: string) => membersOf(farm, GROUPS, [], chosen).map(({ account }) => account);
  assert.deepEqual(of(""), ["ada", "bob", "cem", "dan"]);
  assert.deepEqual(of("D"), ["dan"]);
  assert.deepEqual(of("class-b"), ["cem"]);
  assert.equal(isChosen("nobody", "ada", GROUPS), false);
});

test("a failure is a sentence", () => {
  assert.equal(failureWords(failure("ada", 1)), "The board failed: CDONE stayed low");
  assert.equal(failureWords(failure("ada", 1, { error: "some_error", message: null })), "some error");
});

test("an account may be called what every object has", () => {
  const named = replaced(UNKNOWN_FARM, snapshot([reserved("A", "constructor")]), 0);
  assert.deepEqual(
    membersOf(named, GROUPS, [], "").map(({ account, group }) => [account, group]),
    [
      ["ada", "class-a"],
      ["bob", "class-a"],
      ["cem", "class-b"],
      ["constructor", null],
    ],
  );
  assert.equal(failureWords(failure("ada", 1, { error: "constructor", message: null })), "constructor");
});

test("an account that has 3,000 boards is counted without going through them for each", () => {
  const many = Array.from({ length: 3000 }, (_, index) => reserved(`S${index}`, "ada"));
  const whole = replaced(UNKNOWN_FARM, snapshot(many), 0);
  const { result: members, steps } = counted(() => membersOf(whole, {}, [], ""));
  assert.equal(members[0]?.boards.length, 3000);
  assert.ok(steps < 3000 * 10, `${steps} steps`);
});

test("all of several accounts ends at once", () => {
  const action = accountsAction(membersOf(farm, GROUPS, [], "class-a"));
  assert.deepEqual(action.fields, { accounts: ["ada", "bob"] });
  assert.equal(action.question, "End all of 2 accounts: 2 boards, and what they wait for?");
});

test("a booking is cancelled by its account, by who made it, and by operators", () => {
  const of = (operator: boolean, account: string) =>
    bookingActions(booking("b", { account: "class-a", booked_by: "ada/laptop" }), operator, account).length;
  assert.deepEqual(
    [of(true, ""), of(false, "class-a"), of(false, "ada"), of(false, "bob"), of(false, "")],
    [1, 1, 1, 0, 0],
  );
});

test("bookings come and go by events", () => {
  const first = booking("b");
  const one = applied(farm, [{ topic: "booking", fields: first }], 0);
  assert.deepEqual([...one.bookings.values()], [first]);
  const fewer = booking("b", { kept: 1 });
  assert.deepEqual([...applied(one, [{ topic: "booking", fields: fewer }], 0).bookings.values()], [fewer]);
  const over = booking("b", { ended_at: 9, end_reason: "its time is over" });
  assert.equal(applied(one, [{ topic: "booking", fields: over }], 0).bookings.size, 0);
});

test("all who share a board have it", () => {
  const shared = reserved("A", "ada", { shares: { r1: "ada", r2: "bob", r3: "ada/laptop" } });
  const members = membersOf(replaced(UNKNOWN_FARM, snapshot([shared]), 0), GROUPS, [], "class-a");
  assert.deepEqual(
    members.map(({ account, boards }) => [account, boards.length]),
    [
      ["ada", 1],
      ["bob", 1],
    ],
  );
});
