// Pure: the journal as a person tells it: one story for what is one thing, however many lines it left. A reservation of
// eight boards is one story from its begin to its end, with all the flashing in between; so is a board that is broken
// and is tested in vain every minute.

import { LEVELS, type Level, type Line } from "./journal.ts";
import type { Status } from "./records.ts";
import { count, duration } from "./wording.ts";

/** Seconds: boards to which the same happens within this time are in one story. */
const TOGETHER = 5;
/** Seconds: what happens again within this time continues its story. */
const AGAIN = 600;

export type Subject = "reservation" | "trouble" | "upkeep" | "arrival" | "deletion" | "worker" | "wait" | "log";

export interface Story {
  readonly key: string;
  readonly subject: Subject;
  readonly from: number;
  /** When the latest of its lines came. */
  readonly latest: number;
  readonly open: boolean;
  readonly level: Level;
  readonly serials: readonly string[];
  readonly worker: string | null;
  readonly client: string | null;
  readonly text: string;
  /** Oldest first. */
  readonly lines: readonly Line[];
}

/** Tell the stories of these lines; the story with the latest line comes first. */
export function storiesOf(lines: readonly Line[]): readonly Story[] {
  const teller = new Teller();
  for (const line of [...lines].sort((one, other) => one.time - other.time)) teller.hear(line);
  return teller.stories();
}

/** A story in the making. */
class Draft {
  readonly subject: Subject;
  /** What stories must share to be one. */
  readonly about: string;
  readonly lines: Line[] = [];
  readonly serials = new Set<string>();
  /** Boards, or clients, for which it is not over. */
  readonly open = new Set<string>();
  /** How often it began, for what begins again and again. */
  times = 0;

  constructor(subject: Subject, about: string) {
    this.subject = subject;
    this.about = about;
  }

  get from(): number {
    return this.lines[0]?.time ?? 0;
  }

  get latest(): number {
    return this.lines.at(-1)?.time ?? 0;
  }

  add(line: Line): void {
    this.lines.push(line);
    if (line.serial !== null) this.serials.add(line.serial);
  }
}

class Teller {
  /** By their beginning. */
  private readonly drafts = new Set<Draft>();
  /** The last story of each trouble of one board, and of each line that a worker logged. */
  private readonly recurring = new Map<string, Draft>();
  /** The latest story of each subject and what it is about. */
  private readonly latest = new Map<string, Draft>();
  /** By serial: the last line that its worker logged. */
  private readonly logs = new Map<string, Draft>();
  /** By serial. */
  private readonly reservations = new Map<string, Draft>();
  private readonly troubles = new Map<string, Draft>();
  private readonly upkeeps = new Map<string, Draft>();
  private readonly states = new Map<string, Status>();
  /** Boards whose reservation has ended and that are made ready for the next one. */
  private readonly clearing = new Map<string, Draft>();
  /** By client. */
  private readonly waits = new Map<string, Draft>();
  /** By worker. */
  private readonly absences = new Map<string, Draft>();

  hear(line: Line): void {
    const { change } = line;
    switch (change.of) {
      case "begin":
        this.begin(line, change.kind);
        break;
      case "end":
        this.end(line);
        break;
      case "state":
        this.state(line, change.status, change.reason);
        break;
      case "deleted":
        this.together("deletion", "deleted", line);
        break;
      case "worker":
        this.worker(line, change.status, change.draining);
        break;
      case "wait":
        this.wait(line);
        break;
      case "served":
        this.served(line);
        break;
      case "log":
        this.log(line);
        break;
    }
  }

  stories(): readonly Story[] {
    return [...this.drafts].map(told).sort((one, other) => other.latest - one.latest || (one.key < other.key ? 1 : -1));
  }

  private begin(line: Line, kind: string): void {
    const about = `${line.client} ${kind}`;
    const draft = this.recent("reservation", about, line.time) ?? this.start("reservation", about);
    draft.add(line);
    if (line.serial === null) return;
    draft.open.add(line.serial);
    this.reservations.set(line.serial, draft);
    this.clearing.delete(line.serial);
  }

  private end(line: Line): void {
    const serial = line.serial ?? "";
    const about = `${line.client} end`;
    const known = this.reservations.get(serial) ?? this.recent("reservation", about, line.time);
    const draft = known ?? this.start("reservation", about);
    draft.add(line);
    draft.open.delete(serial);
    this.reservations.delete(serial);
    this.clearing.set(serial, draft);
  }

  private state(line: Line, status: Status, reason: string | null): void {
    const serial = line.serial ?? "";
    const before = this.states.get(serial);
    this.states.set(serial, status);
    if (status === "broken" || status === "offline") this.trouble(line, status, reason);
    else if (this.troubles.has(serial)) this.recovery(line, serial, status);
    else if (status === "flashing" || status === "testing") this.preparation(line, serial);
    else this.ready(line, serial, before);
  }

  private trouble(line: Line, status: Status, reason: string | null): void {
    const serial = line.serial ?? "";
    const about = `${status}: ${reason ?? ""}`;
    const known = this.troubles.get(serial);
    if (known !== undefined && (known.about === about || isOneFault(known, line.time))) {
      known.add(line);
      if (known.about === about) known.times += 1;
      return;
    }
    known?.open.delete(serial);
    const draft =
      this.absenceOf(line, status) ??
      this.again(`${serial} ${about}`, line.time) ??
      this.recent("trouble", about, line.time) ??
      this.start("trouble", about);
    this.takeLog(draft, serial, line.time);
    draft.add(line);
    if (draft.serials.size === 1) draft.times += 1;
    draft.open.add(serial);
    this.recurring.set(`${serial} ${about}`, draft);
    this.troubles.set(serial, draft);
    this.upkeeps.delete(serial);
  }

  /** A board of a worker that has just gone is part of that worker's story. */
  private absenceOf(line: Line, status: Status): Draft | undefined {
    const absence = this.absences.get(line.worker ?? "");
    return status === "offline" && absence !== undefined && line.time - absence.latest < TOGETHER ? absence : undefined;
  }

  /** What the worker said of a board just before it was found broken belongs to that. */
  private takeLog(draft: Draft, serial: string, time: number): void {
    const log = this.logs.get(serial);
    if (log === undefined || time - log.latest > TOGETHER) return;
    for (const line of log.lines) draft.add(line);
    this.drafts.delete(log);
    this.logs.delete(serial);
  }

  private recovery(line: Line, serial: string, status: Status): void {
    const draft = this.troubles.get(serial);
    draft?.add(line);
    if (status === "flashing" || status === "testing") return;
    draft?.open.delete(serial);
    this.troubles.delete(serial);
  }

  private preparation(line: Line, serial: string): void {
    const owner = this.reservations.get(serial) ?? this.clearing.get(serial) ?? this.upkeeps.get(serial);
    const draft = owner ?? this.recent("upkeep", `${line.worker}`, line.time) ?? this.start("upkeep", `${line.worker}`);
    draft.add(line);
    if (owner !== undefined) return;
    draft.open.add(serial);
    this.upkeeps.set(serial, draft);
  }

  private ready(line: Line, serial: string, before: Status | undefined): void {
    const owner = this.reservations.get(serial) ?? this.clearing.get(serial) ?? this.upkeeps.get(serial);
    if (owner !== undefined) {
      owner.add(line);
      owner.open.delete(this.upkeeps.get(serial) === owner ? serial : "");
      this.upkeeps.delete(serial);
      this.clearing.delete(serial);
    } else if (before === undefined && line.client === null) {
      this.together("arrival", `${line.worker}`, line);
    } else if (line.client !== null) {
      this.running(line, serial);
    }
  }

  /** A board whose reservation began before the oldest line. */
  private running(line: Line, serial: string): void {
    const about = `${line.client} running`;
    const draft = this.recent("reservation", about, line.time) ?? this.start("reservation", about);
    draft.add(line);
    draft.open.add(serial);
    this.reservations.set(serial, draft);
  }

  private worker(line: Line, status: "online" | "offline", draining: boolean): void {
    const name = line.worker ?? "";
    const absence = this.absences.get(name);
    if (status === "offline") {
      const draft = absence ?? this.start("worker", `${name} away`);
      draft.add(line);
      draft.open.add(name);
      this.absences.set(name, draft);
    } else if (absence !== undefined) {
      absence.add(line);
      absence.open.delete(name);
      this.absences.delete(name);
    } else {
      this.together("worker", `${name} ${draining}`, line);
    }
  }

  private wait(line: Line): void {
    const draft = this.start("wait", line.client ?? "");
    draft.add(line);
    draft.open.add(line.client ?? "");
    this.waits.set(line.client ?? "", draft);
  }

  private served(line: Line): void {
    const draft = this.waits.get(line.client ?? "") ?? this.start("wait", line.client ?? "");
    draft.add(line);
    draft.open.clear();
    this.waits.delete(line.client ?? "");
  }

  private log(line: Line): void {
    const serious = LEVELS.indexOf(line.level) >= LEVELS.indexOf("warn");
    const trouble = line.serial === null ? undefined : this.troubles.get(line.serial);
    if (serious && trouble !== undefined) {
      trouble.add(line);
      return;
    }
    const about = `${line.worker} ${line.serial} ${line.level} ${line.text}`;
    const draft = this.again(about, line.time) ?? this.start("log", about);
    draft.add(line);
    draft.times += 1;
    this.recurring.set(about, draft);
    if (line.serial !== null) this.logs.set(line.serial, draft);
  }

  private together(subject: Subject, about: string, line: Line): void {
    (this.recent(subject, about, line.time) ?? this.start(subject, about)).add(line);
  }

  /** A story of the same thing that began just now. */
  private recent(subject: Subject, about: string, time: number): Draft | undefined {
    const known = this.latest.get(`${subject} ${about}`);
    return known !== undefined && time - known.from < TOGETHER ? known : undefined;
  }

  /** A story of what happens again and again, unless the last time is long ago. */
  private again(about: string, time: number): Draft | undefined {
    const known = this.recurring.get(about);
    return known !== undefined && this.drafts.has(known) && time - known.latest < AGAIN ? known : undefined;
  }

  private start(subject: Subject, about: string): Draft {
    const draft = new Draft(subject, about);
    this.drafts.add(draft);
    this.latest.set(`${subject} ${about}`, draft);
    return draft;
  }
}

function told(draft: Draft): Story {
  const { subject, lines, serials, from, latest } = draft;
  const first = lines[0];
  const level = lines.reduce<Level>(
    (most, line) => (LEVELS.indexOf(line.level) > LEVELS.indexOf(most) ? line.level : most),
    "debug",
  );
  return {
    key: `${subject} ${from} ${first?.serial ?? first?.worker ?? first?.client} ${draft.about}`,
    subject,
    from,
    latest,
    open: draft.open.size > 0,
    level,
    serials: [...serials],
    worker: first?.worker ?? null,
    client: lines.find((line) => line.client !== null)?.client ?? null,
    text: TELLING[subject](draft),
    lines: [...lines],
  };
}

/** What each subject's stories are in one sentence. */
const TELLING: Readonly<Record<Subject, (draft: Draft) => string>> = {
  reservation: reservationText,
  trouble: troubleText,
  upkeep: ({ serials, open }) =>
    open.size > 0
      ? `${verb(serials, "is", "are")} being flashed and tested`
      : `${verb(serials, "was", "were")} flashed and tested`,
  arrival: ({ serials }) => `${verb(serials, "is", "are")} available`,
  deletion: ({ serials }) => `${verb(serials, "was", "were")} deleted`,
  worker: workerText,
  wait: waitText,
  log: ({ lines, times }) => `${lines.at(-1)?.text ?? ""}${repeated(times)}`,
};

function verb(serials: ReadonlySet<string>, one: string, several: string): string {
  return serials.size > 1 ? several : one;
}

function repeated(times: number): string {
  return times > 1 ? ` (${times} times)` : "";
}

function reservationText({ lines, serials, open, from }: Draft): string {
  const client = lines.find((line) => line.client !== null)?.client;
  const kind = lines.flatMap(({ change }) => (change.of === "begin" ? change.kind : []))[0];
  const what = `${count(serials.size, "board")}${kind === undefined ? "" : ` as ${kind}`}`;
  const ends = lines.filter(({ change }) => change.of === "end");
  if (open.size > 0) return `${client} has reserved ${what}`;
  const reasons = [...new Set(ends.flatMap(({ change }) => (change.of === "end" ? (change.reason ?? []) : [])))];
  const last = ends.at(-1)?.time ?? from;
  const time = kind === undefined ? "" : ` for ${duration(last - from)}`;
  return `${client} had reserved ${what}${time}: ${reasons.join("; ")}`;
}

function troubleText({ lines, serials, open, times, from, latest }: Draft): string {
  const states = lines.flatMap(({ change }) => (change.of === "state" && isTrouble(change.status) ? change : []));
  const { status, reason } = states.at(-1) ?? { status: "broken", reason: null };
  const why = reason === null ? "" : `: ${reason}`;
  const what =
    open.size > 0
      ? `${verb(serials, "is", "are")} ${status}`
      : `${verb(serials, "was", "were")} ${status} for ${duration(latest - from)}`;
  return `${what}${why}${repeated(times)}`;
}

/** A board that is lost and then called unplugged has one fault with two names. */
function isOneFault(known: Draft, time: number): boolean {
  return known.subject === "trouble" && known.serials.size === 1 && time - known.latest < TOGETHER;
}

function isTrouble(status: Status): boolean {
  return status === "broken" || status === "offline";
}

function workerText({ lines, open, serials, from, latest, about }: Draft): string {
  const boards = serials.size === 0 ? "" : `, and ${count(serials.size, "board")} with it`;
  if (about.endsWith(" away"))
    return open.size > 0 ? `is offline${boards}` : `was offline for ${duration(latest - from)}${boards}`;
  const change = lines.at(-1)?.change;
  return change?.of === "worker" && change.draining ? "drains: its boards get no new reservations" : "is online";
}

function waitText({ lines, open, from, latest }: Draft): string {
  const client = lines[0]?.client;
  const wait = lines.flatMap(({ change }) => (change.of === "wait" ? change : []))[0];
  if (wait === undefined) return `${client} waits no longer`;
  if (open.size > 0) return `${client} waits for ${wait.wants}: ${wait.reason}`;
  return `${client} waited ${duration(latest - from)} for ${wait.wants}`;
}
