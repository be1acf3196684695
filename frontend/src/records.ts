// What control sends: the records of the wire contract, as icefarm/contract.py has them, and the past that it keeps.
// A board is a `device` on the wire; here it is a board.

export type Status = "available" | "reserved" | "flashing" | "testing" | "broken" | "offline";

export interface WorkerRecord {
  readonly name: string;
  readonly status: "online" | "offline";
  readonly draining: boolean;
  readonly leaving?: boolean;
  readonly host: string;
  readonly version: string;
  readonly kinds: readonly string[];
  readonly kind_versions?: Readonly<Record<string, string>>;
  readonly devices: number;
  readonly last_seen: number;
}

export interface BoardRecord {
  readonly serial: string;
  readonly worker: string;
  readonly status: Status;
  readonly reason: string | null;
  readonly client: string | null;
  readonly reservation: string | null;
  readonly kind: string | null;
  readonly firmware: string | null;
  readonly firmware_version: string | null;
  readonly usb_path: string | null;
  readonly evaluations: number;
  readonly failures: number;
  readonly retries: number;
  readonly expires_at: number | null;
  readonly changed_at: number;
}

export interface ReservationRecord {
  readonly id: string;
  readonly serial: string;
  readonly worker: string;
  readonly client: string;
  readonly kind: string;
  readonly created_at: number;
  readonly expires_at: number;
  readonly ended_at: number | null;
  readonly end_reason: string | null;
}

/** A request that waits for boards. Place 0: it waits no longer. */
export interface QueueRecord {
  readonly id: string;
  readonly client: string;
  readonly kind: string;
  readonly amount: number;
  readonly serials: readonly string[];
  readonly since: number;
  readonly place: number;
  readonly reason: string;
}

/** What a board counts and measures, from its worker's last heartbeat. */
export interface Reading {
  /** Evaluations per second, between the last two heartbeats. */
  readonly rate: number;
  readonly load_ms: number | null;
  readonly window_ms: number | null;
  readonly temperature_c: number | null;
  readonly evaluations: number;
  readonly failures: number;
  readonly retries: number;
}

export interface LogRecord {
  readonly time: number;
  readonly level: string;
  readonly worker: string;
  readonly serial: string | null;
  readonly message: string;
}

export interface Snapshot {
  readonly workers: readonly WorkerRecord[];
  readonly devices: readonly BoardRecord[];
  readonly reservations: readonly ReservationRecord[];
  readonly queue: readonly QueueRecord[];
  readonly readings?: Readonly<Record<string, Reading>>;
  readonly farm: { readonly url?: string | null };
  readonly time: number;
}

/** An event of the farm, by the last part of its topic. */
export type FarmEvent =
  | { readonly topic: "worker"; readonly fields: WorkerRecord }
  | { readonly topic: "device"; readonly fields: BoardRecord }
  | { readonly topic: "reservation"; readonly fields: ReservationRecord }
  | { readonly topic: "queue"; readonly fields: QueueRecord }
  | { readonly topic: "reading"; readonly fields: { readonly boards: Readonly<Record<string, Reading>> } }
  | { readonly topic: "deleted"; readonly fields: { readonly serials: readonly string[] } }
  | { readonly topic: "log"; readonly fields: LogRecord };

/** A board's state from `time` on. */
export interface StateChange {
  readonly serial: string;
  readonly time: number;
  readonly worker: string;
  readonly status: Status;
  readonly reason: string | null;
  readonly client: string | null;
}

/** What `journal` returns. */
export interface Journal {
  readonly states: readonly StateChange[];
  readonly reservations: readonly ReservationRecord[];
  readonly log: readonly LogRecord[];
}

/** What `history` returns: one list for each figure, a value for each time. */
export interface FarmHistory {
  readonly step: number;
  readonly until: number;
  readonly time: readonly number[];
  readonly states: Readonly<Record<Status, readonly number[]>>;
  readonly rate: readonly number[];
  readonly failures: readonly number[];
  readonly waiting: readonly number[];
  readonly longest_wait: readonly number[];
}

export type BoardFigure = "rate" | "load_ms" | "window_ms" | "temperature_c" | "failures" | "retries";

/** What `device_history` returns. */
export interface BoardHistory {
  readonly since: number;
  readonly time: number;
  readonly states: readonly StateChange[];
  readonly samples: { readonly time: readonly number[] } & Readonly<Record<BoardFigure, readonly (number | null)[]>>;
  readonly log: readonly LogRecord[];
}
