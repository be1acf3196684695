import assert from "node:assert/strict";
import { test } from "node:test";

import { stretches, totals } from "../src/timeline.ts";
import {
  clockTime,
  count,
  dateAndTime,
  duration,
  expected,
  firmware,
  health,
  labelText,
  number,
  percent,
  whyItWaits,
} from "../src/wording.ts";
import { board, change, reading, request } from "./made.ts";

test("a part is 100 % only when nothing is missing", () => {
  assert.deepEqual([0, 0.29, 0.9951, 0.99999, 1].map(percent), ["0 %", "29 %", "99.5 %", "99.9 %", "100 %"]);
});

test("numbers have as many digits as say something", () => {
  assert.deepEqual(
    [0, 0.01234, 3.456, 33.6, 12345, null, undefined, Number.NaN].map((each) => number(each)),
    ["0", "0.0123", "3.46", "33.6", "12,345", "–", "–", "–"],
  );
});

test("numbers that are very small or very large are written too", () => {
  assert.deepEqual(
    [1.5e-200, -4e-9, 1e21, Number.POSITIVE_INFINITY].map((each) => number(each)),
    ["1.5e-200", "-4e-9", "1,000,000,000,000,000,000,000", "∞"],
  );
});

test("lengths of time are in their two largest units", () => {
  assert.deepEqual([0, 59.6, 61, 3600, 90061, -5].map(duration), [
    "0 s",
    "1 min",
    "1 min 1 s",
    "1 h",
    "1 d 1 h",
    "0 s",
  ]);
});

test("a time of today has no date, one of another day has", () => {
  assert.match(clockTime(1_700_000_000, 1_700_000_000), /^\d\d:\d\d:\d\d$/);
  assert.match(clockTime(1_600_000_000, 1_700_000_000), /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
  assert.match(dateAndTime(1_600_000_000), /^2020-09-1\d \d\d:\d\d:\d\d$/);
});

test("boards are expected within a range, from a time on, or nobody knows", () => {
  const at = (earliest?: number | null, latest?: number | null, now = 1_700_000_000) =>
    expected(request("ada", { earliest, latest }), now);
  assert.deepEqual([at(), at(null, null)], ["", ""]);
  assert.match(at(1_700_000_000, 1_700_000_600), /^\d\d:\d\d to \d\d:\d\d$/);
  assert.match(at(1_700_000_000, 1_700_000_001), /^\d\d:\d\d$/);
  assert.match(at(1_700_000_000, null), /^\d\d:\d\d or later$/);
  assert.match(at(1_700_000_000, null, 1_600_000_000), /^\d{4}-\d\d-\d\d \d\d:\d\d or later$/);
});

test("labels are written as a selector takes them", () => {
  const labels = { room: "E1 left", lab: "3", note: 'a "b"', span: "1..5", word: "Not" };
  assert.equal(labelText(labels), 'lab=3 note="a \\"b\\"" room="E1 left" span="1..5" word="Not"');
  assert.equal(labelText(undefined), "");
});

test("a request that waits says behind whom", () => {
  assert.equal(whyItWaits(request("ada")), "none is free");
  assert.equal(whyItWaits(request("ada", { behind: ["bob", "eve/2"] })), "none is free; behind bob, eve/2");
});

test("things are counted in their number", () => {
  assert.deepEqual([count(1, "board"), count(0, "board"), count(2, "board")], ["1 board", "0 boards", "2 boards"]);
});

test("firmware is its name and version", () => {
  assert.equal(firmware(board("A")), "default 1");
  assert.equal(firmware(board("A", { firmware: null, firmware_version: null })), "");
});

test("health says what is wrong", () => {
  assert.deepEqual(health(board("A", { status: "broken", reason: "no answer" })), { level: "bad", word: "no answer" });
  assert.equal(health(board("A", { status: "offline" })).word, "offline");
});

test("health says how often evaluations failed", () => {
  assert.deepEqual(health(board("A", { evaluations: 98, failures: 2 })), { level: "warn", word: "2 failures (2 %)" });
  assert.equal(health(board("A"), reading({ evaluations: 9, failures: 1 })).word, "1 failure (10 %)");
});

test("retries alone are no harm", () => {
  assert.deepEqual(health(board("A", { retries: 1 })), { level: "ok", word: "ok, 1 retry" });
  assert.equal(health(board("A")).word, "ok");
});

test("a timeline covers its span, from the state before it began", () => {
  const states = [change(50, "A", "available"), change(120, "A", "reserved"), change(150, "A", "available")];
  const found = stretches(states, 100, 200);
  assert.deepEqual(
    found.map(({ from, to, status }) => [from, to, status]),
    [
      [100, 120, "available"],
      [120, 150, "reserved"],
      [150, 200, "available"],
    ],
  );
  assert.deepEqual(totals(found), { available: 70, reserved: 30 });
});

test("stretches of one state and client are one", () => {
  const states = [change(0, "A", "available"), change(10, "A", "available", { reason: "x" })];
  assert.equal(stretches(states, 0, 20).length, 1);
});
