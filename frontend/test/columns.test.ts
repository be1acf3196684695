import assert from "node:assert/strict";
import { test } from "node:test";

import { type ColumnNeed, fitColumns, longest } from "../src/columns.ts";

const need = (id: string, priority: number, min: number, natural = min, grows = false): ColumnNeed => ({
  id,
  priority,
  min,
  natural,
  grows,
  empty: false,
});
const NEEDS = [
  need("serial", 0, 160),
  need("state", 0, 110),
  need("health", 1, 110, 300, true),
  need("worker", 3, 80, 140),
  need("firmware", 5, 100, 150),
];
const ids = (width: number) => fitColumns(NEEDS, width).columns.map(({ id }) => id);

test("at any width columns fill it exactly and none is below its minimum", () => {
  for (let width = 380; width < 2000; width += 7) {
    const { columns } = fitColumns(NEEDS, width);
    assert.equal(
      columns.reduce((sum, each) => sum + each.width, 0),
      width,
    );
    for (const { id, width: own } of columns) {
      assert.ok(own >= (NEEDS.find((each) => each.id === id)?.min ?? 0), `${id} at ${width}`);
    }
  }
});

test("the column of the highest priority number is left out first", () => {
  assert.deepEqual(ids(560), ["serial", "state", "health", "worker", "firmware"]);
  assert.deepEqual(ids(559), ["serial", "state", "health", "worker"]);
  assert.deepEqual(ids(400), ["serial", "state", "health"]);
});

test("columns keep their order whatever their priority", () => {
  const { columns } = fitColumns([need("a", 4, 50), need("b", 0, 50), need("c", 1, 50)], 500);
  assert.deepEqual(
    columns.map(({ id }) => id),
    ["a", "b", "c"],
  );
});

test("a column in which no row says anything is left out, unless it is essential", () => {
  const { columns, hidden } = fitColumns(
    NEEDS.map((each) => ({ ...each, empty: true })),
    2000,
  );
  assert.deepEqual(
    columns.map(({ id }) => id),
    ["serial", "state", "health"],
  );
  assert.deepEqual(hidden, []);
});

test("a long text takes no room from columns that lack little", () => {
  const { columns } = fitColumns([need("health", 1, 100, 900, true), need("kind", 3, 80, 95)], 300);
  assert.deepEqual(
    columns.map(({ width }) => width),
    [205, 95],
  );
});

test("what is left out is named", () => {
  assert.deepEqual(fitColumns(NEEDS, 400).hidden, ["worker", "firmware"]);
});

test("where what matters most does not fit, rows are cards", () => {
  const { cards, columns, hidden } = fitColumns(NEEDS, 360);
  assert.equal(cards, true);
  assert.deepEqual(columns, []);
  assert.deepEqual(hidden, ["health", "worker", "firmware"]);
});

test("a narrow column that fits is shown though a wider one of lower number does not", () => {
  const { columns } = fitColumns([need("a", 0, 100), need("b", 2, 200), need("c", 3, 50)], 160);
  assert.deepEqual(
    columns.map(({ id }) => id),
    ["a", "c"],
  );
});

test("what is left goes to the columns that grow", () => {
  const { columns } = fitColumns([need("a", 0, 100), need("b", 0, 100, 100, true)], 500);
  assert.deepEqual(columns, [
    { id: "a", width: 100 },
    { id: "b", width: 400 },
  ]);
});

test("columns get their natural width before any grows", () => {
  const { columns } = fitColumns([need("a", 0, 50, 200), need("b", 0, 100, 100, true)], 300);
  assert.deepEqual(
    columns.map(({ width }) => width),
    [200, 100],
  );
});

test("the longest texts are those worth measuring", () => {
  assert.deepEqual(longest(["a", "bbb", "cc", "dddd", "bbb", "eeeee", "f"], 3), ["eeeee", "dddd", "bbb"]);
  assert.deepEqual(longest([]), []);
});
