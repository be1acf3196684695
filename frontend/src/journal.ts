// Pure: the journal of the farm: what happened to boards, workers, reservations and the queue, one line for each change.

import type {
  BoardRecord,
  LogRecord,
  QueueRecord,
  ReservationRecord,
  StateChange,
  Status,
  WorkerRecord,
} from "./records.ts";

/** Lines that the page keeps. */
export const KEPT_LINES = 3000;
/** Seconds within which two lines with the same text are the same line. */
const TWINS = 3;

export const LEVELS = ["debug", "info", "warn", "error", "critical"] as const;
export type Level = (typeof LEVELS)[number];

/** What a line tells of. */
export type Change =
  | { readonly of: "state"; readonly status: Status; readonly reason: string | null }
  | { readonly of: "begin"; readonly kind: string }
  | { readonly of: "end"; readonly reason: string | null }
  | { readonly of: "deleted" }
  | { readonly of: "worker"; readonly status: "online" | "offline"; readonly draining: boolean }
  | { readonly of: "wait"; readonly wants: string; readonly reason: string }
  | { readonly of: "served" }
  | { readonly of: "log" };

export interface Line {
  readonly time: number;
  readonly level: Level;
  readonly worker: string | null;
  readonly serial: string | null;
  readonly client: string | null;
  readonly text: string;
  readonly change: Change;
}

/** Lines with more at the end; the oldest are dropped. */
export function withLines(lines: readonly Line[], more: readonly Line[]): readonly Line[] {
  return more.length === 0 ? lines : [...lines, ...more].slice(-KEPT_LINES);
}

/** Changes of which the farm keeps all that happened up to its latest line. */
const KEPT_CHANGES: readonly Change["of"][] = ["state", "log"];

/** The journal that the farm kept, with the live lines that it does not have. */
export function mergedLines(past: readonly Line[], live: readonly Line[]): readonly Line[] {
  const known = Map.groupBy(past, wordsOf);
  const newest = past.reduce((time, line) => Math.max(time, line.time), 0);
  const news = live.filter((line) => {
    if (KEPT_CHANGES.includes(line.change.of) && line.time <= newest) return false;
    return !known.get(wordsOf(line))?.some(({ time }) => Math.abs(time - line.time) <= TWINS);
  });
  return [...past, ...news].sort((one, other) => one.time - other.time).slice(-KEPT_LINES);
}

function wordsOf({ serial, text }: Line): string {
  return `${serial} ${text}`;
}

/** A line that a worker logged. */
export function logLine({ time, level, worker, serial, message }: LogRecord): Line {
  return {
    time,
    level: levelOf(level),
    worker,
    serial: serial ?? null,
    client: null,
    text: message,
    change: { of: "log" },
  };
}

function levelOf(text: string): Level {
  return LEVELS.find((level) => level === text) ?? "info";
}

/** The line of a board's state. */
export function stateLine({ time, serial, worker, status, reason, client }: StateChange): Line {
  const level = status === "broken" ? "error" : status === "offline" ? "warn" : "info";
  const text = [status, client && `for ${client}`, reason && `(${reason})`].filter(Boolean).join(" ");
  return { time, level, worker, serial, client: client ?? null, text, change: { of: "state", status, reason } };
}

/** The line of a board that was deleted. */
export function deletedLine({ worker, serial }: BoardRecord, time: number): Line {
  return { time, level: "info", worker, serial, client: null, text: "deleted", change: { of: "deleted" } };
}

/** The lines of a reservation: its beginning and, once it is over, its end. */
export function reservationLines(record: ReservationRecord): readonly Line[] {
  const end = endLine(record);
  return end === null ? [beginLine(record)] : [beginLine(record), end];
}

function beginLine({ serial, worker, client, kind, created_at: time }: ReservationRecord): Line {
  const text = `reserved as ${kind} by ${client}`;
  return { time, level: "info", worker, serial, client, text, change: { of: "begin", kind } };
}

function endLine({ serial, worker, client, ended_at: time, end_reason: reason }: ReservationRecord): Line | null {
  if (time === null) return null;
  const text = `reservation of ${client} ended: ${reason}`;
  return { time, level: "info", worker, serial, client, text, change: { of: "end", reason } };
}

/** The line of a board that changed; null if only its counters did. */
export function boardLine(record: BoardRecord, before: BoardRecord | undefined, time: number): Line | null {
  const same = before !== undefined && before.status === record.status && before.reason === record.reason;
  return same ? null : stateLine({ ...record, time });
}

/** The line of a reservation that begins or ends; null if it was extended. */
export function reservationLine(record: ReservationRecord, before: ReservationRecord | undefined): Line | null {
  return endLine(record) ?? (before === undefined ? beginLine(record) : null);
}

/** The line of a worker that came, went or drains. */
export function workerLine(record: WorkerRecord, before: WorkerRecord | undefined, time: number): Line | null {
  const { name, status, draining } = record;
  if (before !== undefined && before.status === status && before.draining === draining) return null;
  const text = `worker ${status}${draining ? ", draining" : ""}`;
  const level = status === "online" ? "info" : "warn";
  const change = { of: "worker", status, draining } as const;
  return { time, level, worker: name, serial: null, client: null, text, change };
}

/** The line of a request that begins to wait, or waits no longer. */
export function queueLine(record: QueueRecord, before: QueueRecord | undefined, time: number): Line | null {
  const { client, amount, kind, serials, reason } = record;
  const about = { time, level: "info", worker: null, serial: null, client } as const;
  if (record.place === 0) {
    if (before === undefined) return null;
    return { ...about, text: `${client} waits no longer`, change: { of: "served" } };
  }
  if (before !== undefined) return null;
  const wants = serials.length > 0 ? serials.join(", ") : `${amount} × ${kind}`;
  return { ...about, text: `${client} waits for ${wants}: ${reason}`, change: { of: "wait", wants, reason } };
}
