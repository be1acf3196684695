// Pure: what a board did over a span of time, as stretches of one state each.

/**
 * @param {{time: number, status: string, reason: string | null, client: string | null}[]} states oldest first; the
 *   first one may be from before the span
 * @returns {{from: number, to: number, status: string, reason: string | null, client: string | null}[]}
 */
export function stretches(states, since, now) {
  const found = [];
  states.forEach((state, index) => {
    const from = Math.max(since, state.time);
    const to = Math.min(now, index + 1 < states.length ? states[index + 1].time : now);
    const last = found[found.length - 1];
    if (to <= from) return;
    if (last !== undefined && last.status === state.status && last.client === state.client) last.to = to;
    else found.push({ from, to, status: state.status, reason: state.reason, client: state.client });
  });
  return found;
}

/** Seconds in each state. */
export function totals(found) {
  const sums = {};
  for (const { from, to, status } of found) sums[status] = (sums[status] ?? 0) + to - from;
  return sums;
}
