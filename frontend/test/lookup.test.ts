import assert from "node:assert/strict";
import { test } from "node:test";

import { entryOf } from "../src/lookup.ts";

test("a record has what it was given, whatever that is called", () => {
  const record = JSON.parse('{"A": 1, "__proto__": 2}');
  assert.deepEqual([entryOf(record, "A"), entryOf(record, "__proto__")], [1, 2]);
});

test("a record does not have what every object has", () => {
  for (const name of ["constructor", "toString", "__proto__", "hasOwnProperty"]) {
    assert.equal(entryOf({}, name), undefined);
    assert.equal(entryOf(undefined, name), undefined);
  }
});
