// Records for tests: a whole record of each kind, with what a test changes about it.

import { type Farm, replaced, UNKNOWN_FARM } from "../src/farm.ts";
import type {
  BoardRecord,
  BookingRecord,
  QueueRecord,
  Reading,
  ReservationRecord,
  Snapshot,
  StateChange,
  Status,
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
