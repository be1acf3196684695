// Pure: what the page knows of the farm, as one value, and what each event makes of it. Tables and records are replaced,
// never changed in place: what has the same identity is the same.

import {
  boardLine,
  deletedLine,
  type Line,
  logLine,
  queueLine,
  reservationLine,
  withLines,
  workerLine,
} from "./journal.ts";
import type {
  BoardRecord,
  BookingRecord,
  FarmEvent,
  QueueRecord,
  Reading,
  ReservationRecord,
  Snapshot,
  Status,
  WorkerRecord,
} from "./records.ts";

export type Table<Key, Value> = ReadonlyMap<Key, Value>;

export interface Farm {
  readonly workers: Table<string, WorkerRecord>;
  readonly boards: Table<string, BoardRecord>;
  readonly reservations: Table<string, ReservationRecord>;
  readonly queue: Table<string, QueueRecord>;
  readonly bookings: Table<string, BookingRecord>;
  readonly readings: Table<string, Reading>;
  /** Newest last. */
  readonly lines: readonly Line[];
  /** Whether a snapshot has come. */
  readonly known: boolean;
  /** Seconds that the farm's clock is ahead of this one. */
  readonly ahead: number;
  /** Where programs connect from outside, if the farm says; null: where the page is. */
  readonly url: string | null;
}

export const UNKNOWN_FARM: Farm = {
  workers: new Map(),
  boards: new Map(),
  reservations: new Map(),
  queue: new Map(),
  bookings: new Map(),
  readings: new Map(),
  lines: [],
  known: false,
  ahead: 0,
  url: null,
};

/** The farm after a whole snapshot that came at `now` (seconds). */
export function replaced(farm: Farm, snapshot: Snapshot, now: number): Farm {
  return {
    workers: new Map(snapshot.workers.map((record) => [record.name, record])),
    boards: new Map(snapshot.devices.map((record) => [record.serial, record])),
    reservations: new Map(snapshot.reservations.map((record) => [record.id, record])),
    queue: new Map(snapshot.queue.map((record) => [record.id, record])),
    bookings: new Map((snapshot.bookings ?? []).map((record) => [record.id, record])),
    readings: new Map(Object.entries(snapshot.readings ?? {})),
    lines: farm.lines,
    known: true,
    ahead: snapshot.time - now,
    url: snapshot.farm.url ?? null,
  };
}

/** The farm after events that came in this order, at `now` (seconds). Each table is copied once at most. */
export function applied(farm: Farm, events: readonly FarmEvent[], now: number): Farm {
  const draft = new Draft(farm, now + farm.ahead);
  for (const event of events) draft.apply(event);
  return draft.done();
}

/** A farm in the making: its tables are copies from their first change on. */
class Draft {
  private readonly farm: Farm;
  private readonly time: number;
  private readonly lines: Line[] = [];
  private workers: Map<string, WorkerRecord> | null = null;
  private boards: Map<string, BoardRecord> | null = null;
  private reservations: Map<string, ReservationRecord> | null = null;
  private queue: Map<string, QueueRecord> | null = null;
  private bookings: Map<string, BookingRecord> | null = null;
  private readings: Map<string, Reading> | null = null;

  constructor(farm: Farm, time: number) {
    this.farm = farm;
    this.time = time;
  }

  apply(event: FarmEvent): void {
    switch (event.topic) {
      case "worker":
        this.worker(event.fields);
        break;
      case "device":
        this.board(event.fields);
        break;
      case "reservation":
        this.reservation(event.fields);
        break;
      case "queue":
        this.waiting(event.fields);
        break;
      case "booking":
        this.booking(event.fields);
        break;
      case "reading":
        this.reading(event.fields.boards);
        break;
      case "deleted":
        this.deleted(event.fields.serials);
        break;
      case "log":
        this.note(logLine(event.fields));
        break;
    }
  }

  done(): Farm {
    const { farm } = this;
    return {
      ...farm,
      workers: this.workers ?? farm.workers,
      boards: this.boards ?? farm.boards,
      reservations: this.reservations ?? farm.reservations,
      queue: this.queue ?? farm.queue,
      bookings: this.bookings ?? farm.bookings,
      readings: this.readings ?? farm.readings,
      lines: withLines(farm.lines, this.lines),
    };
  }

  private worker(record: WorkerRecord): void {
    this.workers ??= new Map(this.farm.workers);
    this.note(workerLine(record, this.workers.get(record.name), this.time));
    this.workers.set(record.name, record);
  }

  private board(record: BoardRecord): void {
    this.boards ??= new Map(this.farm.boards);
    this.note(boardLine(record, this.boards.get(record.serial), this.time));
    this.boards.set(record.serial, record);
  }

  private reservation(record: ReservationRecord): void {
    this.reservations ??= new Map(this.farm.reservations);
    this.note(reservationLine(record, this.reservations.get(record.id)));
    if (record.ended_at === null) this.reservations.set(record.id, record);
    else this.reservations.delete(record.id);
  }

  private waiting(record: QueueRecord): void {
    this.queue ??= new Map(this.farm.queue);
    this.note(queueLine(record, this.queue.get(record.id), this.time));
    if (record.place === 0) this.queue.delete(record.id);
    else this.queue.set(record.id, record);
  }

  private booking(record: BookingRecord): void {
    this.bookings ??= new Map(this.farm.bookings);
    if (record.ended_at === null) this.bookings.set(record.id, record);
    else this.bookings.delete(record.id);
  }

  private reading(boards: Readonly<Record<string, Reading>>): void {
    this.readings ??= new Map(this.farm.readings);
    for (const [serial, reading] of Object.entries(boards)) this.readings.set(serial, reading);
  }

  private deleted(serials: readonly string[]): void {
    this.boards ??= new Map(this.farm.boards);
    this.readings ??= new Map(this.farm.readings);
    for (const serial of serials) {
      const board = this.boards.get(serial);
      if (board !== undefined) this.note(deletedLine(board, this.time));
      this.boards.delete(serial);
      this.readings.delete(serial);
    }
  }

  private note(line: Line | null): void {
    if (line !== null) this.lines.push(line);
  }
}

export interface Figures {
  readonly total: number;
  readonly inUse: number;
  readonly states: Readonly<Partial<Record<Status, number>>>;
  readonly waiting: number;
  /** When the request that has waited longest began to wait. */
  readonly waitingSince: number | null;
  readonly workers: number;
  readonly online: number;
  readonly unhealthy: number;
  /** Evaluations per second of all boards, each over the time between its worker's last two heartbeats. */
  readonly rate: number;
}

/** Tell whether a board needs a person. */
export function unhealthy(board: BoardRecord): boolean {
  return board.status === "broken" || board.status === "offline";
}

/** The figures at the top of the page. */
export function figures({ boards, readings, queue, workers }: Farm): Figures {
  const states: Partial<Record<Status, number>> = {};
  const all = [...boards.values()];
  for (const { status } of all) states[status] = (states[status] ?? 0) + 1;
  const since = [...queue.values()].map((waiting) => waiting.since);
  return {
    total: all.length,
    inUse: all.filter((board) => board.client !== null).length,
    states,
    waiting: queue.size,
    waitingSince: since.length === 0 ? null : Math.min(...since),
    workers: workers.size,
    online: [...workers.values()].filter((worker) => worker.status === "online").length,
    unhealthy: all.filter(unhealthy).length,
    rate: all.reduce((sum, { serial }) => sum + (readings.get(serial)?.rate ?? 0), 0),
  };
}
