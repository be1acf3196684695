import assert from "node:assert/strict";
import { test } from "node:test";

import {
  csvOf,
  extremes,
  fileName,
  nearest,
  scaleOf,
  spanOf,
  stacked,
  timeMarks,
  valueAt,
  valueMarks,
} from "../src/plotting.ts";

const series = (label: string, ...values: (number | null)[]) => ({ label, values, color: "accent" });

test("a young farm's plot starts with the farm", () => {
  assert.deepEqual(spanOf([900, 950], 1000, 3600), [900, 1000]);
  assert.deepEqual(spanOf([100], 10_000, 3600), [6400, 10_000]);
});

test("a plot shows a minute at least, and its whole span where nothing was recorded", () => {
  assert.deepEqual(spanOf([995], 1000, 3600), [940, 1000]);
  assert.deepEqual(spanOf([], 10_000, 3600), [6400, 10_000]);
});

test("a change from 32.2 to 33.6 degrees fills the plot", () => {
  const [least, most] = scaleOf([32.2, 33.6], false, 0.5);
  assert.ok(least > 31.9 && least < 32.2 && most > 33.6 && most < 33.9);
});

test("noise does not fill the plot", () => {
  const [least, most] = scaleOf([30, 30.01], false, 0.5);
  assert.ok(most - least >= 0.5);
});

test("a scale does not reach below 0 for values that do not", () => {
  assert.deepEqual(scaleOf([0, 0], false, 1)[0], 0);
  assert.ok(scaleOf([-3, -1], false)[0] < -3);
});

test("values that are all the same have a scale around them", () => {
  const [least, most] = scaleOf([7, 7], false);
  assert.ok(least < 7 && most > 7);
});

test("what is counted begins at 0, with room above", () => {
  assert.deepEqual(scaleOf([2, 100], true), [0, 108]);
  assert.deepEqual(scaleOf([0, 0], true), [0, 1]);
  assert.deepEqual(scaleOf(null, true), [0, 1]);
});

test("the scale is that of what is in sight, gaps left out", () => {
  assert.deepEqual(extremes([1, 2, 3, 4], [[1, 50, null, 9]], [2.5, 4]), [9, 9]);
  assert.equal(extremes([1, 2], [[1, 2]], [3, 4]), null);
});

test("stacked series are sums from below", () => {
  assert.deepEqual(stacked([series("a", 1, 2), series("b", 10, null)]), [
    [11, 2],
    [1, 2],
  ]);
});

test("marks have the decimals that their distance needs", () => {
  assert.deepEqual(valueMarks([32, 32.5, 33], 0.5), ["32.0", "32.5", "33.0"]);
  assert.deepEqual(valueMarks([0, 1000, 2000], 1000), ["0", "1,000", "2,000"]);
  assert.deepEqual(valueMarks([0.01, 0.02], 0.01), ["0.01", "0.02"]);
  assert.deepEqual(valueMarks([0, 0.25, 0.5], 0.25), ["0.00", "0.25", "0.50"]);
  assert.deepEqual(valueMarks([1e-7, 3.5e-7], 2.5e-7), ["0.00000010", "0.00000035"]);
  assert.deepEqual(valueMarks([0, 2e6], 2e6), ["0", "2,000,000"]);
});

test("marks of values that are tiny have an exponent", () => {
  assert.deepEqual(valueMarks([0, 1e-100, 2e-100], 1e-100), ["0", "1e-100", "2e-100"]);
});

test("marks of times have seconds where they are close", () => {
  assert.match(timeMarks([1_700_000_000], 30)[0] ?? "", /^\d\d:\d\d:\d\d$/);
  assert.match(timeMarks([1_700_000_000], 60)[0] ?? "", /^\d\d:\d\d$/);
});

test("the pointer finds the closest sample", () => {
  assert.equal(nearest([10, 20, 30], 24), 1);
  assert.equal(nearest([10, 20, 30], 99), 2);
  assert.equal(nearest([], 1), -1);
});

test("a legend shows the value under the pointer, else the last one", () => {
  assert.equal(valueAt([1, 2.5, 3], 1), "2.5");
  assert.equal(valueAt([1, 2.5, 3], null), "3");
  assert.equal(valueAt([], null), "–");
  assert.equal(valueAt([null], 0), "–");
});

test("a plot is saved as a table that spreadsheets read", () => {
  const text = csvOf([0, 60], [series("load", 1.5, null), series('a "b", c', 2, 3)], "ms");
  assert.deepEqual(text.split("\r\n"), [
    'time,load (ms),"a ""b"", c (ms)"',
    "1970-01-01T00:00:00.000Z,1.5,2",
    "1970-01-01T00:01:00.000Z,,3",
    "",
  ]);
});

test("a file's name says what is in it", () => {
  assert.match(
    fileName("Boards by state", 1_700_000_000, "png"),
    /^icefarm-boards-by-state-2023-11-1\d-\d\d-\d\d-\d\d\.png$/,
  );
});
