// Pure: the state of the accounts of a class: who has boards, who waits and for how long, what failed recently.

import type { Farm } from "./farm.ts";
import { accountOf } from "./identity.ts";
import { entryOf } from "./lookup.ts";
import type { BoardRecord, FailureRecord, QueueRecord } from "./records.ts";
import { clientsOf } from "./wording.ts";

/** By account. */
export type Groups = Readonly<Record<string, string>>;

export interface Member {
  readonly account: string;
  readonly group: string | null;
  readonly boards: readonly BoardRecord[];
  /** Its request that has waited longest. */
  readonly waiting: QueueRecord | null;
  /** What failed last, and how much did. */
  readonly failure: FailureRecord | null;
  readonly failures: number;
}

export interface Counts {
  readonly members: number;
  readonly holding: number;
  readonly waiting: number;
  readonly waitingSince: number | null;
  readonly failing: number;
}

/** Tell whether an account is meant: by its group, or by the beginning of its name; an empty choice means all. */
export function isChosen(chosen: string, account: string, groups: Groups): boolean {
  return entryOf(groups, account) === chosen || account.toLowerCase().startsWith(chosen.toLowerCase());
}

function byAccount<Item>(items: readonly Item[], clients: (item: Item) => readonly string[]): Map<string, Item[]> {
  const found = new Map<string, Item[]>();
  for (const item of items) {
    for (const account of new Set(clients(item).map(accountOf))) {
      const known = found.get(account);
      if (known === undefined) found.set(account, [item]);
      else known.push(item);
    }
  }
  return found;
}

/** The chosen accounts, by name: those of groups, and those that have, want, or failed at something. */
export function membersOf(
  farm: Pick<Farm, "boards" | "queue">,
  groups: Groups,
  failures: readonly FailureRecord[],
  chosen: string,
): readonly Member[] {
  const boards = byAccount([...farm.boards.values()], clientsOf);
  const queue = byAccount([...farm.queue.values()], ({ client }) => [client]);
  const failed = byAccount(failures, ({ client }) => [client]);
  const accounts = new Set([...Object.keys(groups), ...boards.keys(), ...queue.keys(), ...failed.keys()]);
  return [...accounts]
    .filter((account) => isChosen(chosen, account, groups))
    .sort((one, other) => one.localeCompare(other))
    .map((account) => {
      const own = failed.get(account) ?? [];
      return {
        account,
        group: entryOf(groups, account) ?? null,
        boards: boards.get(account) ?? [],
        waiting: (queue.get(account) ?? []).toSorted((one, other) => one.since - other.since)[0] ?? null,
        failure: own.toSorted((one, other) => other.time - one.time)[0] ?? null,
        failures: own.length,
      };
    });
}

/** What is said of all of them. */
export function countsOf(members: readonly Member[]): Counts {
  const waiting = members.flatMap((member) => member.waiting ?? []);
  return {
    members: members.length,
    holding: members.filter(({ boards }) => boards.length > 0).length,
    waiting: waiting.length,
    waitingSince: waiting.length === 0 ? null : Math.min(...waiting.map(({ since }) => since)),
    failing: members.filter(({ failure }) => failure !== null).length,
  };
}

/** Errors for people who learn: what went wrong, in words. */
const WORDS: Readonly<Record<string, string>> = {
  device_failed: "The board failed",
  timed_out: "No answer in time",
  invalid_bitstream: "That is no bitstream",
  invalid_argument: "A wrong argument",
  reservation_ended: "The reservation had ended",
};

/** An error as a sentence. */
export function failureWords({ error, message }: FailureRecord): string {
  const words = entryOf(WORDS, error) ?? error.replaceAll("_", " ");
  return message ? `${words}: ${message}` : words;
}
