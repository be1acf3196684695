import assert from "node:assert/strict";
import { test } from "node:test";

import { boardActions, queueActions, workerActions } from "../src/actions.js";
import { Farm, figures, KEPT_LINES, mergedLines } from "../src/farm.js";
import { rowOf, textsOf, visibleRows, windowOf } from "../src/rows.js";
import { stretches, totals } from "../src/timeline.js";
import { clockTime, duration, health, number } from "../src/wording.js";

const device = (serial, changes = {}) => ({
  serial, worker: "w1", status: "available", reason: null, client: null, reservation: null, kind: null, firmware: "default",
  firmware_version: "1", usb_path: null, evaluations: 0, failures: 0, retries: 0, expires_at: null, changed_at: 0, ...changes,
});
const snapshot = (devices, more = {}) => ({ workers: [], devices, reservations: [], queue: [], readings: {}, farm: {}, time: 1000, ...more });

function farmOf(...devices) {
  const farm = new Farm();
  farm.replace(snapshot(devices), 1000);
  return farm;
}

test("an event replaces the record with its key", () => {
  const farm = farmOf(device("A"), device("B"));
  farm.apply("device", device("A", { status: "reserved", client: "ada", reservation: "r" }), 1001);
  assert.equal(farm.devices.get("A").client, "ada");
  assert.equal(farm.devices.size, 2);
});

test("a deleted board is gone", () => {
  const farm = farmOf(device("A"));
  farm.apply("deleted", { serials: ["A"] }, 1001);
  assert.equal(farm.devices.size, 0);
  assert.equal(farm.lines.at(-1).text, "deleted");
});

test("a request that waits no longer leaves the queue", () => {
  const farm = farmOf();
  const waiting = { id: "q", client: "ada", kind: "pulsecount", amount: 2, serials: [], since: 990, place: 1, reason: "none free" };
  farm.apply("queue", waiting, 1001);
  assert.deepEqual([figures(farm, 1010).waiting, figures(farm, 1010).longestWait], [1, 20]);
  farm.apply("queue", { ...waiting, place: 0 }, 1002);
  assert.equal(figures(farm, 1010).waiting, 0);
});

test("a change of counters alone is no line of the journal", () => {
  const farm = farmOf(device("A"));
  farm.apply("device", device("A", { evaluations: 10 }), 1001);
  assert.equal(farm.lines.length, 0);
});

test("the journal does not grow without end", () => {
  const farm = farmOf();
  for (let index = 0; index < 3 * KEPT_LINES; index += 1) {
    farm.apply("log", { time: index, level: "info", worker: "w", serial: "A", message: "m" }, 1);
  }
  assert.equal(farm.lines.length, KEPT_LINES);
});

test("the journal of a lost link is filled up from what the farm kept, without doubles", () => {
  const line = (time, topic, text) => ({ time, topic, text, serial: "A", level: "info", worker: "w", client: null });
  const past = [line(10, "device", "reserved"), line(20, "device", "available")];
  const live = [line(10.2, "device", "reserved"), line(12, "worker", "worker online"), line(20.4, "device", "available"), line(30, "log", "new")];
  assert.deepEqual(mergedLines(past, live).map(({ time }) => time), [10, 12, 20, 30]);
});

test("figures count what is in use, unhealthy and evaluated", () => {
  const farm = farmOf(device("A", { client: "ada", status: "reserved" }), device("B", { status: "broken" }));
  farm.apply("reading", { time: 1, boards: { A: { rate: 2.5 }, B: { rate: 1 } } }, 1001);
  const { total, inUse, unhealthy, rate } = figures(farm, 1001);
  assert.deepEqual([total, inUse, unhealthy, rate], [2, 1, 1, 3.5]);
});

test("rows are sorted as people count, boards without a client last", () => {
  const farm = farmOf(device("B10"), device("B9", { client: "zoe" }), device("B11", { client: "ada" }));
  const serials = (order) => visibleRows(farm, "", order).map((row) => row.device.serial);
  assert.deepEqual(serials({ column: "serial", down: false }), ["B9", "B10", "B11"]);
  assert.deepEqual(serials({ column: "client", down: false }), ["B11", "B9", "B10"]);
});

test("serials of chips are in the order of their characters", () => {
  const serials = ["1000000000001EEF", "400000000000B99A", "100000000000B99A", "100000000000D889"];
  const shown = visibleRows(farmOf(...serials.map((serial) => device(serial))), "", { column: "serial", down: false });
  assert.deepEqual(shown.map((row) => row.device.serial), [...serials].sort());
});

test("the filter finds boards by the reason of their state", () => {
  const farm = farmOf(device("A", { status: "broken", reason: "CDONE stayed low" }), device("B"));
  assert.deepEqual(visibleRows(farm, "cdone", { column: "serial" }).map((row) => row.device.serial), ["A"]);
  assert.equal(textsOf(rowOf(device("A"))).state, "available");
});

test("only rows in sight are drawn", () => {
  assert.deepEqual(windowOf(500, 36, 200, 800), [0, 25]);
  assert.deepEqual(windowOf(500, 36, -3600, 800), [92, 131]);
  assert.deepEqual(windowOf(3, 36, -9999, 800), [0, 3]);
});

test("actions fit the board, and name it and its client", () => {
  const ids = (board) => boardActions(board).map((action) => action.id);
  assert.deepEqual(ids(device("A")), ["reboot"]);
  assert.deepEqual(ids(device("A", { status: "reserved", client: "ada", reservation: "r" })), ["end", "reboot"]);
  assert.deepEqual(ids(device("A", { status: "broken" })), ["retest", "reboot", "delete"]);
  assert.deepEqual(ids(device("A", { status: "offline" })), ["delete"]);
  const [end] = boardActions(device("A", { status: "reserved", client: "ada", reservation: "r" }));
  assert.match(end.question, /board A by client ada/);
});

test("draining names the clients that it concerns; a draining worker can be resumed", () => {
  const worker = { name: "w1", draining: false };
  assert.match(workerActions(worker, [device("A", { client: "ada" })])[0].question, /ada/);
  assert.equal(workerActions({ ...worker, draining: true }, [])[0].procedure, "resume");
  assert.deepEqual(queueActions({ id: "q", client: "ada", serials: [], amount: 1, kind: "k" })[0].fields, { ids: ["q"] });
});

test("a timeline covers its span, from the state before it began", () => {
  const state = (time, status) => ({ time, status, reason: null, client: null });
  const found = stretches([state(50, "available"), state(120, "reserved"), state(150, "available")], 100, 200);
  assert.deepEqual(found.map(({ from, to, status }) => [from, to, status]), [
    [100, 120, "available"], [120, 150, "reserved"], [150, 200, "available"],
  ]);
  assert.deepEqual(totals(found), { available: 70, reserved: 30 });
});

test("numbers and times are written as people read them", () => {
  assert.deepEqual([0, 0.01234, 3.456, 12345, null].map((each) => number(each)), ["0", "0.0123", "3.46", "12,345", "–"]);
  assert.deepEqual([0, 59.6, 3600, 90061].map(duration), ["0 s", "1 min", "1 h", "1 d 1 h"]);
  assert.match(clockTime(1700000000, 1700000000), /^\d\d:\d\d:\d\d$/);
  assert.match(clockTime(1600000000, 1700000000), /^\d{4}-\d\d-\d\d \d\d:/);
});

test("health says what is wrong, or how often evaluations failed", () => {
  assert.equal(health(device("A", { status: "broken", reason: "no answer" })).word, "no answer");
  assert.equal(health(device("A", { evaluations: 98, failures: 2 })).word, "2 failures (2 %)");
  assert.equal(health(device("A")).level, "ok");
});
