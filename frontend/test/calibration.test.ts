import assert from "node:assert/strict";
import { test } from "node:test";

import {
  boardsOrderText,
  history,
  parseBoardsOrder,
  parseReference,
  sortedCalibrations,
  uncertainties,
  withUncertainty,
} from "../src/calibration.ts";
import { calibration } from "./made.ts";

test("boards are compared by the FPGA's oscillator unless the address names another reference", () => {
  assert.equal(parseReference("ring"), "ring");
  assert.equal(parseReference("nonsense"), "oscillator");
});

test("boards come by serial unless the address says otherwise", () => {
  const found = [calibration("B", -5), calibration("A", 7)];
  const serials = (text: string) => sortedCalibrations(found, parseBoardsOrder(text)).map(({ serial }) => serial);
  assert.deepEqual(serials(""), ["A", "B"]);
  assert.deepEqual(serials(boardsOrderText({ column: "offset", down: false })), ["B", "A"]);
  assert.deepEqual(serials(boardsOrderText({ column: "offset", down: true })), ["A", "B"]);
});

test("the uncertainties are the roots of the covariance's diagonal", () => {
  assert.deepEqual(uncertainties(calibration("A", 0)), { offset: 2, drift: 3, kelvin: 4 });
});

test("a figure has as many places as its uncertainty has meaning", () => {
  assert.equal(withUncertainty(12.3456, 0.234), "12.35 ± 0.23");
  assert.equal(withUncertainty(1234.5, 56), "1235 ± 56");
  assert.equal(withUncertainty(7, 0), "7");
  assert.equal(withUncertainty(-0.004, 99.9), "0 ± 100");
});

test("readings become points: how far each is off, in ppm", () => {
  const reading = { time: 5, expected_hz: 1000, pulses: 2002, window_us: 2_000_000, temperature_c: null };
  const { time, ppm, temperature } = history([reading]);
  assert.deepEqual([time, temperature], [[5], [null]]);
  assert.ok(Math.abs((ppm[0] ?? 0) - 1000) < 1e-6);
});
