import assert from "node:assert/strict";
import { test } from "node:test";

import {
  experimentOrderText,
  parseExperimentOrder,
  progressOf,
  stateOf,
  timeLeft,
  visibleExperiments,
} from "../src/experiments.ts";
import type { ExperimentRecord } from "../src/records.ts";
import { experiment } from "./made.ts";

const names = (records: readonly ExperimentRecord[]) => records.map(({ name }) => name);

test("an experiment runs, is complete, or is idle", () => {
  assert.equal(stateOf(experiment("a")), "idle");
  assert.equal(stateOf(experiment("a", { rate: 0.1 })), "running");
  assert.equal(stateOf(experiment("a", { rate: 0.1, total: 10, done: 8, failed: 2 })), "complete");
});

test("the time left is known while it runs and says how much it expects", () => {
  assert.equal(timeLeft(experiment("a", { total: 100, done: 30, failed: 20, rate: 5 })), 10);
  assert.equal(timeLeft(experiment("a", { done: 30, rate: 5 })), null);
  assert.equal(timeLeft(experiment("a", { total: 100, done: 30 })), null);
  assert.equal(timeLeft(experiment("a", { total: 10, done: 30, rate: 5 })), null);
});

test("progress is a part of what is expected, and no more than all of it", () => {
  assert.equal(progressOf(experiment("a", { total: 200, done: 40, failed: 10 })), 0.25);
  assert.equal(progressOf(experiment("a", { total: 10, done: 40 })), 1);
  assert.equal(progressOf(experiment("a", { done: 40 })), null);
  assert.equal(progressOf(experiment("a", { total: 0 })), 1);
});

test("own experiments come first, then those that run, then the last active one", () => {
  const records = [
    experiment("old", { account: "eve", last_at: 10 }),
    experiment("busy", { account: "eve", last_at: 5, rate: 1 }),
    experiment("new", { account: "eve", last_at: 20 }),
    experiment("mine", { last_at: 1 }),
    experiment("announced", { last_at: null, created_at: 30 }),
  ];
  const order = parseExperimentOrder("");
  assert.deepEqual(names(visibleExperiments(records, "", order, "ada/laptop")), [
    "announced",
    "mine",
    "busy",
    "new",
    "old",
  ]);
  assert.deepEqual(names(visibleExperiments(records, "", order)), ["busy", "announced", "new", "old", "mine"]);
});

test("experiments are filtered by name, account and state", () => {
  const records = [experiment("ga-7", { rate: 1 }), experiment("ga-8", { account: "eve" }), experiment("noise")];
  const shown = (filter: string) => names(visibleExperiments(records, filter, parseExperimentOrder("experiment")));
  assert.deepEqual(shown("ga"), ["ga-7", "ga-8"]);
  assert.deepEqual(shown("account:ada -state:running"), ["noise"]);
});

test("an order is read as it is written, and an unknown one is the usual one", () => {
  for (const text of ["", "done", "-done", "-left"]) {
    assert.equal(experimentOrderText(parseExperimentOrder(text)), text);
  }
  assert.equal(experimentOrderText(parseExperimentOrder("constructor")), "");
});

test("those without a value to sort by come last", () => {
  const records = [
    experiment("none"),
    experiment("soon", { total: 10, rate: 5 }),
    experiment("late", { total: 99, rate: 1 }),
  ];
  assert.deepEqual(names(visibleExperiments(records, "", parseExperimentOrder("left"))), ["soon", "late", "none"]);
});
