// Pure: the table of boards: what each row says, which rows are shown, and in which order.

import type { Farm } from "./farm.ts";
import { matches, parseFilter, type Texts } from "./filter.ts";
import type { BoardRecord, Reading } from "./records.ts";
import { clientsOf, firmware, type Health, health, labelText, STATE_ORDER } from "./wording.ts";

export interface Row {
  readonly board: BoardRecord;
  readonly health: Health;
  readonly rate: number;
}

export type Sortable = string | number | null;

export interface Order {
  readonly column: string;
  readonly down: boolean;
}

/** What needs a person comes first; the order until the reader chooses another one. */
export const BY_NEED: Order = { column: "need", down: false };

/** What each column is sorted by. */
const SORT_KEYS: Readonly<Record<string, (row: Row) => Sortable>> = {
  need: (row) => STATE_ORDER.indexOf(row.board.status),
  serial: (row) => row.board.serial,
  state: (row) => STATE_ORDER.indexOf(row.board.status),
  health: (row) => `${{ bad: 0, warn: 1, ok: 2 }[row.health.level]}${row.health.word}`,
  client: (row) => row.board.client,
  kind: (row) => row.board.kind,
  worker: (row) => row.board.worker,
  firmware: (row) => firmware(row.board),
  labels: (row) => labelText(row.board.labels),
  left: (row) => row.board.expires_at,
  rate: (row) => row.rate,
};

/** Read an order from an address: `column`, or `-column` for descending; else the default. */
export function parseOrder(text: string, keys: Readonly<Record<string, unknown>> = SORT_KEYS, usual = BY_NEED): Order {
  const column = text.replace(/^-/, "");
  return Object.hasOwn(keys, column) ? { column, down: text.startsWith("-") } : usual;
}

/** Write an order for an address; empty for the usual one. */
export function orderText({ column, down }: Order, usual = BY_NEED): string {
  if (column === usual.column && !down) return "";
  return down ? `-${column}` : column;
}

const collator = new Intl.Collator("en", { numeric: true });
/** A serial as boards have it: a number of 64 bits, whose digits to base 16 are no numbers in a text. */
const CHIP_SERIAL = /^[0-9A-F]{16}$/;

/** Rows that were made of a board; a board whose record and reading are the same has the same row. */
const made = new WeakMap<BoardRecord, { reading: Reading | undefined; row: Row }>();

/** Say what a board's row is made of. */
export function rowOf(board: BoardRecord, reading?: Reading): Row {
  const known = made.get(board);
  if (known !== undefined && known.reading === reading) return known.row;
  const row = { board, health: health(board, reading), rate: reading?.rate ?? 0 };
  made.set(board, { reading, row });
  return row;
}

/** The texts of a row that a filter looks at. */
export function textsOf({ board, health }: Row): Texts {
  return {
    serial: board.serial,
    worker: board.worker,
    state: board.status,
    health: health.word,
    client: clientsOf(board).join(", ") || null,
    kind: board.kind,
    firmware: firmware(board),
    label: labelText(board.labels),
    reason: board.reason,
  };
}

/** The rows to show: those that pass the filter, sorted; in the usual order the boards of `own` come first. */
export function visibleRows(
  farm: Pick<Farm, "boards" | "readings">,
  filter: string,
  order: Order,
  own = "",
): readonly Row[] {
  const { terms } = parseFilter(filter);
  const rows: Row[] = [];
  for (const board of farm.boards.values()) {
    const row = rowOf(board, farm.readings.get(board.serial));
    if (terms.length === 0 || matches(terms, textsOf(row))) rows.push(row);
  }
  const key = SORT_KEYS[order.column] ?? SORT_KEYS.need;
  if (key === undefined) return rows;
  return rows.sort((one, other) => {
    const mine = order.column === BY_NEED.column ? Number(isOf(own, other.board)) - Number(isOf(own, one.board)) : 0;
    return mine || compare(key(one), key(other), order.down) || compare(one.board.serial, other.board.serial);
  });
}

/** Tell whether a board is reserved by a client, or by a client of the account with that name. */
export function isOf(owner: string, board: BoardRecord): boolean {
  return owner !== "" && clientsOf(board).some((client) => client === owner || client.startsWith(`${owner}/`));
}

/** Numbers by size, texts with numbers in them as people count; nothing comes last, also where the largest is first. */
export function compare(one: Sortable, other: Sortable, down = false): number {
  if (none(one) || none(other)) return Number(none(one)) - Number(none(other));
  return down ? -ascending(one, other) : ascending(one, other);
}

function ascending(one: string | number, other: string | number): number {
  if (typeof one === "number" && typeof other === "number") return one - other;
  if (typeof one === "number" || typeof other === "number") return 0;
  if (CHIP_SERIAL.test(one) && CHIP_SERIAL.test(other)) return Number(one > other) - Number(one < other);
  return collator.compare(one, other);
}

function none(value: Sortable): value is null | "" {
  return value === null || value === "";
}

/** The rows of a fixed height that a window shows, with some to spare: [from, to). */
export function windowOf(total: number, rowHeight: number, top: number, height: number, spare = 8): [number, number] {
  const from = Math.max(0, Math.min(total, Math.floor(-top / rowHeight)) - spare);
  const to = Math.max(from, Math.min(total, Math.ceil((height - top) / rowHeight) + spare));
  return [from, to];
}
