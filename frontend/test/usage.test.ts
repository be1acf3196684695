import assert from "node:assert/strict";
import { test } from "node:test";

import {
  BY_TIME,
  parseDimensions,
  parseSpan,
  parseUsageOrder,
  sinceOf,
  sortedUsage,
  toggled,
  usageCsv,
  usageKey,
} from "../src/usage.ts";
import { used } from "./made.ts";

test("usage is told apart by account unless the address says otherwise", () => {
  assert.deepEqual(parseDimensions(""), ["account"]);
  assert.deepEqual(parseDimensions("experiment,account"), ["account", "experiment"]);
  assert.deepEqual(parseDimensions("nonsense"), ["account"]);
});

test("one of what tells usage apart can be added and removed, but not the last one", () => {
  assert.equal(toggled(["account"], "board"), "account,board");
  assert.equal(toggled(["account", "board"], "account"), "board");
  assert.equal(toggled(["board"], "board"), "board");
});

test("one looks back a week unless the address says otherwise, to the minute", () => {
  assert.equal(parseSpan("x").span, "7d");
  assert.equal(sinceOf("1d", 86_400 + 90), 60);
  assert.equal(sinceOf("1d", 86_400 + 119), 60);
});

test("the longest time comes first unless the reader chose another order", () => {
  const records = [used("ada"), used("eve", { seconds: 90 }), used("bob", { seconds: 5, failed: 9 })];
  const accounts = (order: string) => sortedUsage(records, parseUsageOrder(order)).map(({ account }) => account);
  assert.deepEqual(parseUsageOrder(""), BY_TIME);
  assert.deepEqual(accounts(""), ["eve", "ada", "bob"]);
  assert.deepEqual(accounts("account"), ["ada", "bob", "eve"]);
});

test("a file of usage has the columns of the command line, and quotes what needs it", () => {
  const text = usageCsv([used("ada"), used('e"v,e', { first_at: null, last_at: null })]);
  assert.equal(
    text,
    "account,serial,experiment,boards,reservations,seconds,evaluations,failed,first_at,last_at\r\n" +
      "ada,,,1,1,60,5,0,0,1.5\r\n" +
      '"e""v,e",,,1,1,60,5,0,,\r\n',
  );
});

test("records of different boards are different rows", () => {
  assert.notEqual(usageKey(used("a", { serial: "b" })), usageKey(used("a", { experiment: "b" })));
});
