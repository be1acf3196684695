// Pure: which columns of a table fit into a width, and how wide each is. Columns are left out by priority; what is left
// out is shown beneath. Tables are therefore never wider than the page.

/** What a column needs, in pixels. */
export interface ColumnNeed {
  readonly id: string;
  /** 0: always there; the highest is left out first. */
  readonly priority: number;
  /** Narrower than this, something cannot be read. */
  readonly min: number;
  /** Nothing is cut from here on. */
  readonly natural: number;
  /** No row says anything in it: it is left out unless it is essential. */
  readonly empty: boolean;
  /** Takes what is left. */
  readonly grows: boolean;
}

export interface ColumnWidth {
  readonly id: string;
  readonly width: number;
}

export interface Fit {
  readonly columns: readonly ColumnWidth[];
  readonly hidden: readonly string[];
  /** Too narrow for columns: each row is a card. */
  readonly cards: boolean;
}

/** Columns of this priority and lower belong to any table that has columns. */
const ESSENTIAL = 1;

/** Fit columns into `width`; they keep their order. */
export function fitColumns(all: readonly ColumnNeed[], width: number): Fit {
  const needs = all.filter(({ empty, priority }) => !empty || priority <= ESSENTIAL);
  const essential = needs.filter(({ priority }) => priority <= ESSENTIAL);
  if (sum(essential.map(({ min }) => min)) > width) {
    const hidden = needs.filter(({ priority }) => priority > 0).map(({ id }) => id);
    return { columns: [], hidden, cards: true };
  }
  const chosen = new Set<string>();
  let used = 0;
  for (const { id, min } of [...needs].sort((one, other) => one.priority - other.priority)) {
    if (used + min > width) continue;
    chosen.add(id);
    used += min;
  }
  const shown = needs.filter(({ id }) => chosen.has(id));
  const hidden = needs.filter(({ id }) => !chosen.has(id)).map(({ id }) => id);
  return { columns: spread(shown, width), hidden, cards: false };
}

/** Give each column its minimum; then fill up those that are short of the least; then let grow what grows. */
function spread(needs: readonly ColumnNeed[], width: number): readonly ColumnWidth[] {
  const widths = new Map(needs.map(({ id, min }) => [id, min]));
  let spare = width - sum(needs.map(({ min }) => min));
  for (const { id, min, natural } of [...needs].sort((one, other) => shortOf(one) - shortOf(other))) {
    const given = Math.min(spare, natural - min);
    widths.set(id, min + given);
    spare -= given;
  }
  const growing = needs.filter(({ grows }) => grows);
  const parts = growing.length > 0 ? growing : needs;
  parts.forEach(({ id }, index) => {
    const part = Math.floor(spare / (parts.length - index));
    widths.set(id, (widths.get(id) ?? 0) + part);
    spare -= part;
  });
  return needs.map(({ id }) => ({ id, width: widths.get(id) ?? 0 }));
}

/** Pixels that a column at its minimum lacks. */
function shortOf({ min, natural }: ColumnNeed): number {
  return natural - min;
}

/** Texts of a column whose widths are worth measuring: the longest few, since letters differ in width. */
export function longest(texts: Iterable<string>, amount = 4): readonly string[] {
  const found: string[] = [];
  for (const text of texts) {
    if (found.length === amount && text.length <= (found.at(-1)?.length ?? 0)) continue;
    if (found.includes(text)) continue;
    found.push(text);
    found.sort((one, other) => other.length - one.length);
    found.length = Math.min(found.length, amount);
  }
  return found;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}
