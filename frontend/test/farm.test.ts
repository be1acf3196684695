import assert from "node:assert/strict";
import { test } from "node:test";

import { applied, figures, replaced, UNKNOWN_FARM, unhealthy } from "../src/farm.ts";
import { board, farmOf, reading, request, reservation, reserved, snapshot, worker } from "./made.ts";

test("an event replaces the record with its key", () => {
  const farm = applied(farmOf(board("A"), board("B")), [{ topic: "device", fields: reserved("A", "ada") }], 1001);
  assert.equal(farm.boards.get("A")?.client, "ada");
  assert.equal(farm.boards.size, 2);
});

test("a farm that was is not changed by an event", () => {
  const before = farmOf(board("A"));
  applied(before, [{ topic: "device", fields: reserved("A", "ada") }], 1001);
  assert.equal(before.boards.get("A")?.client, null);
});

test("tables that no event concerns stay the same object", () => {
  const before = farmOf(board("A"));
  const after = applied(before, [{ topic: "reading", fields: { boards: { A: reading({ rate: 1 }) } } }], 1001);
  assert.equal(after.boards, before.boards);
  assert.notEqual(after.readings, before.readings);
});

test("events are applied in their order", () => {
  const events = [
    { topic: "device", fields: board("A", { evaluations: 1 }) },
    { topic: "device", fields: board("A", { evaluations: 2 }) },
  ] as const;
  assert.equal(applied(farmOf(), events, 1).boards.get("A")?.evaluations, 2);
});

test("a deleted board is gone, with its reading", () => {
  const known = applied(farmOf(board("A")), [{ topic: "reading", fields: { boards: { A: reading() } } }], 1001);
  const farm = applied(known, [{ topic: "deleted", fields: { serials: ["A"] } }], 1001);
  assert.deepEqual([farm.boards.size, farm.readings.size], [0, 0]);
  assert.equal(farm.lines.at(-1)?.text, "deleted");
});

test("a deleted board that was not known leaves no line", () => {
  assert.deepEqual(applied(farmOf(), [{ topic: "deleted", fields: { serials: ["A"] } }], 1001).lines, []);
});

test("a request that waits no longer leaves the queue", () => {
  const waiting = applied(farmOf(), [{ topic: "queue", fields: request("ada") }], 1001);
  assert.deepEqual([figures(waiting).waiting, figures(waiting).waitingSince], [1, 990]);
  const served = applied(waiting, [{ topic: "queue", fields: request("ada", { place: 0 }) }], 1002);
  assert.deepEqual([figures(served).waiting, figures(served).waitingSince], [0, null]);
});

test("a reservation that ended leaves the table", () => {
  const begun = applied(farmOf(), [{ topic: "reservation", fields: reservation("A", "ada") }], 1001);
  assert.equal(begun.reservations.size, 1);
  const ended = reservation("A", "ada", { ended_at: 1002, end_reason: "ended by its client" });
  assert.equal(applied(begun, [{ topic: "reservation", fields: ended }], 1002).reservations.size, 0);
});

test("a change of counters alone is no line of the journal", () => {
  const farm = applied(farmOf(board("A")), [{ topic: "device", fields: board("A", { evaluations: 10 }) }], 1001);
  assert.equal(farm.lines.length, 0);
});

test("the URL for programs is the farm's own, if it says one", () => {
  assert.equal(replaced(UNKNOWN_FARM, snapshot([]), 1000).url, null);
  const url = "wss://lab.example/icefarm/ws";
  assert.equal(replaced(UNKNOWN_FARM, snapshot([], { farm: { url } }), 1000).url, url);
});

test("lines of the farm's own changes have the farm's time", () => {
  const ahead = replaced(UNKNOWN_FARM, snapshot([], { time: 5000 }), 1000);
  const farm = applied(ahead, [{ topic: "worker", fields: worker("w1") }], 1001);
  assert.equal(farm.lines[0]?.time, 5001);
});

test("a snapshot replaces the records and keeps the journal", () => {
  const before = applied(farmOf(board("A")), [{ topic: "worker", fields: worker("w1") }], 1001);
  const after = replaced(before, snapshot([board("B")]), 1002);
  assert.deepEqual([...after.boards.keys()], ["B"]);
  assert.equal(after.lines.length, 1);
});

test("figures count what is in use, unhealthy and evaluated", () => {
  const known = farmOf(reserved("A", "ada"), board("B", { status: "broken" }), board("C", { status: "offline" }));
  const boards = { A: reading({ rate: 2.5 }), B: reading({ rate: 1 }) };
  const {
    total,
    inUse,
    states,
    unhealthy: sick,
    rate,
  } = figures(applied(known, [{ topic: "reading", fields: { boards } }], 1001));
  assert.deepEqual([total, inUse, sick, rate], [3, 1, 2, 3.5]);
  assert.deepEqual(states, { reserved: 1, broken: 1, offline: 1 });
});

test("the rate of a board that was deleted does not count", () => {
  const readings = { A: reading({ rate: 1 }), gone: reading({ rate: 5 }) };
  assert.equal(figures(replaced(UNKNOWN_FARM, snapshot([board("A")], { readings }), 1)).rate, 1);
});

test("figures tell workers that are online from all", () => {
  const workers = [worker("w1"), worker("w2", { status: "offline" })];
  const { online, workers: all } = figures(replaced(UNKNOWN_FARM, snapshot([], { workers }), 1));
  assert.deepEqual([online, all], [1, 2]);
});

test("a board needs a person if it is broken or offline", () => {
  const sick = (["available", "reserved", "flashing", "testing", "broken", "offline"] as const).filter((status) =>
    unhealthy(board("A", { status })),
  );
  assert.deepEqual(sick, ["broken", "offline"]);
});
