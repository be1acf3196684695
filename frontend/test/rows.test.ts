import assert from "node:assert/strict";
import { test } from "node:test";

import type { Farm } from "../src/farm.ts";
import {
  BY_NEED,
  isOf,
  type Order,
  orderText,
  parseOrder,
  rowOf,
  textsOf,
  visibleRows,
  windowOf,
} from "../src/rows.ts";
import { board, farmOf, reading, reserved } from "./made.ts";

const BY_SERIAL: Order = { column: "serial", down: false };
const serials = (farm: Farm, filter: string, order: Order, own = "") =>
  visibleRows(farm, filter, order, own).map((row) => row.board.serial);

test("rows are sorted as people count, boards without a client last", () => {
  const farm = farmOf(board("B10"), reserved("B9", "zoe"), reserved("B11", "ada"));
  assert.deepEqual(serials(farm, "", BY_SERIAL), ["B9", "B10", "B11"]);
  assert.deepEqual(serials(farm, "", { column: "client", down: false }), ["B11", "B9", "B10"]);
});

test("serials of chips are in the order of their characters", () => {
  const chips = ["1000000000001EEF", "400000000000B99A", "100000000000B99A", "100000000000D889"];
  assert.deepEqual(serials(farmOf(...chips.map((serial) => board(serial))), "", BY_SERIAL), [...chips].sort());
});

test("what needs a person comes first until another order is chosen", () => {
  const farm = farmOf(
    board("A"),
    reserved("B", "ada"),
    board("C", { status: "offline" }),
    board("D", { status: "broken" }),
  );
  assert.deepEqual(serials(farm, "", BY_NEED), ["D", "C", "B", "A"]);
});

test("a reader's own boards come before all others", () => {
  const farm = farmOf(board("A", { status: "broken" }), reserved("B", "ada"), reserved("C", "zoe"));
  assert.deepEqual(serials(farm, "", BY_NEED, "zoe"), ["C", "A", "B"]);
  assert.deepEqual(serials(farm, "", BY_SERIAL, "zoe"), ["A", "B", "C"]);
});

test("boards of an account's clients are the account's own", () => {
  assert.equal(isOf("ada", reserved("A", "ada/night")), true);
  assert.equal(isOf("ada", reserved("A", "adam")), false);
  assert.equal(isOf("", board("A")), false);
});

test("a board that several clients share is each one's own, and found by each name", () => {
  const shared = reserved("A", "ada", { shares: { r1: "ada", r2: "bob/night" } });
  assert.equal(isOf("bob", shared), true);
  assert.equal(textsOf(rowOf(shared)).client, "ada, bob/night");
  assert.deepEqual(serials(farmOf(shared, reserved("B", "zoe")), "client:bob", BY_SERIAL), ["A"]);
});

test("an order descends from its largest", () => {
  assert.deepEqual(serials(farmOf(board("A"), board("B")), "", { column: "serial", down: true }), ["B", "A"]);
});

test("boards alike in the sorted column are in the order of their serials", () => {
  assert.deepEqual(serials(farmOf(board("B"), board("A")), "", { column: "kind", down: true }), ["A", "B"]);
});

test("rates are sorted by size", () => {
  const farm = farmOf(board("A"), board("B"));
  const readings = new Map([
    ["A", reading({ rate: 10 })],
    ["B", reading({ rate: 9 })],
  ]);
  assert.deepEqual(serials({ ...farm, readings }, "", { column: "rate", down: false }), ["B", "A"]);
});

test("the filter finds boards by the reason of their state", () => {
  const farm = farmOf(board("A", { status: "broken", reason: "CDONE stayed low" }), board("B"));
  assert.deepEqual(serials(farm, "cdone", BY_SERIAL), ["A"]);
  assert.equal(textsOf(rowOf(board("A"))).state, "available");
});

test("the row of a board that has not changed is the same object", () => {
  const one = board("A");
  const first = rowOf(one, undefined);
  assert.equal(rowOf(one, undefined), first);
  assert.notEqual(rowOf(one, reading()), first);
});

test("an order survives the address", () => {
  for (const order of [BY_SERIAL, { column: "rate", down: true }, BY_NEED]) {
    assert.deepEqual(parseOrder(orderText(order)), order);
  }
  assert.equal(orderText(BY_NEED), "");
});

test("an order by a column that there is not is the usual one", () => {
  for (const text of ["-colour", "constructor"]) assert.deepEqual(parseOrder(text), BY_NEED);
});

test("only rows in sight are drawn", () => {
  assert.deepEqual(windowOf(500, 36, 200, 800), [0, 25]);
  assert.deepEqual(windowOf(500, 36, -3600, 800), [92, 131]);
  assert.deepEqual(windowOf(3, 36, -9999, 800), [0, 3]);
});

test("labels are shown as a selector names them, and filtered by", () => {
  const labelled = board("A", { labels: { room: "E1 left", lab: "3" } });
  assert.equal(textsOf(rowOf(labelled)).label, 'lab=3 room="E1 left"');
  const boards = new Map(
    [labelled, board("B", { labels: { lab: "4" } }), board("C")].map((each) => [each.serial, each]),
  );
  const shown = (filter: string) =>
    visibleRows({ boards, readings: new Map() }, filter, BY_NEED).map(({ board }) => board.serial);
  assert.deepEqual(shown("label:lab=3"), ["A"]);
  assert.deepEqual(shown("lab=4"), ["B"]);
  assert.deepEqual(shown("label:"), ["C"]);
});
