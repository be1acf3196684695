// Pure: how times, numbers and states are written.

import type { BoardRecord, Labels, QueueRecord, Reading, Status } from "./records.ts";

/** A board's states: symbol and word; the colour is the style sheet's. */
export const STATES: Readonly<Record<Status, { readonly symbol: string; readonly word: string }>> = {
  available: { symbol: "○", word: "available" },
  reserved: { symbol: "●", word: "reserved" },
  flashing: { symbol: "↻", word: "flashing" },
  testing: { symbol: "◐", word: "testing" },
  broken: { symbol: "✕", word: "broken" },
  offline: { symbol: "–", word: "offline" },
};

/** The order in which states are listed and sorted: what needs a person first. */
export const STATE_ORDER: readonly Status[] = ["broken", "offline", "flashing", "testing", "reserved", "available"];

const two = (n: number) => String(n).padStart(2, "0");

/** A time of day, 24 hours, in the reader's zone; with the date if it was not on the day of `now` (seconds). */
export function clockTime(seconds: number, now = seconds): string {
  const same = new Date(seconds * 1000).toDateString() === new Date(now * 1000).toDateString();
  return same ? dateAndTime(seconds).slice(11) : dateAndTime(seconds);
}

/** A date and a time of day, 24 hours, in the reader's zone. */
export function dateAndTime(seconds: number): string {
  const at = new Date(seconds * 1000);
  const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${date} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** A length of time in its two largest units. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const units: readonly (readonly [string, number])[] = [
    ["d", Math.floor(whole / 86400)],
    ["h", Math.floor(whole / 3600) % 24],
    ["min", Math.floor(whole / 60) % 60],
    ["s", whole % 60],
  ];
  const first = units.findIndex(([, count]) => count > 0);
  if (first === -1) return "0 s";
  return units
    .slice(first, first + 2)
    .filter(([, count]) => count > 0)
    .map(([unit, count]) => `${count} ${unit}`)
    .join(" ");
}

/** When a request is likely to be served, in the reader's zone; empty where that is unknown. */
export function expected({ earliest, latest }: QueueRecord, now: number): string {
  if (earliest === undefined || earliest === null) return "";
  const minute = (seconds: number) => clockTime(seconds, now).slice(0, -3);
  if (latest === undefined || latest === null) return `${minute(earliest)} or later`;
  return minute(earliest) === minute(latest) ? minute(latest) : `${minute(earliest)} to ${minute(latest)}`;
}

/** Why a request waits, and behind whom. */
export function whyItWaits({ reason, behind = [] }: QueueRecord): string {
  return behind.length === 0 ? reason : `${reason}; behind ${behind.join(", ")}`;
}

/** A number with as many digits as say something. */
export function number(value: number | null | undefined, digits = 3): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  const decimals = digits - 1 - Math.floor(Math.log10(Math.abs(value)));
  return decimals <= 0 ? Math.round(value).toLocaleString("en-GB") : String(Number(value.toPrecision(digits)));
}

/** A part of a whole that grows: rounded down, so that 100 % means that nothing is missing. */
export function percent(part: number): string {
  return `${number(Math.floor(1000 * part + 1e-9) / 10)} %`;
}

/** A whole number with all its digits. */
export function whole(value: number): string {
  return value.toLocaleString("en-GB");
}

/** "1 board", "2 boards". */
export function count(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? "" : "s"}`;
}

/** Labels as one writes them in a selector. */
export function labelText(labels: Labels | undefined): string {
  return Object.entries(labels ?? {})
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, value]) => `${name}=${quoted(value)}`)
    .join(" ");
}

function quoted(value: string): string {
  return /[\s(),"=<>!]|\.\.|^(and|or|not|in)$/i.test(value) ? `"${value.replace(/["\\]/g, "\\$&")}"` : value;
}

/** What a board runs, in words. */
export function firmware(board: BoardRecord): string {
  return [board.firmware, board.firmware_version].filter(Boolean).join(" ");
}

export interface Health {
  readonly level: "ok" | "warn" | "bad";
  readonly word: string;
}

/** How well a board is: a word, and why. */
export function health(board: BoardRecord, reading?: Reading): Health {
  if (board.status === "broken" || board.status === "offline") {
    return { level: "bad", word: board.reason || board.status };
  }
  const failures = Math.max(board.failures, reading?.failures ?? 0);
  const retries = Math.max(board.retries, reading?.retries ?? 0);
  const evaluations = Math.max(board.evaluations, reading?.evaluations ?? 0);
  if (failures > 0) {
    const share = (100 * failures) / (failures + evaluations);
    return { level: "warn", word: `${count(failures, "failure")} (${number(share, 2)} %)` };
  }
  if (board.calibration?.suspect) return { level: "warn", word: "suspect" };
  if (retries > 0) return { level: "ok", word: retries === 1 ? "ok, 1 retry" : `ok, ${retries} retries` };
  return { level: "ok", word: "ok" };
}

/** The clients that have a board: several may share it. */
export function clientsOf({ client, shares = {} }: Pick<BoardRecord, "client" | "shares">): readonly string[] {
  const sharing = Object.values(shares);
  return sharing.length > 0 ? sharing : client === null ? [] : [client];
}
