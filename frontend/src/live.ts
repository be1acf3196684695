// The live farm as signals: a view that reads one is drawn again when it changes, four times a second at most.

import { computed, type ReadonlySignal, signal } from "@preact/signals";

import { connector } from "./connection.ts";
import { type Credentials, forgetToken, keepToken, keptCredentials, type Role } from "./credentials.ts";
import { applied, type Farm, figures, replaced, UNKNOWN_FARM } from "./farm.ts";
import { accountOf } from "./identity.ts";
import { logLine, mergedLines, reservationLines, stateLine } from "./journal.ts";
import { type Connect, FarmError, farmError, Link, type LinkState } from "./link.ts";
import type { FarmEvent, Journal, Snapshot } from "./records.ts";
import { farmUrl, socketUrl } from "./urls.ts";

/** Milliseconds between two drawings where much happens; in between, events are gathered. */
export const BATCH = 250;

/** What the browser says when the network goes or comes; a farm on this very machine may answer all the same. */
const NETWORK_EVENTS = ["offline", "online"];

const OWNER_KEY = "icefarm.owner";

const clockSeconds = () => Date.now() / 1000;

export class Live {
  readonly farm = signal<Farm>(UNKNOWN_FARM);
  readonly link = signal<LinkState>({ live: false, identity: null, reason: null, refused: null });
  /** When the link was last lost, by this machine's clock. */
  readonly lostAt = signal(clockSeconds());
  readonly credentials = signal<Credentials>(keptCredentials(sessionStorage));
  /** This machine's clock, whole seconds. */
  readonly clock = signal(Math.floor(clockSeconds()));

  /** The client that this reader named as the own one; kept in this browser. */
  readonly named = signal(localStorage.getItem(OWNER_KEY) ?? "");
  /** The account of the reader's token; empty without one. */
  readonly account = computed(() => (this.credentials.value.ticket === "" ? "" : accountOf(this.link.value.identity)));
  /** The client, or account, whose boards come first for this reader. */
  readonly owner = computed(() => this.named.value || this.account.value);

  readonly connected = computed(() => this.link.value.live);
  readonly operator = computed(() => this.credentials.value.role === "operator");
  readonly known = computed(() => this.farm.value.known);
  readonly workers = computed(() => this.farm.value.workers);
  readonly boards = computed(() => this.farm.value.boards);
  readonly queue = computed(() => this.farm.value.queue);
  readonly bookings = computed(() => this.farm.value.bookings);
  readonly readings = computed(() => this.farm.value.readings);
  readonly lines = computed(() => this.farm.value.lines);
  /** Where a worker on another host connects. */
  readonly url = computed(() => this.farm.value.url ?? farmUrl(document.baseURI));
  readonly figures = computed(() => figures(this.farm.value));
  /** The farm's time, in seconds since the epoch; changes each second, and so does what reads it. */
  readonly now: ReadonlySignal<number> = computed(() => this.clock.value + this.farm.value.ahead);

  private readonly session: Link;
  private readonly doubt = () => this.session.doubt();
  private events: FarmEvent[] = [];
  private flushing: number | undefined;
  private ticking: number | undefined;
  private signing: ((state: LinkState) => void) | null = null;

  constructor(connect: Connect = connector(socketUrl(document.baseURI))) {
    this.session = new Link(connect, {
      state: (state) => this.entered(state),
      snapshot: (snapshot) => this.arrived(snapshot),
      event: (event) => this.heard(event),
    });
  }

  start(): void {
    for (const event of NETWORK_EVENTS) window.addEventListener(event, this.doubt);
    this.ticking = window.setInterval(() => {
      this.clock.value = Math.floor(clockSeconds());
    }, 1000);
    this.session.open(this.credentials.value);
  }

  stop(): void {
    for (const event of NETWORK_EVENTS) window.removeEventListener(event, this.doubt);
    clearInterval(this.ticking);
    clearTimeout(this.flushing);
    this.session.close();
  }

  /** Say whose boards come first. */
  setOwner(name: string): void {
    this.named.value = name;
    localStorage.setItem(OWNER_KEY, name);
  }

  /** Call a procedure of control. Rejects with a `FarmError`. */
  call<Result>(name: string, fields: Record<string, unknown> = {}): Promise<Result> {
    return this.session.call<Result>(name, fields);
  }

  /** Sign in with a token: as an operator if it is an operator's, else as a client. Rejects with a `FarmError`. */
  async signIn(ticket: string): Promise<void> {
    const before = this.credentials.value;
    // On a farm that needs no token of clients, one that is not an operator's is of no use.
    const open = before.ticket === "" && this.known.value;
    try {
      await this.attempt("operator", ticket).catch((error: FarmError) => {
        if (error.name !== "not_authorized" || open) throw error;
        return this.attempt("client", ticket);
      });
    } catch (error) {
      this.credentials.value = before;
      this.session.open(before);
      throw farmError(error);
    }
  }

  /** Go on with a fresh token of the same account: in this session, and in those that follow. */
  async renew(ticket: string): Promise<void> {
    const credentials = { ...this.credentials.value, ticket };
    keepToken(sessionStorage, credentials.role, ticket);
    this.credentials.value = credentials;
    this.session.renew(credentials);
    // Without a session, the next one begins with the fresh token.
    if (this.connected.value) await this.call("renew", { token: ticket }).catch(() => {});
    else this.session.open(credentials);
  }

  /** Forget the token and watch as a client without one. */
  signOut(): void {
    forgetToken(sessionStorage);
    this.credentials.value = keptCredentials(sessionStorage);
    this.session.open(this.credentials.value);
  }

  private attempt(role: Role, ticket: string): Promise<void> {
    this.credentials.value = { ...keptCredentials(sessionStorage), role, ticket };
    return new Promise((resolve, reject) => {
      this.signing = (state) => {
        if (state.live) {
          keepToken(sessionStorage, role, ticket);
          resolve();
        } else {
          reject(state.refused ?? new FarmError("link_lost", state.reason ?? "the link was lost"));
        }
      };
      this.session.open(this.credentials.value);
    });
  }

  private entered(state: LinkState): void {
    if (!state.live && this.link.value.live) this.lostAt.value = clockSeconds();
    this.link.value = state;
    const signing = this.signing;
    this.signing = null;
    signing?.(state);
  }

  private arrived(snapshot: Snapshot): void {
    this.flush();
    this.farm.value = replaced(this.farm.value, snapshot, clockSeconds());
    this.fetchJournal();
  }

  /** What happened before the page was opened, or while the link was lost. */
  private async fetchJournal(): Promise<void> {
    try {
      const { states, reservations, log } = await this.call<Journal>("journal");
      const past = [...states.map(stateLine), ...reservations.flatMap(reservationLines), ...log.map(logLine)];
      this.farm.value = { ...this.farm.value, lines: mergedLines(past, this.farm.value.lines) };
    } catch {
      // The link is lost again; the journal then begins with what happens from now on.
    }
  }

  private heard(event: FarmEvent): void {
    this.events.push(event);
    this.flushing ??= window.setTimeout(() => this.flush(), BATCH);
  }

  private flush(): void {
    clearTimeout(this.flushing);
    this.flushing = undefined;
    const { events } = this;
    this.events = [];
    if (events.length > 0) this.farm.value = applied(this.farm.value, events, clockSeconds());
  }
}
