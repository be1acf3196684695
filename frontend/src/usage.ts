// Pure: the table of usage: its dimensions, its period, its order, and the table as a file.

import { csvField } from "./plotting.ts";
import type { UsageRecord } from "./records.ts";
import { compare, type Order, orderText, parseOrder, type Sortable } from "./rows.ts";

/** By what usage can be told apart; a record has the name of each in `field`. */
export const DIMENSIONS = [
  { by: "account", label: "Account", field: "account" },
  { by: "board", label: "Board", field: "serial" },
  { by: "experiment", label: "Experiment", field: "experiment" },
] as const;

export type Dimension = (typeof DIMENSIONS)[number]["by"];

const DAY = 86400;

/** How far back one can look, in seconds. */
export const SPANS = [
  { span: "1d", label: "day", seconds: DAY },
  { span: "7d", label: "7 days", seconds: 7 * DAY },
  { span: "30d", label: "30 days", seconds: 30 * DAY },
  { span: "90d", label: "90 days", seconds: 90 * DAY },
] as const;

const USUAL_SPAN = SPANS[1];

/** Seconds to which the time that is asked for is rounded: the question stays the same for so long. */
const ROUNDED = 60;

/** The longest time first, until the reader chooses another order. */
export const BY_TIME: Order = { column: "time", down: true };

/** Read the dimensions of usage from an address. */
export function parseDimensions(text: string): readonly Dimension[] {
  const named = text.split(",");
  const found = DIMENSIONS.map(({ by }) => by).filter((by) => named.includes(by));
  return found.length === 0 ? ["account"] : found;
}

/** The same with one more, or without it; the last one stays. */
export function toggled(dimensions: readonly Dimension[], by: Dimension): string {
  const next = DIMENSIONS.map((each) => each.by).filter((each) => dimensions.includes(each) !== (each === by));
  return (next.length === 0 ? dimensions : next).join(",");
}

/** Read how far back to look. */
export function parseSpan(text: string): (typeof SPANS)[number] {
  return SPANS.find(({ span }) => span === text) ?? USUAL_SPAN;
}

/** When that was, in seconds since the epoch, to the minute. */
export function sinceOf(text: string, now: number): number {
  return Math.floor((now - parseSpan(text).seconds) / ROUNDED) * ROUNDED;
}

const SORT_KEYS: Readonly<Record<string, (record: UsageRecord) => Sortable>> = {
  account: ({ account }) => account,
  board: ({ serial }) => serial,
  experiment: ({ experiment }) => experiment,
  time: ({ seconds }) => seconds,
  boards: ({ boards }) => boards,
  reservations: ({ reservations }) => reservations,
  evaluations: ({ evaluations }) => evaluations,
  failed: ({ failed }) => failed,
  last: ({ last_at }) => last_at,
};

export function parseUsageOrder(text: string): Order {
  return parseOrder(text, SORT_KEYS, BY_TIME);
}

export function usageOrderText(order: Order): string {
  return orderText(order, BY_TIME);
}

/** The records in an order. */
export function sortedUsage(records: readonly UsageRecord[], order: Order): readonly UsageRecord[] {
  const key = SORT_KEYS[order.column] ?? (({ seconds }: UsageRecord) => seconds);
  return [...records].sort((one, other) => compare(key(one), key(other), order.down));
}

/** What tells a record from the others. */
export function usageKey({ account, serial, experiment }: UsageRecord): string {
  return JSON.stringify([account, serial, experiment]);
}

const FIELDS = [
  "account",
  "serial",
  "experiment",
  "boards",
  "reservations",
  "seconds",
  "evaluations",
  "failed",
  "first_at",
  "last_at",
] as const;

/** Usage as CSV, the same as that of `icefarm usage -o csv`. */
export function usageCsv(records: readonly UsageRecord[]): string {
  const rows = records.map((record) => FIELDS.map((name) => record[name] ?? ""));
  return [FIELDS, ...rows].map((row) => `${row.map(csvField).join(",")}\r\n`).join("");
}
