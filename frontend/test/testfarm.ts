// A farm behind a link, without a router: it lets in callers by their tokens, answers calls, and tells of events.

import type { Credentials } from "../src/credentials.ts";
import type { Connect } from "../src/link.ts";
import { board, snapshot } from "./made.ts";

type Handler = (args: unknown[], fields: unknown, details: { topic: string }) => void;
export type Fields = Readonly<Record<string, unknown>>;
/** What a procedure returns; an `Error` is refused by its name; a function is asked with the fields of the call. */
export type Answer = unknown | ((fields: Fields) => unknown);

/** A farm that signs in callers whose token it knows, answers each call with what `answers` has, and tells of events. */
export class TestFarm {
  readonly calls: [string, Fields][] = [];
  readonly signedIn: Credentials[] = [];
  readonly answers: Record<string, Answer> = {
    snapshot: snapshot([board("A")]),
    journal: { states: [], reservations: [], log: [] },
    available: {},
  };
  /** Role by token; without a token one is a client. */
  roles: Record<string, string> = { "": "client" };
  private handler: Handler = () => {};
  private lose: () => void = () => {};

  readonly connect: Connect = (credentials, opened, closed) => {
    const { role, ticket, name } = credentials;
    this.lose = () => closed(null, null);
    queueMicrotask(() => {
      if (this.roles[ticket] !== role) return closed("icefarm.v1.error.not_authorized", "the farm does not know it");
      this.signedIn.push(credentials);
      return opened(this, ticket === "" ? name : `students/${name}`);
    });
    return () => {};
  };

  async call(procedure: string, _: unknown[], fields: Fields): Promise<unknown> {
    const name = procedure.split(".").at(-1) ?? "";
    this.calls.push([name, fields]);
    if (!Object.hasOwn(this.answers, name)) throw { error: "wamp.error.no_such_procedure" };
    const known = this.answers[name];
    const answer = typeof known === "function" ? known(fields) : known;
    if (answer instanceof Error) throw { error: `icefarm.v1.error.${answer.name}`, args: [answer.message] };
    return answer;
  }

  async subscribe(_: string, handler: Handler): Promise<unknown> {
    this.handler = handler;
    return null;
  }

  tell(topic: string, fields: unknown): void {
    this.handler([], fields, { topic: `icefarm.v1.event.${topic}` });
  }

  drop(): void {
    this.lose();
  }

  /** The fields of the calls of a procedure. */
  asked(procedure: string): readonly Fields[] {
    return this.calls.filter(([name]) => name === procedure).map(([, fields]) => fields);
  }
}

/** The farm's refusal of a call. */
export function refusal(name: string, message: string): Error {
  return Object.assign(new Error(message), { name });
}
