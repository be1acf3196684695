// Pure: what a plot shows: its scale, the marks of its axes, its values at a time, its table.

import { clockTime, dateAndTime, number } from "./wording.ts";

export interface Series {
  readonly label: string;
  readonly values: readonly (number | null)[];
  /** The name of a colour of style.css. */
  readonly color: string;
}

export type Span = readonly [from: number, to: number];

/** Seconds that a plot shows at least. */
export const SHORTEST_SPAN = 60;
const DAY = 86400;

/** The span to show: the last `seconds`, but nothing from before the first sample. */
export function spanOf(times: readonly number[], until: number, seconds: number): Span {
  const first = times[0] ?? until - seconds;
  return [Math.min(Math.max(until - seconds, first), until - SHORTEST_SPAN), until];
}

/** The least and the largest value between two times; null if there is none. */
export function extremes(times: readonly number[], layers: readonly (readonly (number | null)[])[], [from, to]: Span) {
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  times.forEach((time, index) => {
    if (time < from || time > to) return;
    for (const layer of layers) {
      const value = layer[index];
      if (value === null || value === undefined) continue;
      least = Math.min(least, value);
      most = Math.max(most, value);
    }
  });
  return least > most ? null : ([least, most] as const);
}

/**
 * The scale for values: from 0 for what is counted, else around the values, so that a change from 32.2 to 33.6 fills
 * the plot; `leastRange` keeps noise from doing so.
 */
export function scaleOf(
  found: readonly [number, number] | null,
  fromZero: boolean,
  leastRange = 0,
): readonly [number, number] {
  if (found === null) return [0, 1];
  const [least, most] = found;
  if (fromZero) return [0, most > 0 ? most * 1.08 : 1];
  const range = Math.max(most - least, leastRange, Math.abs(most) * 1e-6);
  const middle = (least + most) / 2;
  const lowest = middle - range * 0.58;
  // Nothing that is measured here is negative, unless it is.
  return [least >= 0 ? Math.max(0, lowest) : lowest, middle + range * 0.58];
}

/** Stacked series lie on one another: each one's line is the sum up to it. The last one is drawn first. */
export function stacked(series: readonly Series[]): readonly (readonly number[])[] {
  const sums: number[] = [];
  const layers = series.map(({ values }) =>
    values.map((value, index) => {
      const sum = (sums[index] ?? 0) + (value ?? 0);
      sums[index] = sum;
      return sum;
    }),
  );
  return layers.reverse();
}

/** Decimals that are written out at most; what differs by less is written with an exponent. */
const MOST_DECIMALS = 12;

/** Marks of an axis of values, all with as many decimals as their distance needs. */
export function valueMarks(values: readonly number[], distance: number): string[] {
  const decimals = decimalsOf(distance);
  if (decimals > MOST_DECIMALS) return values.map((value) => String(Number(value.toPrecision(MOST_DECIMALS))));
  return values.map((value) =>
    value.toLocaleString("en-GB", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }),
  );
}

/** The decimals of a distance between marks, which is 1, 2, 2.5 or 5 times a power of 10. */
function decimalsOf(distance: number): number {
  const [digits = "", power = ""] = distance.toPrecision(6).toLowerCase().split("e");
  const places = digits.split(".")[1]?.replace(/0+$/, "").length ?? 0;
  return Math.max(0, places - Number(power));
}

/** Marks of an axis of times: with seconds where they are closer than a minute, the day where one begins. */
export function timeMarks(times: readonly number[], distance: number): string[] {
  return times.map((time) => {
    const clock = clockTime(time);
    if (distance >= DAY || (distance >= 3600 && clock === "00:00:00")) return dateAndTime(time).slice(5, 10);
    return clock.slice(0, distance < 60 ? 8 : 5);
  });
}

/** The index of the sample that is closest to a time; -1 if there is none. */
export function nearest(times: readonly number[], time: number): number {
  let best = -1;
  times.forEach((each, index) => {
    if (best === -1 || Math.abs(each - time) < Math.abs((times[best] ?? 0) - time)) best = index;
  });
  return best;
}

/** The value that a legend shows: at the sample with that index, or the last one. */
export function valueAt(values: readonly (number | null)[], index: number | null): string {
  return number(index === null ? values.at(-1) : values[index]);
}

/** The index of the last sample with a value; if there is none, that of the last sample. */
export function lastKnown(values: readonly (number | null)[]): number {
  const found = values.findLastIndex((value) => value !== null);
  return found === -1 ? values.length - 1 : found;
}

/** A plot as a table, in the form that spreadsheets read. */
export function csvOf(times: readonly number[], series: readonly Series[], unit: string): string {
  const head = ["time", ...series.map(({ label }) => (unit === "" ? label : `${label} (${unit})`))];
  const rows = times.map((time, index) => [
    new Date(time * 1000).toISOString(),
    ...series.map(({ values }) => values[index] ?? ""),
  ]);
  return [head, ...rows].map((row) => `${row.map(csvField).join(",")}\r\n`).join("");
}

/** A field of CSV. */
export function csvField(field: string | number): string {
  const text = String(field);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The name of a file of a plot. */
export function fileName(title: string, time: number, extension: string): string {
  const words = `icefarm ${title} ${dateAndTime(time)}`.toLowerCase();
  return `${words.replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "")}.${extension}`;
}
