import assert from "node:assert/strict";
import { test } from "node:test";

process.env.TZ = "Asia/Kolkata";

import type { LogRecord } from "../../src/records.ts";
import { board, change, reservation, snapshot, worker } from "../made.ts";
import { looking, NOW, type Scene, type Shown } from "./show.tsx";

const log = (message: string, changes: Partial<LogRecord> = {}): LogRecord => ({
  time: NOW - 60,
  level: "info",
  worker: "w1",
  serial: null,
  message,
  ...changes,
});
const journal = (...lines: readonly LogRecord[]) => ({ journal: { states: [], reservations: [], log: lines } });
const see = (scene: Scene, look: (shown: Shown) => Promise<void> | void) =>
  looking(
    {
      at: "events",
      ...scene,
      answers: { snapshot: snapshot([board("A2")], { workers: [worker("w1")] }), ...scene.answers },
    },
    look,
  );
/** The last cell of each row: what happened. */
const told = (shown: Shown) => shown.rows("Events").map((cells) => cells.at(-1));

test("a farm to which nothing has happened says so", () =>
  see({}, (shown) => {
    assert.match(shown.text, /Nothing has happened/);
  }));

test("what happened before the page was opened is told, the latest first", () =>
  see({ answers: journal(log("first", { time: NOW - 90 }), log("second")) }, (shown) => {
    assert.deepEqual(told(shown), ["second", "first"]);
  }));

test("events are filtered by level and by words", () => {
  const lines = journal(
    log("flash retry", { level: "warn", serial: "A2" }),
    log("a word"),
    log("broken", { level: "error", serial: "B1" }),
  );
  return see({ answers: lines }, async (shown) => {
    await shown.choose("Level", "warn");
    assert.deepEqual(told(shown).toSorted(), ["broken", "flash retry"]);
    await shown.type("Search", "board:A2 flash");
    assert.deepEqual(told(shown), ["flash retry"]);
    assert.equal(window.location.hash, "#/events?level=warn&q=board%3AA2+flash");
    await shown.type("Search", "board:none");
    assert.match(shown.text, /No event matches/);
    await shown.type("Search", "colour:red");
    assert.match(shown.text, /there is no field "colour"/);
  });
});

test("paused, events are counted and not shown until the reader goes on", () =>
  see({ answers: journal(log("old")) }, async (shown) => {
    await shown.click("Pause");
    await shown.tell("log", log("a second one", { time: NOW }));
    assert.deepEqual(told(shown), ["old"]);
    await shown.click("Paused, 1 more: go on");
    assert.deepEqual(told(shown), ["a second one", "old"]);
    assert.ok(shown.button("Pause"));
  }));

test("many events are on pages, and a search begins on the first", () =>
  see(
    {
      answers: journal(...Array.from({ length: 60 }, (_, index) => log(`line ${index}`, { time: NOW - 100 + index }))),
    },
    async (shown) => {
      assert.equal(shown.rows("Events").length, 50);
      assert.equal(shown.button("Newer").disabled, true);
      await shown.click("Older");
      assert.equal(shown.rows("Events").length, 10);
      assert.match(shown.text, /Page 2 of 2, 60 events/);
      assert.match(window.location.hash, /page=2$/);
      await shown.type("Search", "line 5");
      assert.equal(shown.rows("Events").length, 15);
      assert.doesNotMatch(window.location.hash, /page=/);
    },
  ));

for (const page of ["99", "-1", "x", "1e9", "0.5"]) {
  test(`page ${page} of events is one that there is`, () =>
    see({ at: `events?page=${page}`, answers: journal(log("the only one")) }, (shown) => {
      assert.deepEqual(told(shown), ["the only one"]);
    }));
}

test("a reservation of several boards is one event, whose lines are there once it is opened", () =>
  see({}, async (shown) => {
    for (const serial of ["W1", "W2", "W3"])
      await shown.tell("reservation", reservation(serial, "one-story", { created_at: NOW }));
    assert.deepEqual(told(shown), ["one-story has reserved 3 boards as pulsecount"]);
    assert.ok(shown.rows("Events")[0]?.some((cell) => cell === "W1 and 2 more"));
    assert.equal(shown.root.querySelectorAll(".lines li").length, 0);
    const details = shown.root.querySelector("td details") as HTMLDetailsElement;
    await shown.when(() => {
      details.open = true;
      details.dispatchEvent(new Event("toggle"));
    });
    assert.equal(shown.root.querySelectorAll(".lines li").length, 3);
    for (const serial of ["W1", "W2", "W3"]) {
      await shown.tell(
        "reservation",
        reservation(serial, "one-story", { created_at: NOW, ended_at: NOW + 8, end_reason: "ended" }),
      );
    }
    assert.equal(told(shown).length, 1);
    assert.match(told(shown)[0] ?? "", /^one-story had reserved 3 boards as pulsecount for 8 s/);
  }));

test("a board that stays broken is one event, however often it is tested", () => {
  const states = [0, 10, 20].flatMap((begin) => [
    change(NOW - 100 + begin, "V1", "broken", { reason: "no answer" }),
    change(NOW - 95 + begin, "V1", "testing"),
  ]);
  return see({ at: "events?level=warn", answers: { journal: { states, reservations: [], log: [] } } }, (shown) => {
    assert.equal(told(shown).length, 1);
    assert.match(told(shown)[0] ?? "", /is broken: no answer \(3 times\)/);
  });
});

test("times are of 24 hours in the reader's zone, with their date", () =>
  see({ answers: journal(log("evening", { time: Date.UTC(2026, 10, 29, 17, 35, 9) / 1000 })) }, (shown) => {
    assert.equal(shown.rows("Events")[0]?.[0], "2026-11-29 23:05:09");
  }));

test("a message is text and never markup", () =>
  see({ answers: journal(log("<script>alert(1)</script>", { worker: "<b>w</b>", serial: "</td>" })) }, (shown) => {
    assert.deepEqual(told(shown), ["<script>alert(1)</script>"]);
    assert.ok(shown.root.querySelector("table script, table b") === null);
  }));

test("a level that the page does not know counts as one that it knows", () =>
  see({ answers: journal(log("odd", { level: "fatal" })) }, (shown) => {
    assert.deepEqual(told(shown), ["odd"]);
  }));

test("a journal that the farm does not give leaves what happens from now on", () =>
  see({ answers: { journal: Object.assign(new Error("away"), { name: "busy" }) } }, async (shown) => {
    await shown.tell("log", log("from now on", { time: NOW }));
    assert.deepEqual(told(shown), ["from now on"]);
  }));

test("a page shows what happened to its own thing alone", () =>
  see({ at: "worker/w1", answers: journal(log("of w1"), log("of w2", { worker: "w2" })) }, (shown) => {
    assert.deepEqual(
      shown.rows("What happened").map((cells) => cells.at(-1)),
      ["of w1"],
    );
  }));
