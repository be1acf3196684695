// Pure: the table of experiments: how each one is, which are shown, and in which order.

import { matches, parseFilter, type Texts } from "./filter.ts";
import { accountOf } from "./identity.ts";
import type { ExperimentRecord } from "./records.ts";
import { compare, type Order, orderText, parseOrder, type Sortable } from "./rows.ts";

/** Fields of an experiment that can be asked for. */
export const EXPERIMENT_FIELDS = ["name", "account", "state"] as const;

export type ExperimentState = "running" | "complete" | "idle";

/** Own ones first, running ones first, the last active one first; until the reader chooses another order. */
export const BY_ACTIVITY: Order = { column: "active", down: false };

/** An experiment is complete when its expected evaluations are answered, and runs while there are some. */
export function stateOf({ done, failed, total, rate }: ExperimentRecord): ExperimentState {
  if (total !== null && done + failed >= total) return "complete";
  return rate > 0 ? "running" : "idle";
}

/** Seconds until it is complete at its present rate; null where nobody can know. */
export function timeLeft(record: ExperimentRecord): number | null {
  if (record.total === null || stateOf(record) !== "running") return null;
  return (record.total - record.done - record.failed) / record.rate;
}

/** When something was last added to it. */
export function activeAt({ last_at, created_at }: ExperimentRecord): number {
  return last_at ?? created_at;
}

/** The part of the expected evaluations that is answered; null where it is not known how many there are. */
export function progressOf({ done, failed, total }: ExperimentRecord): number | null {
  if (total === null) return null;
  return total === 0 ? 1 : Math.min(1, (done + failed) / total);
}

/** The whole name of an experiment: its account, and the name within it. */
export function wholeName({ account, name }: { account: string; name: string }): string {
  return `${account}/${name}`;
}

const STATES: readonly ExperimentState[] = ["running", "idle", "complete"];

const SORT_KEYS: Readonly<Record<string, (record: ExperimentRecord) => Sortable>> = {
  active: (record) => Number(stateOf(record) !== "running"),
  experiment: ({ name }) => name,
  account: ({ account }) => account,
  state: (record) => STATES.indexOf(stateOf(record)),
  done: ({ done }) => done,
  rate: ({ rate }) => rate,
  left: timeLeft,
  failed: ({ failed }) => failed,
  boards: ({ boards }) => boards,
  last: activeAt,
};

/** Read an order of experiments from an address. */
export function parseExperimentOrder(text: string): Order {
  return parseOrder(text, SORT_KEYS, BY_ACTIVITY);
}

/** Write an order of experiments for an address. */
export function experimentOrderText(order: Order): string {
  return orderText(order, BY_ACTIVITY);
}

/** The experiments to show: those that pass the filter, sorted; in the usual order those of `owner`'s account first. */
export function visibleExperiments(
  records: readonly ExperimentRecord[],
  filter: string,
  order: Order,
  owner = "",
): readonly ExperimentRecord[] {
  const { terms } = parseFilter(filter, EXPERIMENT_FIELDS);
  const own = accountOf(owner);
  const isOwn = ({ account }: ExperimentRecord) => Number(own !== "" && account === own);
  const key = SORT_KEYS[order.column] ?? activeAt;
  return records
    .filter((record) => matches(terms, textsOf(record)))
    .sort((one, other) => {
      const mine = order.column === BY_ACTIVITY.column ? isOwn(other) - isOwn(one) : 0;
      return mine || compare(key(one), key(other), order.down) || activeAt(other) - activeAt(one);
    });
}

function textsOf(record: ExperimentRecord): Texts {
  return { name: record.name, account: record.account, state: stateOf(record) };
}
