// The page's session at the router. Autobahn JS speaks the protocol. What it lacks is here: it comes back after every
// loss, rejects the calls that wait at a loss, and bounds the time of each call.

import type { Credentials } from "./credentials.ts";
import type { FarmEvent, Snapshot } from "./records.ts";

/** Seconds: the first and the longest wait between two attempts, for sign-in, for a call, between signs of life. */
export const RETRY_FIRST = 0.5;
export const RETRY_LONGEST = 10;
export const OPEN_LIMIT = 8;
export const CALL_LIMIT = 15;
export const PING_INTERVAL = 5;
export const PING_LIMIT = 8;
/** The same if the browser reports that the network is gone: less than the second within which a loss must show. */
export const DOUBT_LIMIT = 0.8;

const PREFIX = "icefarm.v1.";
const ERRORS = `${PREFIX}error.`;
/** Errors of a sign-in that another attempt does not mend. */
const REFUSALS = ["not_authorized", "name_in_use", "invalid_argument"];

/** An error of the farm, by its name. */
export class FarmError extends Error {
  constructor(name: string, message: string) {
    super(message);
    this.name = name;
  }
}

/** What Autobahn JS rejects with. */
interface Failure {
  readonly error?: unknown;
  readonly reason?: unknown;
  readonly message?: unknown;
  readonly args?: readonly unknown[];
}

/** The part of a session that a link uses. */
export interface Session {
  call(procedure: string, args: unknown[], fields: Record<string, unknown>): Promise<unknown>;
  subscribe(
    topic: string,
    handler: (args: unknown[], fields: unknown, details: { topic: string }) => void,
    options: Record<string, unknown>,
  ): Promise<unknown>;
}

/**
 * Begin a connection and return its `close`. `opened` is called once at most, with the identity that the farm gave;
 * `closed` is called once.
 */
export type Connect = (
  credentials: Credentials,
  opened: (session: Session, identity: string) => void,
  closed: (reason: string | null, message: string | null) => void,
) => () => void;

export interface LinkState {
  readonly live: boolean;
  /** Who the farm says that this session is: an account, or a name inside one after a `/`. */
  readonly identity: string | null;
  /** Why it is not. */
  readonly reason: string | null;
  /** The refusal of a sign-in, which is not tried again. */
  readonly refused: FarmError | null;
}

/** Hears what happens on a link. */
export interface LinkListener {
  state(state: LinkState): void;
  snapshot(snapshot: Snapshot): void;
  event(event: FarmEvent): void;
}

/** The timers of the browser, or of a test. */
export interface Timers {
  setTimeout(call: () => void, milliseconds: number): number;
  clearTimeout(timer: number | undefined): void;
}

interface PendingCall {
  reject(error: FarmError): void;
}

/** Turn what Autobahn JS rejects with into a `FarmError`. */
export function farmError(failure: unknown): FarmError {
  if (failure instanceof FarmError) return failure;
  const { error, reason, args, message: said } = (failure ?? {}) as Failure;
  const uri = error ?? reason;
  if (typeof uri !== "string") return new FarmError("internal", String(said ?? failure));
  const message = String(args?.[0] ?? said ?? uri);
  if (uri.startsWith(ERRORS)) return new FarmError(uri.slice(ERRORS.length), message);
  if (uri === "wamp.error.not_authorized")
    return new FarmError("not_authorized", "the router refused: you may not do that");
  if (uri === "wamp.error.no_such_procedure") return new FarmError("no_such_procedure", "the farm's control is away");
  return new FarmError(uri, message);
}

/** Seconds until the next attempt; grows, and differs a little from page to page. */
export function backoff(attempt: number, random: () => number): number {
  return Math.min(RETRY_FIRST * 2 ** attempt, RETRY_LONGEST) * (0.75 + random() / 2);
}

/** Keeps a session for as long as the page lives, and fetches the farm's records each time that it comes back. */
export class Link {
  private readonly connect: Connect;
  private readonly listener: LinkListener;
  private readonly timers: Timers;
  private readonly pending = new Set<PendingCall>();
  private credentials: Credentials | null = null;
  private attempt = 0;
  /** Counts connections: what a former one still has to say is not heard. */
  private generation = 0;
  private session: Session | null = null;
  private closeConnection: (() => void) | null = null;
  private timer: number | undefined;
  private limit: number | undefined;
  private waits = false;

  constructor(connect: Connect, listener: LinkListener, timers: Timers = window) {
    this.connect = connect;
    this.listener = listener;
    this.timers = timers;
  }

  /** Sign in now. A session that there is ends. */
  open(credentials: Credentials): void {
    this.credentials = credentials;
    this.attempt = 0;
    this.drop("signing in");
    this.begin();
  }

  /** Sign in with these from the next connection on. */
  renew(credentials: Credentials): void {
    this.credentials = credentials;
  }

  /** End for good. */
  close(): void {
    this.drop("closed");
  }

  /** The network has changed: find out now whether the farm answers, or try again now. */
  doubt(): void {
    const generation = this.generation;
    const current = () => generation === this.generation;
    if (this.session !== null) this.ask(current, DOUBT_LIMIT);
    else if (this.waits) {
      this.timers.clearTimeout(this.timer);
      this.begin();
    }
  }

  /** Call a procedure of control. Rejects with a `FarmError`, at the latest after `limit` seconds. */
  call<Result>(name: string, fields: Record<string, unknown> = {}, limit = CALL_LIMIT): Promise<Result> {
    const session = this.session;
    if (session === null) return Promise.reject(new FarmError("link_lost", "not connected to the farm"));
    return this.bounded(() => session.call(`${PREFIX}control.${name}`, [], fields) as Promise<Result>, limit);
  }

  /** The result of what `start` begins; rejects after `limit` seconds, and when the link is lost. */
  private bounded<Result>(start: () => Promise<Result>, limit: number): Promise<Result> {
    return new Promise((resolve, reject) => {
      const over = () => {
        this.timers.clearTimeout(timer);
        this.pending.delete(entry);
      };
      const entry: PendingCall = {
        reject: (error) => {
          over();
          reject(error);
        },
      };
      const late = new FarmError("timed_out", `there was no answer within ${limit} s`);
      const timer = this.timers.setTimeout(() => entry.reject(late), limit * 1000);
      this.pending.add(entry);
      const failed = (failure: unknown) => entry.reject(farmError(failure));
      try {
        start().then((result) => {
          over();
          resolve(result);
        }, failed);
      } catch (failure) {
        failed(failure);
      }
    });
  }

  private begin(): void {
    const { credentials } = this;
    if (credentials === null) return;
    this.waits = false;
    const generation = ++this.generation;
    const current = () => generation === this.generation;
    this.limit = this.timers.setTimeout(() => current() && this.lost("the farm does not answer"), OPEN_LIMIT * 1000);
    this.closeConnection = this.connect(
      credentials,
      (session, identity) => current() && this.opened(session, identity, current),
      (reason, message) => current() && this.closed(reason, message),
    );
  }

  private async opened(session: Session, identity: string, current: () => boolean): Promise<void> {
    this.session = session;
    try {
      // First the events, then the snapshot: what happens in between is in both, and harmless so.
      await this.bounded(() => this.subscribe(session), OPEN_LIMIT);
      const snapshot = await this.call<Snapshot>("snapshot");
      if (!current()) return;
      this.timers.clearTimeout(this.limit);
      this.attempt = 0;
      this.listener.snapshot(snapshot);
      this.listener.state({ live: true, identity, reason: null, refused: null });
      this.timer = this.timers.setTimeout(() => this.ping(current), PING_INTERVAL * 1000);
    } catch (failure) {
      if (current()) this.lost(farmError(failure).message);
    }
  }

  private subscribe(session: Session): Promise<unknown> {
    const heard = (_: unknown[], fields: unknown, { topic }: { topic: string }) =>
      this.listener.event({ topic: topic.slice(topic.lastIndexOf(".") + 1), fields } as FarmEvent);
    return Promise.all([
      session.subscribe(`${PREFIX}event.`, heard, { match: "prefix" }),
      session.subscribe(`${PREFIX}reading`, heard, {}),
    ]);
  }

  /** A connection that died silently is found out by a call that is not answered. */
  private async ping(current: () => boolean): Promise<void> {
    await this.ask(current, PING_LIMIT);
    if (current() && this.session !== null) {
      this.timer = this.timers.setTimeout(() => this.ping(current), PING_INTERVAL * 1000);
    }
  }

  private async ask(current: () => boolean, limit: number): Promise<void> {
    try {
      await this.call("available", {}, limit);
    } catch (failure) {
      // Busy is an answer: control is there, its database is not.
      if (current() && farmError(failure).name !== "busy") this.lost(farmError(failure).message);
    }
  }

  private closed(reason: string | null, message: string | null): void {
    const error = farmError({ reason, message });
    if (REFUSALS.includes(error.name)) {
      this.drop(error.message);
      this.listener.state({ live: false, identity: null, reason: error.message, refused: error });
    } else {
      this.lost(reason?.startsWith(ERRORS) ? error.message : "the connection was lost");
    }
  }

  private lost(reason: string): void {
    this.drop(reason);
    this.listener.state({ live: false, identity: null, reason, refused: null });
    this.waits = true;
    const wait = backoff(this.attempt++, Math.random);
    this.timer = this.timers.setTimeout(() => this.begin(), wait * 1000);
  }

  private drop(reason: string): void {
    this.waits = false;
    this.generation += 1;
    this.timers.clearTimeout(this.timer);
    this.timers.clearTimeout(this.limit);
    this.session = null;
    const close = this.closeConnection;
    this.closeConnection = null;
    for (const entry of [...this.pending]) entry.reject(new FarmError("link_lost", reason));
    close?.();
  }
}
