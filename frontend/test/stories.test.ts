import assert from "node:assert/strict";
import { test } from "node:test";

import { type Line, logLine, queueLine, reservationLines, stateLine, workerLine } from "../src/journal.ts";
import type { Status } from "../src/records.ts";
import { storiesOf } from "../src/stories.ts";
import { change, request, reservation, worker } from "./made.ts";

const state = (
  time: number,
  serial: string,
  status: Status,
  reason: string | null = null,
  client: string | null = null,
) => stateLine(change(time, serial, status, { reason, client }));
const warning = (time: number, serial: string | null, message: string, level = "warn") =>
  logLine({ time, level, worker: "w1", serial, message });
const there = (line: Line | null): Line => {
  assert.ok(line !== null);
  return line;
};
const texts = (lines: readonly Line[]) => storiesOf(lines).map(({ text }) => text);

/** All that a board leaves in the journal when a client has it from `from` to `to`. */
function use(serial: string, client: string, from: number, to: number): readonly Line[] {
  return [
    ...reservationLines(
      reservation(serial, client, { created_at: from, ended_at: to, end_reason: "ended by its client" }),
    ),
    state(from + 0.1, serial, "reserved", null, client),
    state(from + 0.2, serial, "flashing", "switching", client),
    state(from + 2, serial, "reserved", null, client),
    state(to + 0.1, serial, "flashing"),
    state(to + 2, serial, "testing"),
    state(to + 2.1, serial, "available"),
  ];
}

test("a reservation of several boards is one story, from its begin to its end", () => {
  const stories = storiesOf(["A", "B", "C"].flatMap((serial) => use(serial, "exp", 100, 106)));
  assert.equal(stories.length, 1);
  assert.equal(stories[0]?.text, "exp had reserved 3 boards as pulsecount for 6 s: ended by its client");
  assert.deepEqual(stories[0]?.serials, ["A", "B", "C"]);
  assert.equal(stories[0]?.lines.length, 24);
});

test("a reservation that goes on is open", () => {
  const [story] = storiesOf(reservationLines(reservation("A", "exp")));
  assert.equal(story?.text, "exp has reserved 1 board as pulsecount");
  assert.equal(story?.open, true);
});

test("two reservations of one client one after the other are two stories", () => {
  assert.equal(storiesOf([...use("A", "exp", 100, 106), ...use("A", "exp", 200, 206)]).length, 2);
});

test("boards that clients reserve at the same time are in a story for each client", () => {
  assert.equal(storiesOf([...use("A", "exp", 100, 106), ...use("B", "ada", 100, 106)]).length, 2);
});

test("a board that is tested in vain again and again is told once", () => {
  const lines = [10, 70, 130].flatMap((time) => [
    state(time, "A", "broken", "CDONE stayed low"),
    state(time + 5, "A", "testing"),
  ]);
  const [story, ...others] = storiesOf(lines);
  assert.equal(others.length, 0);
  assert.equal(story?.text, "is broken: CDONE stayed low (3 times)");
  assert.equal(story?.level, "error");
});

test("a board that comes back and breaks again soon stays one story", () => {
  const lines = [
    state(10, "A", "broken", "no answer"),
    state(20, "A", "available"),
    state(60, "A", "broken", "no answer"),
  ];
  assert.deepEqual(texts(lines), ["is broken: no answer (2 times)"]);
});

test("a board that breaks again after hours is a story of its own", () => {
  const lines = [
    state(10, "A", "broken", "no answer"),
    state(20, "A", "available"),
    state(9000, "A", "broken", "no answer"),
  ];
  assert.equal(storiesOf(lines).length, 2);
});

test("another reason is another story, and the first one is over", () => {
  const stories = storiesOf([state(10, "A", "offline", "unplugged"), state(50, "A", "broken", "no answer")]);
  assert.deepEqual(
    stories.map(({ open }) => open),
    [true, false],
  );
});

test("two names of one fault within seconds are one story, under the last name", () => {
  const lines = [state(10, "A", "offline", "lost: Connection was closed"), state(11, "A", "offline", "unplugged")];
  assert.deepEqual(texts(lines), ["is offline: unplugged"]);
});

test("what has mended says how long it took", () => {
  const lines = [state(10, "A", "broken", "no answer"), state(60, "A", "flashing"), state(70, "A", "available")];
  assert.deepEqual(texts(lines), ["was broken for 1 min: no answer"]);
});

test("boards that break together of one cause are one story", () => {
  const lines = ["A", "B"].map((serial, index) => state(10 + index, serial, "offline", "hub is gone"));
  assert.deepEqual(storiesOf(lines)[0]?.serials, ["A", "B"]);
  assert.deepEqual(texts(lines), ["are offline: hub is gone"]);
});

test("what a worker logs about a broken board belongs to its story", () => {
  const lines = [
    warning(9, "A", "no answer to ping"),
    state(10, "A", "broken", "no answer"),
    warning(40, "A", "still no answer"),
  ];
  const [story, ...others] = storiesOf(lines);
  assert.equal(others.length, 0);
  assert.equal(story?.lines.length, 3);
});

test("what a worker logs about a board that is well stands alone, once with its number of times", () => {
  const lines = [10, 20, 30].map((time) => warning(time, "A", "flash retry"));
  assert.deepEqual(texts([...lines, warning(31, "B", "flash retry")]), ["flash retry", "flash retry (3 times)"]);
});

test("a worker that goes takes its boards with it in one story", () => {
  const gone = there(workerLine(worker("w1", { status: "offline" }), worker("w1"), 10));
  const back = there(workerLine(worker("w1"), worker("w1", { status: "offline" }), 50));
  const boards = ["A", "B"].map((serial) => state(10.5, serial, "offline", "its worker is away"));
  assert.deepEqual(texts([gone, ...boards]), ["is offline, and 2 boards with it"]);
  const whole = [gone, ...boards, back, ...["A", "B"].map((serial) => state(51, serial, "available"))];
  assert.deepEqual(texts(whole), ["was offline for 41 s, and 2 boards with it"]);
});

test("a worker that comes, or drains, is told", () => {
  const came = there(workerLine(worker("w1"), undefined, 10));
  const drains = there(workerLine(worker("w1", { draining: true }), worker("w1"), 50));
  assert.deepEqual(texts([came, drains]), ["drains: its boards get no new reservations", "is online"]);
});

test("a request is one story from its first wait to its boards", () => {
  const waits = there(queueLine(request("ada"), undefined, 10));
  assert.deepEqual(texts([waits]), ["ada waits for 2 × pulsecount: none is free"]);
  const served = there(queueLine(request("ada", { place: 0 }), request("ada"), 28));
  assert.deepEqual(texts([waits, served]), ["ada waited 18 s for 2 × pulsecount"]);
});

test("boards that are new are told together", () => {
  const lines = ["A", "B", "C"].map((serial) => state(10, serial, "available"));
  assert.deepEqual(
    storiesOf(lines).map(({ text, serials }) => [text, serials.length]),
    [["are available", 3]],
  );
});

test("a board that is flashed without a reservation was flashed and tested", () => {
  const lines = [state(1, "A", "available"), state(100, "A", "flashing"), state(103, "A", "testing")];
  assert.equal(storiesOf(lines)[0]?.text, "is being flashed and tested");
  assert.equal(storiesOf([...lines, state(104, "A", "available")])[0]?.text, "was flashed and tested");
});

test("the story with the latest line comes first, whatever the order of the lines", () => {
  const lines = [state(50, "B", "broken", "b"), state(10, "A", "broken", "a")];
  assert.deepEqual(texts(lines), ["is broken: b", "is broken: a"]);
});

test("a reservation that began before the journal is told by its end", () => {
  const [, end] = reservationLines(reservation("A", "exp", { ended_at: 1200, end_reason: "expired" }));
  assert.deepEqual(texts([there(end ?? null)]), ["exp had reserved 1 board: expired"]);
});

test("keys of stories differ, so that each is drawn once", () => {
  const lines = [
    ...use("A", "exp", 100, 106),
    ...use("B", "ada", 100, 106),
    warning(100, "C", "x"),
    warning(100, "D", "x"),
  ];
  const keys = storiesOf(lines).map(({ key }) => key);
  assert.equal(new Set(keys).size, keys.length);
});

test("of thousands of different lines, each is not compared with all others", () => {
  let reads = 0;
  const lines = Array.from({ length: 3000 }, (_, index) => {
    const { time, ...rest } = warning(index * 10, `S${index % 50}`, `message ${index}`);
    return Object.defineProperty(rest, "time", {
      get: () => {
        reads += 1;
        return time;
      },
    }) as Line;
  });
  assert.equal(storiesOf(lines).length, 3000);
  assert.ok(reads < 3000 * 10, `${reads} reads`);
});
