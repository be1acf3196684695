import assert from "node:assert/strict";
import { test } from "node:test";

import {
  boardLine,
  KEPT_LINES,
  logLine,
  mergedLines,
  queueLine,
  reservationLine,
  reservationLines,
  stateLine,
  withLines,
  workerLine,
} from "../src/journal.ts";
import { board, change, request, reservation, reserved, worker } from "./made.ts";

const log = (time: number, message: string, serial: string | null = "A") =>
  logLine({ time, level: "info", worker: "w1", serial, message });

test("the journal does not grow without end, and drops the oldest", () => {
  const many = Array.from({ length: KEPT_LINES + 10 }, (_, index) => log(index, `${index}`));
  const kept = withLines(many.slice(0, 20), many.slice(20));
  assert.equal(kept.length, KEPT_LINES);
  assert.equal(kept[0]?.text, "10");
});

test("a journal without news stays the same object", () => {
  const lines = [log(1, "m")];
  assert.equal(withLines(lines, []), lines);
});

test("the journal of a lost link is filled up from what the farm kept, without doubles", () => {
  const past = [log(10, "reserved"), log(20, "available")];
  const came = workerLine(worker("w1"), undefined, 12);
  assert.ok(came !== null);
  const live = [log(10.2, "reserved"), came, log(20.4, "available"), log(30, "new")];
  assert.deepEqual(
    mergedLines(past, live).map(({ time }) => time),
    [10, 12, 20, 30],
  );
});

test("a reservation that the farm keeps too is there once", () => {
  const past = [...reservationLines(reservation("A", "ada")), log(2000, "later")];
  assert.equal(mergedLines(past, reservationLines(reservation("A", "ada"))).length, 2);
  assert.equal(mergedLines(past.slice(1), reservationLines(reservation("A", "ada"))).length, 2);
});

test("a line that says the same later is news", () => {
  assert.equal(mergedLines([log(10, "reserved")], [log(60, "reserved")]).length, 2);
});

test("a broken board is an error, one that is offline a warning", () => {
  assert.equal(stateLine(change(1, "A", "broken")).level, "error");
  assert.equal(stateLine(change(1, "A", "offline")).level, "warn");
  assert.equal(stateLine(change(1, "A", "available")).level, "info");
});

test("the line of a state says for whom, and why", () => {
  const line = stateLine(change(1, "A", "flashing", { client: "ada", reason: "switching" }));
  assert.equal(line.text, "flashing for ada (switching)");
});

test("a level that is not known counts as info", () => {
  assert.equal(logLine({ time: 1, level: "loud", worker: "w", serial: null, message: "m" }).level, "info");
});

test("a board's new reason is news", () => {
  assert.equal(boardLine(board("A", { reason: "b" }), board("A", { reason: "a" }), 1)?.text, "available (b)");
  assert.equal(boardLine(board("A"), board("A", { retries: 3 }), 1), null);
});

test("an extended reservation is no news, one that begins or ends is", () => {
  const begun = reservation("A", "ada");
  assert.match(reservationLine(begun, undefined)?.text ?? "", /reserved as pulsecount by ada/);
  assert.equal(reservationLine({ ...begun, expires_at: 9999 }, begun), null);
  const ended = { ...begun, ended_at: 5, end_reason: "expired" };
  assert.match(reservationLine(ended, begun)?.text ?? "", /ended: expired/);
});

test("a reservation of the past has a line for its begin and one for its end", () => {
  assert.equal(reservationLines(reservation("A", "ada")).length, 1);
  assert.equal(reservationLines(reservation("A", "ada", { ended_at: 5 })).length, 2);
});

test("a worker's heartbeat is no news, draining is", () => {
  assert.equal(workerLine(worker("w1", { last_seen: 9 }), worker("w1"), 1), null);
  assert.equal(workerLine(worker("w1", { draining: true }), worker("w1"), 1)?.text, "worker online, draining");
  assert.equal(workerLine(worker("w1", { status: "offline" }), worker("w1"), 1)?.level, "warn");
});

test("a request that moves up in the queue is no news", () => {
  assert.equal(queueLine(request("ada", { place: 1 }), request("ada", { place: 2 }), 1), null);
  assert.equal(queueLine(request("ada"), undefined, 1)?.text, "ada waits for 2 × pulsecount: none is free");
  assert.equal(queueLine(request("ada", { serials: ["A"] }), undefined, 1)?.text, "ada waits for A: none is free");
});

test("a request that was never seen waiting leaves no line when it goes", () => {
  assert.equal(queueLine(request("ada", { place: 0 }), undefined, 1), null);
  assert.equal(queueLine(request("ada", { place: 0 }), request("ada"), 1)?.text, "ada waits no longer");
});

test("a line of a reserved board names its client", () => {
  assert.equal(boardLine(reserved("A", "ada"), undefined, 1)?.client, "ada");
});
