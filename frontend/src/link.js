// The page's session at the router. Autobahn JS does the protocol; what it leaves open is here: it does not come back
// after every loss, calls that wait at a loss never settle, and nothing bounds a call's time.

/** Seconds: the first and the longest wait between two attempts, for sign-in, for a call, between signs of life. */
export const RETRY_FIRST = 0.5;
export const RETRY_LONGEST = 10;
export const OPEN_LIMIT = 8;
export const CALL_LIMIT = 15;
export const PING_INTERVAL = 5;
export const PING_LIMIT = 8;
/** The same where the browser says that the network is gone: short of the second within which a loss is told. */
export const DOUBT_LIMIT = 0.8;

const PREFIX = "icefarm.v1.";
const ERRORS = `${PREFIX}error.`;

/** An error of the farm, by its name. */
export class FarmError extends Error {
  constructor(name, message) {
    super(message);
    this.name = name;
  }
}

/** Turn what Autobahn JS rejects with into a `FarmError`. */
export function farmError(failure) {
  if (failure instanceof FarmError) return failure;
  const uri = failure?.error ?? failure?.reason;
  if (typeof uri !== "string") return new FarmError("internal", String(failure?.message ?? failure));
  const message = String(failure.args?.[0] ?? failure.message ?? uri);
  if (uri.startsWith(ERRORS)) return new FarmError(uri.slice(ERRORS.length), message);
  if (uri === "wamp.error.not_authorized") return new FarmError("not_authorized", "the router refused: you may not do that");
  if (uri === "wamp.error.no_such_procedure") return new FarmError("no_such_procedure", "the farm's control is away");
  return new FarmError(uri, message);
}

/**
 * Seconds until the next attempt; grows, and differs a little from page to page.
 * @param {() => number} random
 */
export function backoff(attempt, random) {
  return Math.min(RETRY_FIRST * 2 ** attempt, RETRY_LONGEST) * (0.75 + random() / 2);
}

/**
 * Keeps a session, for ever, and the farm's records with it.
 *
 * `connect(credentials, opened, closed)` begins a connection and returns its `close`; `opened(session)` comes once at
 * most, `closed(reason, message)` once. `on.state({live, reason, refused})`, `on.snapshot(snapshot)`,
 * `on.event(topic, fields)` tell what happens.
 */
export class Link {
  constructor(connect, on, timers = globalThis) {
    this._connect = connect;
    this._on = on;
    this._timers = timers;
    this._attempt = 0;
    this._generation = 0;
    this._session = null;
    this._close = null;
    this._timer = null;
    this._limit = null;
    this._pending = new Set();
    this._waits = false;
  }

  /** Sign in as somebody, now; whatever session there was is ended. */
  open(credentials) {
    this._credentials = credentials;
    this._attempt = 0;
    this._drop("signing in");
    this._begin();
  }

  /** End for good. */
  close() {
    this._drop("closed");
  }

  /** The network has changed: find out now whether the farm answers, or try again now. */
  doubt() {
    const generation = this._generation;
    const current = () => generation === this._generation;
    if (this._session !== null) this._ask(current, DOUBT_LIMIT);
    else if (this._waits) {
      this._timers.clearTimeout(this._timer);
      this._begin();
    }
  }

  /** Call a procedure of control. Rejects with a `FarmError`, at the latest after `limit` seconds. */
  call(name, fields = {}, limit = CALL_LIMIT) {
    const session = this._session;
    if (session === null) return Promise.reject(new FarmError("link_lost", "not connected to the farm"));
    return this._bounded((pending) => pending(session.call(`${PREFIX}control.${name}`, [], fields)), limit);
  }

  _bounded(start, limit) {
    return new Promise((resolve, reject) => {
      const entry = { reject: (error) => done(reject, error) };
      const timer = this._timers.setTimeout(
        () => entry.reject(new FarmError("timed_out", `there was no answer within ${limit} s`)),
        limit * 1000,
      );
      const done = (settle, value) => {
        this._timers.clearTimeout(timer);
        this._pending.delete(entry);
        settle(value);
      };
      this._pending.add(entry);
      try {
        start((promise) =>
          promise.then(
            (result) => done(resolve, result),
            (failure) => done(reject, farmError(failure)),
          ),
        );
      } catch (failure) {
        entry.reject(farmError(failure));
      }
    });
  }

  _begin() {
    this._waits = false;
    const generation = ++this._generation;
    const current = () => generation === this._generation;
    this._limit = this._timers.setTimeout(() => current() && this._lost("the farm does not answer"), OPEN_LIMIT * 1000);
    this._close = this._connect(
      this._credentials,
      (session) => current() && this._opened(session, current),
      (reason, message) => current() && this._closed(reason, message),
    );
  }

  async _opened(session, current) {
    this._session = session;
    try {
      // First the events, then the snapshot: what happens in between is in both, and harmless so.
      const heard = (_, fields, details) => this._event(fields, details);
      const topics = [
        session.subscribe(`${PREFIX}event.`, heard, { match: "prefix" }),
        session.subscribe(`${PREFIX}reading`, heard, {}),
      ];
      await this._bounded((pending) => pending(Promise.all(topics)), OPEN_LIMIT);
      const snapshot = await this.call("snapshot");
      if (!current()) return;
      this._timers.clearTimeout(this._limit);
      this._attempt = 0;
      this._on.snapshot(snapshot);
      this._on.state({ live: true, reason: null, refused: null });
      this._timer = this._timers.setTimeout(() => this._ping(current), PING_INTERVAL * 1000);
    } catch (failure) {
      if (current()) this._lost(farmError(failure).message);
    }
  }

  _event(fields, details) {
    const topic = details.topic;
    this._on.event(topic.slice(topic.lastIndexOf(".") + 1), fields);
  }

  /** A connection that died without a word is found out by a call that is not answered. */
  async _ping(current) {
    await this._ask(current, PING_LIMIT);
    if (current() && this._session !== null) {
      this._timer = this._timers.setTimeout(() => this._ping(current), PING_INTERVAL * 1000);
    }
  }

  async _ask(current, limit) {
    try {
      await this.call("available", {}, limit);
    } catch (failure) {
      // Busy is an answer: control is there, its database is not.
      if (current() && farmError(failure).name !== "busy") this._lost(farmError(failure).message);
    }
  }

  _closed(reason, message) {
    const error = farmError({ reason, message });
    if (["not_authorized", "name_in_use", "invalid_argument"].includes(error.name)) {
      this._drop(error.message);
      this._on.state({ live: false, reason: error.message, refused: error });
    } else {
      this._lost(reason?.startsWith?.(ERRORS) ? error.message : "the connection was lost");
    }
  }

  _lost(reason) {
    this._drop(reason);
    this._on.state({ live: false, reason, refused: null });
    this._waits = true;
    const wait = backoff(this._attempt++, Math.random);
    this._timer = this._timers.setTimeout(() => this._begin(), wait * 1000);
  }

  _drop(reason) {
    this._waits = false;
    this._generation += 1;
    this._timers.clearTimeout(this._timer);
    this._timers.clearTimeout(this._limit);
    this._session = null;
    const close = this._close;
    this._close = null;
    for (const entry of [...this._pending]) entry.reject(new FarmError("link_lost", reason));
    close?.();
  }
}
