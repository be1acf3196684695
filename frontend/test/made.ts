// Records for tests: a whole record of each kind, with what a test changes about it.

import { type Farm, replaced, UNKNOWN_FARM } from "../src/farm.ts";
import type {
  BoardRecord,
  BookingRecord,
  Calibration,
  ExperimentRecord,
  QueueRecord,
  Reading,
  ReservationRecord,
  Snapshot,
  StateChange,
  Status,
  Steps,
  UsageRecord,
  WorkerRecord,
} from "../src/records.ts";

export function board(serial: string, changes: Partial<BoardRecord> = {}): BoardRecord {
  return {
    serial,
    worker: "w1",
    status: "available",
    reason: null,
    client: null,
    reservation: null,
    kind: null,
    firmware: "default",
    firmware_version: "1",
    usb_path: null,
    evaluations: 0,
    failures: 0,
    retries: 0,
    expires_at: null,
    changed_at: 0,
    ...changes,
  };
}

export function reserved(serial: string, client: string, changes: Partial<BoardRecord> = {}): BoardRecord {
  return board(serial, { status: "reserved", client, reservation: `r-${serial}`, kind: "pulsecount", ...changes });
}

export function worker(name: string, changes: Partial<WorkerRecord> = {}): WorkerRecord {
  return {
    name,
    status: "online",
    draining: false,
    host: "pi",
    version: "1.0",
    kinds: ["pulsecount"],
    devices: 1,
    last_seen: 0,
    ...changes,
  };
}

export function reservation(
  serial: string,
  client: string,
  changes: Partial<ReservationRecord> = {},
): ReservationRecord {
  return {
    id: `r-${serial}`,
    serial,
    worker: "w1",
    client,
    kind: "pulsecount",
    created_at: 1000,
    expires_at: 4600,
    ended_at: null,
    end_reason: null,
    ...changes,
  };
}

export function request(client: string, changes: Partial<QueueRecord> = {}): QueueRecord {
  return {
    id: `q-${client}`,
    client,
    kind: "pulsecount",
    amount: 2,
    serials: [],
    since: 990,
    place: 1,
    reason: "none is free",
    ...changes,
  };
}

export function booking(id: string, changes: Partial<BookingRecord> = {}): BookingRecord {
  return {
    id,
    account: "class-a",
    amount: 2,
    serials: [],
    kind: null,
    starts_at: 3600,
    ends_at: 7200,
    kept: 2,
    booked_by: "op",
    created_at: 0,
    ended_at: null,
    end_reason: null,
    ...changes,
  };
}

export function reading(changes: Partial<Reading> = {}): Reading {
  return {
    rate: 0,
    load_ms: null,
    window_ms: null,
    temperature_c: null,
    evaluations: 0,
    failures: 0,
    retries: 0,
    ...changes,
  };
}

export function change(time: number, serial: string, status: Status, changes: Partial<StateChange> = {}): StateChange {
  return { time, serial, worker: "w1", status, reason: null, client: null, ...changes };
}

export function snapshot(devices: readonly BoardRecord[], more: Partial<Snapshot> = {}): Snapshot {
  return { workers: [], devices, reservations: [], queue: [], readings: {}, farm: {}, time: 1000, ...more };
}

/** A farm that knows these boards, at time 1000. */
export function farmOf(...boards: readonly BoardRecord[]): Farm {
  return replaced(UNKNOWN_FARM, snapshot(boards), 1000);
}

export function experiment(name: string, changes: Partial<ExperimentRecord> = {}): ExperimentRecord {
  return {
    account: "ada",
    name,
    done: 0,
    failed: 0,
    total: null,
    boards: 1,
    first_at: 0,
    last_at: 0,
    rate: 0,
    shared: true,
    created_at: 0,
    ...changes,
  };
}

/** Results over time: in each step, the values that are given. */
export function steps(times: readonly number[], values: readonly (readonly number[])[] = []): Steps {
  const each = <Result>(of: (found: readonly number[]) => Result) => times.map((_, index) => of(values[index] ?? []));
  const orNull = (of: (found: readonly number[]) => number) => (found: readonly number[]) =>
    found.length === 0 ? null : of(found);
  return {
    time: times,
    done: each((found) => found.length),
    failed: each(() => 0),
    numbers: each((found) => found.length),
    sum: each(orNull((found) => found.reduce((sum, value) => sum + value, 0))),
    least: each(orNull((found) => Math.min(...found))),
    most: each(orNull((found) => Math.max(...found))),
  };
}

export function calibration(serial: string, offset: number, changes: Partial<Calibration> = {}): Calibration {
  return {
    id: serial,
    serial,
    reference: "oscillator",
    offset_ppm: offset,
    noise_ppm: 1,
    drift_ppm_per_day: 0,
    ppm_per_kelvin: 0,
    covariance: [4, 0, 0, 9, 0, 16],
    readings: 3,
    valid_from: 10,
    ...changes,
  };
}

export function used(account: string | null, changes: Partial<UsageRecord> = {}): UsageRecord {
  return {
    account,
    serial: null,
    experiment: null,
    boards: 1,
    reservations: 1,
    seconds: 60,
    evaluations: 5,
    failed: 0,
    first_at: 0,
    last_at: 1.5,
    ...changes,
  };
}
