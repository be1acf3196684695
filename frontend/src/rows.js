// Pure: the table of boards: what each row says, which rows are shown, and in which order.

import { matches, parseFilter } from "./filter.js";
import { firmware, health, STATE_ORDER } from "./wording.js";

/** The columns that can be sorted by, with what they are sorted by. */
export const COLUMNS = [
  { id: "serial", label: "Board", of: (row) => row.device.serial },
  { id: "state", label: "State", of: (row) => STATE_ORDER.indexOf(row.device.status) },
  { id: "health", label: "Health", of: (row) => `${{ bad: 0, warn: 1, ok: 2 }[row.health.level]}${row.health.word}` },
  { id: "client", label: "Client", of: (row) => row.device.client },
  { id: "kind", label: "Kind", of: (row) => row.device.kind },
  { id: "worker", label: "Worker", of: (row) => row.device.worker },
  { id: "firmware", label: "Firmware", of: (row) => firmware(row.device) },
  { id: "left", label: "Time left", of: (row) => row.device.expires_at },
  { id: "rate", label: "Eval./s", of: (row) => row.rate },
];

const collator = new Intl.Collator("en", { numeric: true });
/** A serial as boards have it: a number of 64 bits, whose digits to base 16 are no numbers in a text. */
const CHIP_SERIAL = /^[0-9A-F]{16}$/;

/** Say what a board's row is made of. */
export function rowOf(device, reading) {
  return { device, health: health(device, reading), rate: reading?.rate ?? 0 };
}

/** The texts of a row that a filter looks at. */
export function textsOf({ device, health }) {
  return {
    serial: device.serial,
    worker: device.worker,
    state: device.status,
    health: health.word,
    client: device.client,
    kind: device.kind,
    firmware: firmware(device),
    reason: device.reason,
  };
}

/**
 * The rows to show: those that pass the filter, sorted.
 * @param {{column: string, down: boolean}} order
 */
export function visibleRows(farm, filter, order) {
  const { terms } = parseFilter(filter);
  const rows = [];
  for (const device of farm.devices.values()) {
    const row = rowOf(device, farm.readings.get(device.serial));
    if (terms.length === 0 || matches(terms, textsOf(row))) rows.push(row);
  }
  const column = COLUMNS.find((each) => each.id === order.column) ?? COLUMNS[0];
  return rows.sort((one, other) => {
    const by = compare(column.of(one), column.of(other));
    return (order.down ? -by : by) || compare(one.device.serial, other.device.serial);
  });
}

/** Nothing comes last, numbers by size, texts with numbers in them as people count. */
function compare(one, other) {
  const none = (value) => value === null || value === undefined || value === "";
  if (none(one) || none(other)) return Number(none(one)) - Number(none(other));
  if (typeof one === "number") return one - other;
  if (CHIP_SERIAL.test(one) && CHIP_SERIAL.test(other)) return Number(one > other) - Number(one < other);
  return collator.compare(one, other);
}

/** The rows of a fixed height that a window shows, with some to spare: [from, to). */
export function windowOf(total, rowHeight, top, height, spare = 8) {
  const from = Math.max(0, Math.min(total, Math.floor(-top / rowHeight)) - spare);
  const to = Math.max(from, Math.min(total, Math.ceil((height - top) / rowHeight) + spare));
  return [from, to];
}
