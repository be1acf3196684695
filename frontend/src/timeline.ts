// Pure: what a board did over a span of time, as stretches of one state each.

import type { StateChange, Status } from "./records.ts";

export interface Stretch {
  readonly from: number;
  to: number;
  readonly status: Status;
  readonly reason: string | null;
  readonly client: string | null;
}

/** The stretches between `since` and `now`. States come oldest first; the first one may be from before. */
export function stretches(states: readonly StateChange[], since: number, now: number): readonly Stretch[] {
  const found: Stretch[] = [];
  states.forEach((state, index) => {
    const from = Math.max(since, state.time);
    const to = Math.min(now, states[index + 1]?.time ?? now);
    const last = found.at(-1);
    if (to <= from) return;
    if (last !== undefined && last.status === state.status && last.client === state.client) last.to = to;
    else found.push({ from, to, status: state.status, reason: state.reason, client: state.client });
  });
  return found;
}

/** Seconds in each state. */
export function totals(found: readonly Stretch[]): Partial<Record<Status, number>> {
  const sums: Partial<Record<Status, number>> = {};
  for (const { from, to, status } of found) sums[status] = (sums[status] ?? 0) + to - from;
  return sums;
}
