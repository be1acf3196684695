import assert from "node:assert/strict";
import { test } from "node:test";

process.env.TZ = "Europe/Berlin";

const { blocksOf, dateOf, inputTime, momentOf, nextHour, timeAt, weekOf, weeksOn, withLocalTimes, zoneAt } =
  await import("../src/calendar.ts");

import { booking } from "./made.ts";

const at = (text: string) => new Date(text).getTime() / 1000;
const TUESDAY = at("2026-12-01T10:00:00+01:00");

test("a week begins on Monday, and is that of now if none is named", () => {
  const named = weekOf("2026-12-01", 0);
  assert.deepEqual(
    named.map(({ date }) => date),
    ["2026-11-30", "2026-12-01", "2026-12-02", "2026-12-03", "2026-12-04", "2026-12-05", "2026-12-06"],
  );
  assert.deepEqual(weekOf("", TUESDAY), named);
  assert.deepEqual(weekOf("nonsense", TUESDAY), named);
  assert.equal(weeksOn(named, 1), "2026-12-07");
  assert.equal(weeksOn(named, -1), "2026-11-23");
});

test("the days on which clocks change have 23 and 25 hours", () => {
  const hours = (date: string) => {
    const [day] = weekOf(date, 0).filter((each: { date: string }) => each.date === date);
    return ((day?.ends ?? 0) - (day?.begins ?? 0)) / 3600;
  };
  assert.equal(hours("2027-03-28"), 23);
  assert.equal(hours("2026-10-25"), 25);
  assert.equal(weeksOn(weekOf("2027-03-28", 0), 1), "2027-03-29");
});

test("a booking has its place on each day that it touches, beside others of the same time", () => {
  const [, day, next] = weekOf("2026-12-01", 0);
  assert.ok(day !== undefined && next !== undefined);
  const night = booking("n", { starts_at: at("2026-12-01T18:00:00+01:00"), ends_at: at("2026-12-02T06:00:00+01:00") });
  const late = booking("l", { starts_at: at("2026-12-01T21:00:00+01:00"), ends_at: at("2026-12-02T00:00:00+01:00") });
  const early = booking("e", { starts_at: at("2026-12-01T06:00:00+01:00"), ends_at: at("2026-12-01T12:00:00+01:00") });
  assert.deepEqual(
    blocksOf(day, [late, night, early]).map(({ booking: { id }, top, height, lane, lanes }) => [
      id,
      top,
      height,
      lane,
      lanes,
    ]),
    [
      ["e", 0.25, 0.25, 0, 2],
      ["n", 0.75, 0.25, 0, 2],
      ["l", 0.875, 0.125, 1, 2],
    ],
  );
  assert.deepEqual(
    blocksOf(next, [late, night]).map(({ booking: { id }, top, height }) => [id, top, height]),
    [["n", 0, 0.25]],
  );
});

test("places follow the reader's clock, also on the days on which it changes", () => {
  for (const [date, offset] of [
    ["2027-03-28", "+02:00"],
    ["2026-10-25", "+01:00"],
  ] as const) {
    const [day] = weekOf(date, 0).filter((each: { date: string }) => each.date === date);
    assert.ok(day !== undefined);
    const lesson = booking("b", {
      starts_at: at(`${date}T12:00:00${offset}`),
      ends_at: at(`${date}T18:00:00${offset}`),
    });
    assert.deepEqual(
      blocksOf(day, [lesson]).map(({ top, height }) => [top, height]),
      [[0.5, 0.25]],
    );
    assert.equal(inputTime(timeAt(day, 0.51)), `${date}T12:00`);
    assert.equal(inputTime(timeAt(day, 0.99)), `${date}T23:30`);
  }
  // From 2:30 to 2:10 by that clock, 40 minutes later.
  const [day] = weekOf("2026-10-25", 0).filter((each: { date: string }) => each.date === "2026-10-25");
  assert.ok(day !== undefined);
  const twice = booking("t", { starts_at: at("2026-10-25T02:30:00+02:00"), ends_at: at("2026-10-25T02:10:00+01:00") });
  assert.deepEqual(
    blocksOf(day, [twice]).map(({ height }) => height),
    [0],
  );
});

test("a time that is typed is one of the reader's zone", () => {
  assert.deepEqual(momentOf("2026-12-01T10:00"), { seconds: TUESDAY });
  assert.equal(inputTime(TUESDAY), "2026-12-01T10:00");
  assert.equal(dateOf(TUESDAY), "2026-12-01");
  assert.equal(nextHour(TUESDAY), TUESDAY + 3600);
  assert.equal(zoneAt(TUESDAY), "Europe/Berlin (CET)");
});

test("a time that does not exist, or comes twice, is refused with what to do", () => {
  const problem = (text: string) => (momentOf(text) as { problem: string }).problem;
  assert.match(problem("2027-03-28T02:30"), /^There is no 2027-03-28 02:30 here: clocks are put forward/);
  assert.match(problem("2026-10-25T02:30"), /^2026-10-25 02:30 comes twice here/);
  assert.equal(problem(""), "Choose a date and a time.");
  assert.ok("seconds" in momentOf("2027-03-28T03:30"));
  assert.ok("seconds" in momentOf("2026-10-25T03:30"));
});

test("the next whole hour is that of the reader's zone", () => {
  process.env.TZ = "Asia/Kolkata";
  assert.equal(inputTime(nextHour(at("2026-12-01T10:20:30+05:30"))), "2026-12-01T11:00");
  assert.equal(inputTime(nextHour(at("2026-12-01T23:59:59+05:30"))), "2026-12-02T00:00");
  process.env.TZ = "Europe/Berlin";
});

test("a time comes twice also where clocks are put back by half an hour", () => {
  process.env.TZ = "Australia/Lord_Howe";
  assert.match((momentOf("2026-04-05T01:45") as { problem: string }).problem, /comes twice here/);
  assert.ok("seconds" in momentOf("2026-04-05T02:15"));
  process.env.TZ = "Europe/Berlin";
});

test("times in texts of the farm are shown in the reader's zone", () => {
  assert.equal(
    withLocalTimes("2 boards are booked for class-a from 2026-12-01 09:00 UTC until 2026-12-01 11:00 UTC"),
    "2 boards are booked for class-a from 2026-12-01 10:00 until 2026-12-01 12:00",
  );
});
