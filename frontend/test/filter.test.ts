import assert from "node:assert/strict";
import { test } from "node:test";

import { matches, parseFilter } from "../src/filter.ts";

const board = {
  serial: "A17",
  worker: "pi2",
  state: "reserved",
  health: "ok",
  client: "exp-42",
  kind: "pulsecount",
  firmware: "",
  reason: null,
};
const passes = (text: string) => matches(parseFilter(text).terms, board);

test("words are sought in every field, whatever their case", () => {
  assert.equal(passes("EXP"), true);
  assert.equal(passes("exp pi2"), true);
  assert.equal(passes("exp pi3"), false);
});

test("a field's name narrows the search to it", () => {
  assert.equal(passes("worker:pi2 state:reserved"), true);
  assert.equal(passes("client:pi2"), false);
});

test("commas are alternatives, a minus excludes", () => {
  assert.equal(passes("state:broken,reserved"), true);
  assert.equal(passes("-state:broken,reserved"), false);
  assert.equal(passes("-client:ada"), true);
});

test("a field with nothing behind it asks for none", () => {
  assert.equal(passes("client:"), false);
  assert.equal(passes("firmware:"), true);
});

test("quotation marks keep blanks, also while they are still open", () => {
  assert.deepEqual(parseFilter('client:"two words').terms, [{ not: false, field: "client", values: ["two words"] }]);
});

test("an unknown field is named, and the rest of the filter works", () => {
  const { terms, problem } = parseFilter("sttae:reserved exp");
  assert.match(problem ?? "", /no field "sttae"/);
  assert.equal(terms.length, 1);
});

test("no text stops the reader", () => {
  for (const text of [":", "-", '"', "::", "a:b:c", "  ", "-:", ",", 'x:",'.repeat(50)]) parseFilter(text);
});
