// A board's own page, boards compared, labels.

import assert from "node:assert/strict";
import { test } from "node:test";

import type { BoardHistory, BoardRecord } from "../../src/records.ts";
import { board, calibration, change, reading, reserved, snapshot, steps } from "../made.ts";
import { type Fields, refusal } from "../testfarm.ts";
import { looking, NOW, type Scene, type Shown } from "./show.tsx";

const CALIBRATED = {
  id: "c1", measured_at: NOW - 60, offset_ppm: 12.3456, offset_uncertainty_ppm: 0.234, noise_ppm: 1,
  drift_ppm_per_day: 0, drift_uncertainty: 1, suspect: "its offset has moved",
}; // biome-ignore format: a record in few lines
const NO_SAMPLES = { time: [], rate: [], load_ms: [], window_ms: [], temperature_c: [], failures: [], retries: [] };
const past = (changes: Partial<BoardHistory> = {}): BoardHistory => ({
  since: NOW - 86_400, time: NOW, states: [], samples: NO_SAMPLES, log: [], ...changes,
}); // biome-ignore format: a record in few lines
const see = (one: BoardRecord, scene: Scene, look: (shown: Shown) => Promise<void> | void) =>
  looking(
    {
      at: `board/${encodeURIComponent(one.serial)}`,
      ...scene,
      answers: { snapshot: snapshot([one]), device_history: past(), ...scene.answers },
    },
    look,
  );
/** What is known of a board, by label. */
const facts = (shown: Shown) =>
  Object.fromEntries(
    [...shown.root.querySelectorAll(".facts > div")].map((fact) => [...fact.children].map((part) => part.textContent)),
  );

test("a board says what it is, what it does, and what it did", () =>
  see(
    reserved("A1", "ada", { expires_at: NOW + 60, labels: { lab: "3" }, evaluations: 7, retries: 1 }),
    {
      answers: {
        snapshot: snapshot(
          [reserved("A1", "ada", { expires_at: NOW + 60, labels: { lab: "3" }, evaluations: 7, retries: 1 })],
          { readings: { A1: reading({ rate: 3, evaluations: 9, temperature_c: 31.25 }) } },
        ),
      },
    },
    (shown) => {
      const known = facts(shown);
      assert.equal(known.State, "●reserved");
      assert.equal(known.Client, "ada");
      assert.equal(known.Labels, "lab=3");
      assert.equal(known.Evaluations, "9 since its worker started");
      assert.equal(known.Retries, "1");
      assert.equal(known.Temperature, "31.3 °C");
      assert.match(known["Time left"] ?? "", /^1 min \(until \d\d:\d\d:\d\d\)$/);
      assert.equal(known.Load, undefined);
    },
  ));

test("a broken board says why in a line of its own", () =>
  see(board("A1", { status: "broken", reason: "CDONE stayed low" }), {}, (shown) => {
    assert.equal(facts(shown).Reason, "CDONE stayed low");
    assert.equal(facts(shown).Doing, undefined);
  }));

test("a board that several clients share names them all", () =>
  see(reserved("A1", "ada", { shares: { r1: "ada", r2: "bob" } }), {}, (shown) => {
    assert.equal(facts(shown)["Shared by"], "ada, bob");
  }));

test("a board that the farm does not have is named, and nothing is drawn of it", () =>
  see(board("A1"), { at: "board/%3Cb%3E" }, (shown) => {
    assert.match(shown.text, /The farm has no board <b>/);
    assert.ok(shown.root.querySelector("figure") === null);
  }));

test("a board's day is a line of its states, with how long each lasted", () => {
  const states = [
    change(NOW - 900, "A1", "available"),
    change(NOW - 600, "A1", "reserved", { client: "ada" }),
    change(NOW - 60, "A1", "broken", { reason: "no answer" }),
  ];
  return see(board("A1"), { answers: { device_history: past({ states }) } }, (shown) => {
    assert.match(shown.text, /The last 15 min/);
    assert.equal(shown.root.querySelectorAll("svg rect").length, 3);
    const shares = [...shown.root.querySelectorAll("figcaption .share")].map((share) => share.textContent);
    assert.deepEqual(shares, ["✕broken 1 min", "●reserved 9 min", "○available 5 min"]);
    assert.match(shown.root.querySelectorAll("svg title")[1]?.textContent ?? "", /: reserved, ada$/);
    assert.match(shown.text, /It has not evaluated anything in this time/);
    assert.match(shown.rows("What happened to this board")[0]?.at(-1) ?? "", /is broken: no answer/);
  });
});

test("what a board measured of itself is plotted, with the latest values in words", () => {
  const samples = {
    ...NO_SAMPLES,
    time: [NOW - 120, NOW - 60],
    rate: [1, 2],
    load_ms: [3, null],
    window_ms: [5, 6],
    temperature_c: [20, 21],
    failures: [0, 0],
    retries: [0, 1],
  };
  const states = [change(NOW - 900, "A1", "available")];
  return see(board("A1"), { answers: { device_history: past({ states, samples }) } }, async (shown) => {
    assert.equal(shown.plots().length, 6);
    assert.ok(shown.plots().includes("Evaluations/s; now: evaluations/s 2 mean of each minute"), String(shown.plots()));
    assert.ok(shown.plots().includes("Load time; now: load time – ms"), String(shown.plots()));
    await shown.type("Moment of Load time", "0");
    assert.match(
      shown.see.getByLabelText("Moment of Load time").getAttribute("aria-valuetext") ?? "",
      /: load time 3 ms$/,
    );
  });
});

test("what the farm can't tell of a board is said by its name, and asked for again", () =>
  see(board("A1"), { answers: { device_history: refusal("busy", "try again") } }, async (shown) => {
    assert.match(shown.text, /busy: try again/);
    shown.farm.answers.device_history = past({ states: [change(NOW - 900, "A1", "available")] });
    await shown.pass(2000);
    assert.doesNotMatch(shown.text, /try again/);
    assert.match(shown.text, /What happened/);
  }));

test("a page that is looked at is fetched again; one behind others is not", () =>
  see(board("A1"), {}, async (shown) => {
    const asked = () => shown.farm.asked("device_history").length;
    await shown.pass(10_000);
    assert.equal(asked(), 2);
    Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true });
    await shown.pass(30_000);
    Object.defineProperty(document, "visibilityState", { value: "visible", configurable: true });
    assert.equal(asked(), 2);
    await shown.pass(10_000);
    assert.equal(asked(), 3);
  }));

test("an operator edits the labels of a board: only what differs is sent", () => {
  const one = board("A1", { labels: { lab: "3", batch: "x" } });
  const label = ({ labels }: Fields) => [{ ...one, labels: { lab: "4", ...(labels as Record<string, string>) } }];
  return see(one, { as: "operator", answers: { label } }, async (shown) => {
    await shown.click("Edit labels");
    assert.equal(shown.see.getByLabelText<HTMLTextAreaElement>(/^Labels, each/).value, "batch=x\nlab=3");
    await shown.type(/^Labels, each/, "lab=4\nbatch=x");
    await shown.submit(shown.root.querySelector("form.labels") as Element);
    assert.deepEqual(shown.farm.asked("label"), [{ labels: { lab: "4" }, serials: ["A1"] }]);
    assert.match(shown.text, /Board A1: its labels are changed/);
    assert.ok(shown.button("Edit labels"));
  });
});

test("a line that is no label is said, and nothing is sent", () =>
  see(board("A1"), { as: "operator" }, async (shown) => {
    await shown.click("Edit labels");
    await shown.type(/^Labels, each/, "lab");
    await shown.submit(shown.root.querySelector("form.labels") as Element);
    assert.match(shown.text, /"lab" is none/);
    assert.deepEqual(shown.farm.asked("label"), []);
    await shown.click("Cancel");
    assert.doesNotMatch(shown.text, /is none/);
  }));

test("a label of the worker that was taken away is there still, and the reader learns where it is", () => {
  const one = board("A1", { labels: { lab: "3" } });
  return see(one, { as: "operator", answers: { label: () => [one] } }, async (shown) => {
    await shown.click("Edit labels");
    await shown.type(/^Labels, each/, "");
    await shown.submit(shown.root.querySelector("form.labels") as Element);
    assert.match(shown.text, /lab: this is a label of worker w1/);
  });
});

test("labels that were not changed are not sent; a refusal is said", () =>
  see(
    board("A1"),
    { as: "operator", answers: { label: refusal("invalid_argument", "labels: too many") } },
    async (shown) => {
      await shown.click("Edit labels");
      await shown.submit(shown.root.querySelector("form.labels") as Element);
      assert.deepEqual(shown.farm.asked("label"), []);
      await shown.click("Edit labels");
      await shown.type(/^Labels, each/, "a=1");
      await shown.submit(shown.root.querySelector("form.labels") as Element);
      assert.match(shown.root.querySelector("form .problem")?.textContent ?? "", /labels: too many/);
    },
  ));

const READINGS = {
  readings: [{ time: NOW - 90, expected_hz: 1000, pulses: 2002, window_us: 2_000_000, temperature_c: 20 }],
  time: NOW,
};

test("a calibrated board shows how far off it is, and its readings of each reference", () =>
  see(board("A1", { calibration: CALIBRATED }), { answers: { reference_readings: READINGS } }, async (shown) => {
    assert.equal(facts(shown).Offset, "12.35 ± 0.23 ppm");
    assert.match(shown.text, /Suspect: its offset has moved/);
    assert.ok(shown.plots().includes("Deviation; now: deviation 1,000 ppm"), String(shown.plots()));
    await shown.choose("Readings of the", "ring");
    assert.deepEqual(shown.farm.asked("reference_readings").at(-1), { serial: "A1", reference: "ring" });
    assert.equal(window.location.hash, "#/board/A1?reference=ring");
  }));

test("a board that has not measured a reference says so", () =>
  see(
    board("A1", { calibration: { ...CALIBRATED, suspect: null } }),
    { answers: { reference_readings: { readings: [], time: NOW } } },
    (shown) => {
      assert.match(shown.text, /It has not measured this circuit/);
      assert.doesNotMatch(shown.text, /Suspect/);
    },
  ));

test("what a board measured is shown for one of its experiments", () => {
  const part = (name: string) => ({ account: "ada", name, done: 5, failed: 1, first_at: 0, last_at: NOW - 10 });
  const series = {
    step: 1,
    board_step: 1,
    together: steps([NOW - 20, NOW - 10], [[3, 5], [10]]),
    boards: {},
    next: "1",
  };
  const answers = { board_experiments: [part("ga-7"), part("ga-8")], experiment_series: series };
  return see(board("A1"), { answers }, async (shown) => {
    assert.ok(shown.plots().includes("Values; now: mean 10, highest 10, lowest 10"), String(shown.plots()));
    assert.deepEqual(shown.firsts("Experiments of the board"), ["ga-7", "ga-8"]);
    await shown.choose("Values for", "ada/ga-8");
    assert.deepEqual(shown.farm.asked("experiment_series").at(-1)?.name, "ga-8");
    assert.deepEqual(shown.farm.asked("experiment_series").at(-1)?.serials, ["A1"]);
  });
});

const COMPARED = {
  calibrations: [calibration("B", -5), calibration("A", 7), calibration("constructor", 1)],
  suspects: { B: "unlike the others" },
  time: NOW,
};

test("boards are compared by how they deviate, in an order of the reader's", () =>
  see(board("A"), { at: "compare", answers: { calibrations: COMPARED } }, async (shown) => {
    assert.deepEqual(shown.firsts("Boards compared"), ["A", "B", "constructor"]);
    assert.deepEqual(
      shown.rows("Boards compared").map((cells) => cells.at(-1)),
      ["", "unlike the others", ""],
    );
    assert.equal(shown.rows("Boards compared")[0]?.[1], "7.0 ± 2.0");
    await shown.click("Offset, ppm");
    assert.deepEqual(shown.firsts("Boards compared"), ["B", "constructor", "A"]);
  }));

test("another reference is asked for, and what is known of the one before is not shown as of this one", () =>
  see(
    board("A"),
    {
      at: "compare",
      answers: {
        calibrations: ({ reference }: Fields) => (reference === "oscillator" ? COMPARED : refusal("busy", "later")),
      },
    },
    async (shown) => {
      await shown.choose("By the", "crystal");
      assert.match(shown.text, /busy: later/);
      assert.ok(shown.see.queryByRole("table") === null);
    },
  ));

test("a farm without calibrations says when boards calibrate", () =>
  see(
    board("A"),
    { at: "compare", answers: { calibrations: { calibrations: [], suspects: {}, time: NOW } } },
    (shown) => {
      assert.match(shown.text, /No board is calibrated yet/);
    },
  ));
