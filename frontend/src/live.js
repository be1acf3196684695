// The farm in this page: the link and the records, with word to whoever draws them, four times a second at most.

import { Farm, logLine, mergedLines, reservationLines, stateLine } from "./farm.js";
import { FarmError, Link } from "./link.js";
import { connector, routerUrl } from "./router.js";
import * as session from "./session.js";

/** Milliseconds between two drawings where much happens; in between changes are gathered. */
export const BATCH = 250;

/** What the browser says when the network goes or comes; a farm on this very machine may answer all the same. */
const NETWORK_EVENTS = ["offline", "online"];

const seconds = () => Date.now() / 1000;

export class Live {
  /** `changed()` is called when there is something new to draw. */
  constructor(changed) {
    this.farm = new Farm();
    this.state = { live: false, reason: null, refused: null, since: seconds() };
    this.credentials = session.credentials();
    this._changed = changed;
    this._timer = null;
    this._signing = null;
    this._doubt = () => this._link.doubt();
    this._link = new Link(connector(routerUrl(window.location)), {
      state: (state) => this._entered(state),
      snapshot: (snapshot) => this._arrived(snapshot),
      event: (topic, fields) => this._heard(topic, fields),
    });
  }

  start() {
    for (const event of NETWORK_EVENTS) window.addEventListener(event, this._doubt);
    this._link.open(this.credentials);
  }

  stop() {
    for (const event of NETWORK_EVENTS) window.removeEventListener(event, this._doubt);
    clearTimeout(this._timer);
    this._link.close();
  }

  /** The farm's time, in seconds since the epoch. */
  now() {
    return seconds() + this.farm.ahead;
  }

  get operator() {
    return this.credentials.role === "operator";
  }

  call(name, fields) {
    return this._link.call(name, fields);
  }

  /** Sign in with a token: as an operator where it is one's, else as a client. Rejects with a `FarmError`. */
  async signIn(ticket) {
    const before = this.credentials;
    // Where clients need no token, one that is no operator's is of no use.
    const open = before.ticket === "" && this.farm.known;
    try {
      await this._attempt("operator", ticket).catch((error) => {
        if (error.name !== "not_authorized" || open) throw error;
        return this._attempt("client", ticket);
      });
    } catch (error) {
      this.credentials = before;
      this._link.open(before);
      throw error;
    }
  }

  /** Forget the token and watch as a client without one. */
  signOut() {
    session.forget();
    this.credentials = session.credentials();
    this._link.open(this.credentials);
  }

  _attempt(role, ticket) {
    this.credentials = { ...session.credentials(), role, ticket };
    return new Promise((resolve, reject) => {
      this._signing = (state) => {
        if (state.live) {
          session.keep(role, ticket);
          resolve();
        } else {
          reject(state.refused ?? new FarmError("link_lost", state.reason));
        }
      };
      this._link.open(this.credentials);
    });
  }

  _entered(state) {
    const since = state.live === this.state.live ? this.state.since : seconds();
    this.state = { ...state, since };
    const signing = this._signing;
    this._signing = null;
    signing?.(state);
    this._flush();
  }

  _arrived(snapshot) {
    this.farm.replace(snapshot, seconds());
    this._fetchPast();
    this._flush();
  }

  /** What happened before the page was opened, or while the link was lost. */
  async _fetchPast() {
    try {
      const past = await this.call("journal");
      const lines = [...past.states.map(stateLine), ...past.reservations.flatMap(reservationLines), ...past.log.map(logLine)];
      this.farm.lines = mergedLines(lines, this.farm.lines);
      this._schedule();
    } catch {
      // The link is lost again; the journal then begins with what happens from now on.
    }
  }

  _heard(topic, fields) {
    this.farm.apply(topic, fields, seconds());
    this._schedule();
  }

  _schedule() {
    this._timer ??= setTimeout(() => this._flush(), BATCH);
  }

  _flush() {
    clearTimeout(this._timer);
    this._timer = null;
    this._changed();
  }
}
