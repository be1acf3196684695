// What control sends: the records of the wire contract, as icefarm/contract/ has them, and the past that it keeps.
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
  /** What operators note of it. A farm of an earlier version does not say. */
  readonly labels?: Labels;
}

/** Text by name. */
export type Labels = Readonly<Record<string, string>>;

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
  /** What a virtual board does with a circuit; null: a real board. */
  readonly model?: string | null;
  /** What operators note of it and of its worker. A farm of an earlier version does not say. */
  readonly labels?: Labels;
  /** The clients that share it, by reservation; `client` is the first. A farm of an earlier version does not say. */
  readonly shares?: Readonly<Record<string, string>>;
  /** How it deviates; null: it is not calibrated. A farm of an earlier version does not say. */
  readonly calibration?: BoardCalibration | null;
}

/** A board's calibration, as records of boards show it: the figures of the FPGA's own oscillator. */
export interface BoardCalibration {
  readonly id: string;
  readonly measured_at: number;
  readonly offset_ppm: number;
  readonly offset_uncertainty_ppm: number;
  readonly noise_ppm: number;
  readonly drift_ppm_per_day: number;
  readonly drift_uncertainty: number;
  /** Why it is unlike the others, or unlike what it was. */
  readonly suspect: string | null;
}

export type Reference = "oscillator" | "crystal" | "ring";

/** How a board deviates, from its readings of a reference circuit. */
export interface Calibration {
  readonly id: string;
  readonly serial: string;
  readonly reference: string;
  readonly offset_ppm: number;
  readonly noise_ppm: number;
  readonly drift_ppm_per_day: number;
  readonly ppm_per_kelvin: number;
  /** Of offset, drift and ppm per kelvin: the upper triangle, by rows. */
  readonly covariance: readonly number[];
  readonly readings: number;
  readonly valid_from: number;
}

export interface Calibrations {
  readonly calibrations: readonly Calibration[];
  /** Why boards are suspect, by serial. */
  readonly suspects: Readonly<Record<string, string>>;
  readonly time: number;
}

/** A window in which a board measured a reference circuit. */
export interface ReferenceReading {
  readonly time: number;
  readonly expected_hz: number;
  readonly pulses: number;
  readonly window_us: number;
  readonly temperature_c: number | null;
}

export interface ReferenceReadings {
  readonly readings: readonly ReferenceReading[];
  readonly time: number;
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
  /** The selector of the boards that it may have. */
  readonly where?: string | null;
  /** The clients of the first requests that go before it. A farm of an earlier version does not say. */
  readonly behind?: readonly string[];
  /** It would share boards with others. A farm of an earlier version does not say. */
  readonly shared?: boolean;
  /** When it is likely to be served: not before, not after; null: unknown. */
  readonly earliest?: number | null;
  readonly latest?: number | null;
}

/** Boards that are kept for an account, or a group of accounts, for a time. */
export interface BookingRecord {
  readonly id: string;
  readonly account: string;
  readonly amount: number;
  readonly serials: readonly string[];
  readonly kind: string | null;
  readonly starts_at: number;
  readonly ends_at: number;
  /** How many boards it still keeps: it releases those that nobody takes. */
  readonly kept: number;
  readonly booked_by: string;
  readonly created_at: number;
  readonly ended_at: number | null;
  readonly end_reason: string | null;
  /** A selector of the boards that it may be of. */
  readonly where?: string | null;
}

/** An evaluation that failed, as `recent_failures` returns it. */
export interface FailureRecord {
  readonly client: string;
  readonly serial: string;
  readonly kind: string;
  readonly circuit: string | null;
  readonly error: string;
  readonly message: string | null;
  readonly time: number;
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
  readonly bookings?: readonly BookingRecord[];
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
  | { readonly topic: "booking"; readonly fields: BookingRecord }
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

/** An experiment of an account, as the archive counts it. */
export interface ExperimentRecord {
  readonly account: string;
  readonly name: string;
  /** Evaluations with a value; those that failed; how many its client expects. */
  readonly done: number;
  readonly failed: number;
  readonly total: number | null;
  readonly boards: number;
  readonly first_at: number | null;
  readonly last_at: number | null;
  /** Evaluations per second over the last minute; since it began or went on, if that is less. */
  readonly rate: number;
  readonly shared: boolean;
  readonly created_at: number;
}

/** What `experiments` returns. */
export interface ExperimentList {
  readonly experiments: readonly ExperimentRecord[];
  readonly next: string | null;
}

/** What one board did for an experiment. */
export interface ExperimentBoard {
  readonly serial: string;
  readonly done: number;
  readonly failed: number;
  readonly first_at: number;
  readonly last_at: number;
}

/** What `experiment` returns. */
export interface ExperimentDetails {
  readonly experiment: ExperimentRecord;
  readonly boards: readonly ExperimentBoard[];
  /** By the name of the error. */
  readonly failures: Readonly<Record<string, number>>;
  readonly time: number;
}

/** A run of an experiment: one stream of evaluations. */
export interface RunRecord {
  /** By which it is cited; null until it is closed. */
  readonly id: string | null;
  readonly number: string;
  readonly client: string;
  /** "running", "ended" or "closed". */
  readonly state: string;
  readonly labels: Readonly<Record<string, unknown>>;
  readonly begun_at: number;
  readonly results: number;
  readonly failed: number;
  readonly boards: number;
  /** When the archive began to drop its results. */
  readonly dropped_at: number | null;
}

/** What `experiment_runs` returns. */
export interface RunList {
  readonly runs: readonly RunRecord[];
  readonly next: string | null;
}

/** A board's part in an experiment, as `board_experiments` returns it. */
export interface ExperimentPart {
  readonly account: string;
  readonly name: string;
  readonly done: number;
  readonly failed: number;
  readonly first_at: number;
  readonly last_at: number;
}

/** Results summed up over time; one list for each figure, a value for each step. */
export interface Steps {
  /** When each step begins. */
  readonly time: readonly number[];
  readonly done: readonly number[];
  readonly failed: readonly number[];
  /** Of the values that are numbers: how many, their sum, the least and the largest. */
  readonly numbers: readonly number[];
  readonly sum: readonly (number | null)[];
  readonly least: readonly (number | null)[];
  readonly most: readonly (number | null)[];
}

/** What `experiment_series` returns. */
export interface ExperimentSeries {
  /** Seconds of a step: of all boards together, and of each. */
  readonly step: number;
  readonly board_step: number;
  readonly together: Steps;
  readonly boards: Readonly<Record<string, Steps>>;
  readonly next: string;
}

/** What `experiment_figures` returns: what the owner reported. */
export interface ReportedFigures {
  readonly figures: readonly {
    readonly id: number;
    readonly time: number;
    readonly figures: Readonly<Record<string, number>>;
  }[];
  readonly next: string;
  readonly more: boolean;
}

/** How much an account, a board or an experiment used; null where they are not told apart. */
export interface UsageRecord {
  readonly account: string | null;
  readonly serial: string | null;
  readonly experiment: string | null;
  readonly boards: number;
  readonly reservations: number;
  /** For which boards were reserved; by experiment, from the first result of each day to the last. */
  readonly seconds: number;
  readonly evaluations: number;
  readonly failed: number;
  readonly first_at: number | null;
  readonly last_at: number | null;
}

/** What `usage` returns. */
export interface Usage {
  readonly since: number;
  readonly until: number;
  readonly usage: readonly UsageRecord[];
}

/** What `limits` returns: what an account may have at a time, and what it has of that. */
export interface AccountLimits {
  readonly account: string;
  readonly limits: Readonly<Record<string, number>>;
  readonly has: Readonly<Record<string, number>>;
}
