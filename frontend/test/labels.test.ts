import assert from "node:assert/strict";
import { test } from "node:test";

import { labelChanges, labelLines, labelsLeft } from "../src/labels.ts";

const LABELS = { lab: "3", batch: "2025-06" };

test("labels are edited as lines", () => {
  assert.equal(labelLines(LABELS), "batch=2025-06\nlab=3");
  assert.equal(labelLines(undefined), "");
});

test("only what differs is changed, and what is left out is taken away", () => {
  assert.deepEqual(labelChanges("lab=4\nnote = by the window\n", LABELS), {
    changes: { lab: "4", note: "by the window", batch: null },
  });
  assert.deepEqual(labelChanges(labelLines(LABELS), LABELS), { changes: {} });
});

test("a value may have signs of equality", () => {
  assert.deepEqual(labelChanges("x=a=b", {}), { changes: { x: "a=b" } });
});

test("a line that is no label is said", () => {
  for (const text of ["lab", "=3", "lab="]) assert.match(JSON.stringify(labelChanges(text, {})), /name=value/);
  assert.match(JSON.stringify(labelChanges("lab=3\nlab=4", {})), /two lines for label lab/);
});

test("labels may be called what every object has", () => {
  assert.deepEqual(labelChanges("toString=1\n__proto__=2", {}), {
    changes: Object.fromEntries([
      ["toString", "1"],
      ["__proto__", "2"],
    ]),
  });
  assert.deepEqual(labelsLeft({ constructor: null } as never, {}), []);
});

test("a label of the worker stays, and is named", () => {
  assert.deepEqual(labelsLeft({ lab: null, batch: null, x: "1" }, { lab: "3", x: "1" }), ["lab"]);
});
