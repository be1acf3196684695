// Pure: results over time. Steps are 0.25 s doubled any number of times and begin at multiples of their length, so that
// those of any two answers can be added up.

import { entryOf } from "./lookup.ts";
import type { Series, Span } from "./plotting.ts";
import type { ExperimentSeries, ReportedFigures, Steps } from "./records.ts";

type Values = readonly (number | null)[];

export type Direction = "highest" | "lowest";

/** Steps of a series are added up in pairs when there are more. */
export const MOST_STEPS = 1000;
/** Reports of the client's own figures that are kept, evenly over time. */
export const MOST_REPORTS = 2000;

/** Seconds that are shown at least, and beside the results, as a part of all. */
const SHORTEST = 10;
const BESIDE = 0.01;

/** Seconds over which a rate is taken at least. */
const SHORTEST_RATE = 4;

/** Colours of lines that are beside one another. */
export const LINE_COLORS = ["accent", "testing", "available", "flashing", "broken", "offline"] as const;

/** The same results in steps of another length, which is not shorter. Steps are in the order of time, or become so. */
export function inSteps(steps: Steps, length: number): Steps {
  const order = steps.time.map((time, index) => [Math.floor(time / length) * length, index] as const);
  order.sort(([one], [other]) => one - other);
  const made = { time: [], done: [], failed: [], numbers: [], sum: [], least: [], most: [] } as {
    [name in keyof Steps]: Steps[name][number][];
  };
  for (const [time, index] of order) {
    const fresh = made.time.at(-1) !== time;
    if (fresh) made.time.push(time);
    const add = (name: keyof Steps, combine: (one: number, other: number) => number) => {
      const value = steps[name][index] ?? null;
      const before = fresh ? null : (made[name].pop() ?? null);
      (made[name] as (number | null)[]).push(
        before === null ? value : value === null ? before : combine(before, value),
      );
    };
    for (const name of ["done", "failed", "numbers", "sum"] as const) add(name, (one, other) => one + other);
    add("least", Math.min);
    add("most", Math.max);
  }
  return made as Steps;
}

/** Evaluations per second, also of the steps in which there were none: there may be a month without results. */
export function rates(series: ExperimentSeries): Line {
  const step = longEnough(series.together, Math.max(series.step, SHORTEST_RATE), MOST_STEPS);
  const { time, done, failed } = inSteps(series.together, step);
  const [first, last] = [time[0], time.at(-1)];
  if (first === undefined || last === undefined) return { label: "evaluations", times: [], values: [] };
  const at = new Map(time.map((each, index) => [each, (done[index] ?? 0) + (failed[index] ?? 0)]));
  const times = Array.from({ length: (last - first) / step + 1 }, (_, index) => first + index * step);
  return { label: "evaluations", times, values: times.map((each) => (at.get(each) ?? 0) / step) };
}

/** The least range of a scale for these values: changes of a thousandth are not blown up to fill a plot. */
export function leastRangeOf(series: readonly Series[]): number {
  let most = 0;
  for (const { values } of series) for (const value of values) most = Math.max(most, Math.abs(value ?? 0));
  return most / 100;
}

/** Steps that are so long that there are at most so many: lines beside one another can be told apart. */
export function inFewSteps(steps: Steps, length: number, most: number): Steps {
  return inSteps(steps, longEnough(steps, length, most));
}

/** The length, doubled until the time from the first to the last step has at most so many of them. */
function longEnough({ time }: Steps, length: number, most: number): number {
  const span = (time.at(-1) ?? 0) - (time[0] ?? 0);
  let longer = length;
  while (span / longer >= most) longer *= 2;
  return longer;
}

/** What two answers say together, in steps of a length. */
function added(one: Steps, other: Steps, length: number): Steps {
  const both = Object.fromEntries(
    (Object.keys(one) as (keyof Steps)[]).map((name) => [name, [...one[name], ...other[name]]]),
  );
  return inSteps(both as unknown as Steps, length);
}

const NOTHING: Steps = { time: [], done: [], failed: [], numbers: [], sum: [], least: [], most: [] };

/** A series with what arrived since; the same object where nothing did. */
export function grown(known: ExperimentSeries, more: ExperimentSeries): ExperimentSeries {
  if (more.together.time.length === 0) return more.next === known.next ? known : { ...known, next: more.next };
  let step = Math.max(known.step, more.step);
  let together = added(known.together, more.together, step);
  while (together.time.length > MOST_STEPS) {
    step *= 2;
    together = inSteps(together, step);
  }
  const boardStep = Math.max(known.board_step, more.board_step, step);
  const serials = [...new Set([...Object.keys(known.boards), ...Object.keys(more.boards)])].sort();
  const boards = serials.map((serial) => [
    serial,
    added(entryOf(known.boards, serial) ?? NOTHING, entryOf(more.boards, serial) ?? NOTHING, boardStep),
  ]);
  return {
    step,
    board_step: boardStep,
    together,
    boards: Object.fromEntries(boards),
    next: more.next,
  };
}

/** The mean of each step. */
export function means({ numbers, sum }: Steps): Values {
  return numbers.map((amount, index) => {
    const total = sum[index] ?? null;
    return amount === 0 || total === null ? null : total / amount;
  });
}

/** The best value up to each step. */
export function bestSoFar({ least, most }: Steps, direction: Direction): Values {
  let best: number | null = null;
  return (direction === "highest" ? most : least).map((value) => {
    const better = value !== null && (best === null || (direction === "highest" ? value > best : value < best));
    if (better) best = value;
    return best;
  });
}

export interface Summary {
  readonly numbers: number;
  readonly mean: number | null;
  readonly least: number | null;
  readonly most: number | null;
}

/** All steps in one: how many values are numbers, their mean, the least and the largest. */
export function summary(steps: Steps): Summary {
  const { numbers, sum, least, most } = inSteps({ ...steps, time: steps.time.map(() => 0) }, 1);
  const amount = numbers[0] ?? 0;
  return {
    numbers: amount,
    mean: amount === 0 ? null : (sum[0] ?? 0) / amount,
    least: least[0] ?? null,
    most: most[0] ?? null,
  };
}

export interface Line {
  readonly label: string;
  readonly times: readonly number[];
  readonly values: Values;
}

/** Lines with times of their own on one axis; a line has no value at the times of others. */
export function onOneAxis(lines: readonly Line[]): { times: readonly number[]; series: readonly Series[] } {
  const times = [...new Set(lines.flatMap((line) => [...line.times]))].sort((one, other) => one - other);
  const series = lines.map(({ label, times: own, values }, place) => {
    const at = new Map(own.map((time, index) => [time, values[index] ?? null]));
    return {
      label,
      values: times.map((time) => at.get(time) ?? null),
      color: LINE_COLORS[place % LINE_COLORS.length] ?? "accent",
    };
  });
  return { times, series };
}

/** Another run as if it had begun with this one: its steps moved by a multiple of `step`. */
export function movedTo(other: Steps, begin: number, step: number): Steps {
  const own = other.time[0];
  if (own === undefined) return other;
  const by = Math.floor(begin / step) * step - Math.floor(own / step) * step;
  return { ...other, time: other.time.map((time) => time + by) };
}

/** Which boards are drawn until the reader chooses: those whose mean is farthest from that of all. */
export function farthest(series: ExperimentSeries, amount: number): readonly string[] {
  const all = summary(series.together).mean;
  if (all === null) return [];
  const found = Object.entries(series.boards).flatMap(([serial, steps]) => {
    const { mean } = summary(steps);
    return mean === null ? [] : [{ serial, distance: Math.abs(mean - all) }];
  });
  found.sort((one, other) => other.distance - one.distance || (one.serial < other.serial ? -1 : 1));
  return found
    .slice(0, amount)
    .map(({ serial }) => serial)
    .sort();
}

/** From the first to the last of all these times, and a little more. */
export function spanOfAll(times: readonly (readonly number[])[], step: number): Span {
  const first = Math.min(...times.flatMap((each) => each.slice(0, 1)));
  const last = Math.max(...times.flatMap((each) => each.slice(-1))) + step;
  if (first > last) return [0, SHORTEST];
  const beside = Math.max(BESIDE * (last - first), (SHORTEST - last + first) / 2, 0);
  return [first - beside, last + beside];
}

/** Reports with their times; every second one is left out as often as there are too many. */
export interface Reports {
  readonly times: readonly number[];
  readonly figures: readonly Readonly<Record<string, number>>[];
  /** One report of so many is kept. */
  readonly every: number;
  /** How many there were in all. */
  readonly total: number;
  readonly next: string;
}

export const NO_REPORTS: Reports = { times: [], figures: [], every: 1, total: 0, next: "0" };

/** Reports with those that came since. */
export function reported(known: Reports, { figures: more, next }: ReportedFigures): Reports {
  let { every } = known;
  const kept = more.filter((_, index) => (known.total + index) % every === 0);
  let times = [...known.times, ...kept.map(({ time }) => time)];
  let figures = [...known.figures, ...kept.map((each) => each.figures)];
  while (times.length > MOST_REPORTS) {
    every *= 2;
    times = times.filter((_, index) => index % 2 === 0);
    figures = figures.filter((_, index) => index % 2 === 0);
  }
  return { times, figures, every, total: known.total + more.length, next };
}

/** The client's own figures as lines, in the order of their names. */
export function figureLines({ times, figures }: Reports): readonly Line[] {
  const names = [...new Set(figures.flatMap((each) => Object.keys(each)))].sort();
  return names.map((label) => {
    const own = times.flatMap((time, index) => (entryOf(figures[index], label) === undefined ? [] : [{ time, index }]));
    return {
      label,
      times: own.map(({ time }) => time),
      values: own.map(({ index }) => entryOf(figures[index], label) ?? null),
    };
  });
}
