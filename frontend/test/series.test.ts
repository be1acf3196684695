import assert from "node:assert/strict";
import { test } from "node:test";

import type { ExperimentSeries, ReportedFigures, Steps } from "../src/records.ts";
import {
  bestSoFar,
  farthest,
  figureLines,
  grown,
  inFewSteps,
  inSteps,
  MOST_REPORTS,
  MOST_STEPS,
  means,
  movedTo,
  NO_REPORTS,
  onOneAxis,
  rates,
  reported,
  spanOfAll,
  summary,
} from "../src/series.ts";

/** Steps with one value at each time; null: one that failed. */
function steps(values: readonly (readonly [time: number, value: number | null])[]): Steps {
  const only = values.map(([, value]) => value);
  const ones = only.map((value) => Number(value !== null));
  return {
    time: values.map(([time]) => time),
    done: ones,
    failed: ones.map((one) => 1 - one),
    numbers: ones,
    sum: only,
    least: only,
    most: only,
  };
}

function series(together: Steps, changes: Partial<ExperimentSeries> = {}): ExperimentSeries {
  return { step: 1, board_step: 1, together, boards: {}, next: "1", ...changes };
}

const FOUR = steps([
  [0, 4],
  [1, null],
  [2, 2],
  [3, 9],
]);

test("steps are added up to longer ones", () => {
  assert.deepEqual(inSteps(FOUR, 2), {
    time: [0, 2],
    done: [1, 2],
    failed: [1, 0],
    numbers: [1, 2],
    sum: [4, 11],
    least: [4, 2],
    most: [4, 9],
  });
  assert.deepEqual(inSteps(FOUR, 1), FOUR);
});

test("a line beside others has few steps", () => {
  const many = steps(Array.from({ length: 100 }, (_, at) => [at, at]));
  const few = inFewSteps(many, 1, 30);
  assert.equal(few.time.length, 25);
  assert.equal(summary(few).mean, summary(many).mean);
  assert.deepEqual(inFewSteps(FOUR, 1, 30), FOUR);
});

test("what arrives later is added to the steps that are known", () => {
  const known = series(FOUR, { boards: { A: FOUR } });
  const late = steps([
    [1, 7],
    [4, 1],
  ]);
  const both = grown(known, series(late, { boards: { A: late, B: late }, next: "9" }));
  assert.deepEqual(both.together.time, [0, 1, 2, 3, 4]);
  assert.deepEqual(both.together.most, [4, 7, 2, 9, 1]);
  assert.deepEqual([both.together.done[1], both.together.failed[1]], [1, 1]);
  assert.deepEqual(both.boards.A, both.together);
  assert.deepEqual(both.boards.B, late);
  assert.equal(both.next, "9");
});

test("where nothing arrived, the series is the same object", () => {
  const known = series(FOUR);
  assert.equal(grown(known, series(steps([]))), known);
});

test("answers in other steps are added in the longer ones", () => {
  const both = grown(series(FOUR), series(steps([[4, 5]]), { step: 4, board_step: 8 }));
  assert.deepEqual([both.step, both.board_step, both.together.time], [4, 8, [0, 4]]);
});

test("a series that grows for a long time keeps to so many steps, and loses no result", () => {
  let known = series(steps([]));
  for (let at = 0; at < 5 * MOST_STEPS; at += 100) {
    const more = steps(Array.from({ length: 100 }, (_, index) => [at + index, index]));
    known = grown(known, series(more, { next: String(at) }));
    assert.ok(known.together.time.length <= MOST_STEPS);
  }
  assert.equal(summary(known.together).numbers, 5 * MOST_STEPS);
  assert.deepEqual([known.step, known.board_step], [8, 8]);
});

test("means and the best so far are of values only", () => {
  assert.deepEqual(means(inSteps(FOUR, 2)), [4, 5.5]);
  assert.deepEqual(means(FOUR), [4, null, 2, 9]);
  assert.deepEqual(bestSoFar(FOUR, "highest"), [4, 4, 4, 9]);
  assert.deepEqual(bestSoFar(FOUR, "lowest"), [4, 4, 2, 2]);
  assert.deepEqual(summary(FOUR), { numbers: 3, mean: 5, least: 2, most: 9 });
  assert.deepEqual(summary(steps([])), { numbers: 0, mean: null, least: null, most: null });
});

test("a rate is zero where nothing was evaluated", () => {
  const { times, values } = rates(
    series(
      steps([
        [0, 1],
        [1, 1],
        [9, null],
      ]),
    ),
  );
  assert.deepEqual(times, [0, 4, 8]);
  assert.deepEqual(values, [0.5, 0, 0.25]);
});

test("the rate of an experiment that rested for years has as many points as another one", () => {
  const { times, values } = rates(
    series(
      steps([
        [0, 1],
        [50 * 365 * 86_400, 1],
      ]),
    ),
  );
  assert.ok(times.length <= MOST_STEPS + 1);
  assert.deepEqual([values.at(0) !== 0, values.at(1)], [true, 0]);
});

test("boards and figures may be called what every object has", () => {
  const more = series(steps([[5, 3]]), { boards: { constructor: steps([[5, 3]]) }, next: "2" });
  assert.deepEqual(Object.keys(grown(series(steps([[0, 1]])), more).boards), ["constructor"]);
  const reports = { ...NO_REPORTS, times: [1, 2], figures: [{ loss: 1 }, { toString: 2 } as never] };
  assert.deepEqual(figureLines(reports), [
    { label: "loss", times: [1], values: [1] },
    { label: "toString", times: [2], values: [2] },
  ]);
});

test("lines with times of their own share an axis", () => {
  const drawn = onOneAxis([
    { label: "a", times: [1, 3], values: [10, 30] },
    { label: "b", times: [2, 3], values: [5, null] },
  ]);
  assert.deepEqual(drawn.times, [1, 2, 3]);
  assert.deepEqual(
    drawn.series.map(({ values }) => values),
    [
      [10, null, 30],
      [null, 5, null],
    ],
  );
});

test("another run is drawn as if it had begun with this one", () => {
  const other = steps([
    [1000, 1],
    [1004, 2],
  ]);
  assert.deepEqual(movedTo(other, 50_001.5, 4).time, [50_000, 50_004]);
});

test("boards are drawn that are farthest from the mean", () => {
  const board = (value: number) => steps([[0, value]]);
  const all = series(steps([[0, 10]]), { boards: { A: board(11), B: board(2), C: board(10), D: board(14) } });
  assert.deepEqual(farthest(all, 2), ["B", "D"]);
  assert.deepEqual(farthest(series(steps([])), 2), []);
});

test("what is shown reaches from the first to the last of all lines", () => {
  const [from, to] = spanOfAll([[100, 200], [], [150, 400]], 4);
  assert.ok(from < 100 && from > 90 && to > 404 && to < 415);
  const [begin, end] = spanOfAll([[5]], 1);
  assert.ok(end - begin >= 10);
});

test("of many reports, some are kept, evenly", () => {
  let reports = NO_REPORTS;
  for (let at = 0; at < 3 * MOST_REPORTS; at += 500) {
    const figures = Array.from({ length: 500 }, (_, index) => ({
      id: at + index,
      time: at + index,
      figures: { generation: at + index },
    }));
    reports = reported(reports, { figures, next: String(at), more: false });
    assert.ok(reports.times.length <= MOST_REPORTS);
  }
  assert.equal(reports.every, 4);
  assert.deepEqual(reports.times.slice(0, 3), [0, 4, 8]);
  assert.equal(reports.times.length, (3 * MOST_REPORTS) / 4);
});

test("each of the client's figures is a line at the times when it was reported", () => {
  const figures: ReportedFigures["figures"] = [
    { id: 1, time: 10, figures: { best: 0.5, generation: 1 } },
    { id: 2, time: 20, figures: { generation: 2 } },
  ];
  assert.deepEqual(figureLines(reported(NO_REPORTS, { figures, next: "2", more: false })), [
    { label: "best", times: [10], values: [0.5] },
    { label: "generation", times: [10, 20], values: [1, 2] },
  ]);
});
