// Pure: a week of bookings, in the reader's time zone: days, places of bookings on them, and times that are typed.

import type { BookingRecord } from "./records.ts";

const HOUR = 3600;
/** By how much clocks are put back; on Lord Howe Island by half an hour. */
const SHIFTS = [HOUR, HOUR / 2] as const;
const two = (n: number) => String(n).padStart(2, "0");

/** A day in the reader's zone; where clocks are changed, it has 23 or 25 hours. */
export interface Day {
  /** Such as 2026-12-01. */
  readonly date: string;
  readonly begins: number;
  readonly ends: number;
}

/** A booking, or a part of one, on a day: its place as parts of the day, and of its width. */
export interface Block {
  readonly booking: BookingRecord;
  readonly top: number;
  readonly height: number;
  /** Bookings at the same time stand side by side. */
  readonly lane: number;
  readonly lanes: number;
}

/** The date of a time, in the reader's zone. */
export function dateOf(seconds: number): string {
  const at = new Date(seconds * 1000);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

/** The seven days of the week, from Monday on, that a date is in; of the week of `now` if it is no date. */
export function weekOf(date: string, now: number): readonly Day[] {
  const given = /^(\d{4})-(\d\d)-(\d\d)$/.exec(date);
  const today = new Date(now * 1000);
  const [year, month, day] =
    given === null
      ? [today.getFullYear(), today.getMonth(), today.getDate()]
      : [Number(given[1]), Number(given[2]) - 1, Number(given[3])];
  const monday = day - ((new Date(year, month, day).getDay() + 6) % 7);
  return Array.from({ length: 7 }, (_, index) => {
    const begins = new Date(year, month, monday + index).getTime() / 1000;
    return { date: dateOf(begins), begins, ends: new Date(year, month, monday + index + 1).getTime() / 1000 };
  });
}

/** The Monday of another week, so many weeks on or back. */
export function weeksOn(week: readonly Day[], weeks: number): string {
  const monday = new Date((week[0]?.begins ?? 0) * 1000);
  return dateOf(new Date(monday.getFullYear(), monday.getMonth(), monday.getDate() + 7 * weeks).getTime() / 1000);
}

/** How much of a day's column lies above a time, by the reader's clock, as the hours beside the columns are. */
function partOf(day: Day, seconds: number): number {
  if (seconds <= day.begins) return 0;
  if (seconds >= day.ends) return 1;
  const at = new Date(seconds * 1000);
  return (at.getHours() + at.getMinutes() / 60 + at.getSeconds() / HOUR) / 24;
}

/** The time at such a place, at the half-hour before it. */
export function timeAt(day: Day, part: number): number {
  const at = new Date(day.begins * 1000);
  const minutes = 30 * Math.floor(48 * part);
  return new Date(at.getFullYear(), at.getMonth(), at.getDate(), 0, minutes).getTime() / 1000;
}

/** What is booked on a day, each with its place. */
export function blocksOf(day: Day, bookings: readonly BookingRecord[]): readonly Block[] {
  const own = bookings
    .filter(({ starts_at, ends_at }) => starts_at < day.ends && ends_at > day.begins)
    .sort((one, other) => one.starts_at - other.starts_at || (one.id < other.id ? -1 : 1));
  const ends: number[] = [];
  const lanes = own.map((booking) => {
    const free = ends.findIndex((end) => end <= booking.starts_at);
    const lane = free === -1 ? ends.length : free;
    ends[lane] = booking.ends_at;
    return lane;
  });
  return own.map((booking, index) => {
    const top = partOf(day, booking.starts_at);
    // Where the clock is put back, an end may be shown above its beginning.
    const bottom = Math.max(top, partOf(day, booking.ends_at));
    return { booking, top, height: bottom - top, lane: lanes[index] ?? 0, lanes: ends.length };
  });
}

/** A time as an input of a date and a time has it, in the reader's zone. */
export function inputTime(seconds: number): string {
  const at = new Date(seconds * 1000);
  return `${dateOf(seconds)}T${two(at.getHours())}:${two(at.getMinutes())}`;
}

/** The next whole hour in the reader's zone, which may be half an hour off those of others. */
export function nextHour(now: number): number {
  const at = new Date(now * 1000);
  return Math.floor(now) - 60 * at.getMinutes() - at.getSeconds() + HOUR;
}

/** The moment of a local time that was typed; or why there is none, or more than one. */
export function momentOf(text: string): { readonly seconds: number } | { readonly problem: string } {
  const seconds = new Date(text).getTime() / 1000;
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d$/.test(text) || Number.isNaN(seconds)) {
    return { problem: "Choose a date and a time." };
  }
  const shown = text.replace("T", " ");
  if (inputTime(seconds) !== text) {
    return { problem: `There is no ${shown} here: clocks are put forward then. Choose an hour earlier or later.` };
  }
  if (SHIFTS.some((shift) => [seconds - shift, seconds + shift].some((other) => inputTime(other) === text))) {
    return {
      problem: `${shown} comes twice here, since clocks are put back. Choose another time, or use icefarm book with an offset.`,
    };
  }
  return { seconds };
}

/** The reader's zone at a time, by its two names: Europe/Berlin (CET). */
export function zoneAt(seconds: number): string {
  const format = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" });
  const short = format.formatToParts(new Date(seconds * 1000)).find(({ type }) => type === "timeZoneName")?.value;
  const { timeZone } = format.resolvedOptions();
  return short === undefined || short === timeZone ? timeZone : `${timeZone} (${short})`;
}

/** A text of the farm, whose times are in UTC, with times in the reader's zone. */
export function withLocalTimes(text: string): string {
  return text.replace(/\b(\d{4}-\d\d-\d\d) (\d\d:\d\d) UTC\b/g, (_, date: string, time: string) =>
    inputTime(new Date(`${date}T${time}:00Z`).getTime() / 1000).replace("T", " "),
  );
}
