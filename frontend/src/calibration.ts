// Pure: how boards deviate: their calibrations in an order, and a board's readings of a reference circuit over time.

import type { Calibration, Reference, ReferenceReading } from "./records.ts";
import { compare, type Order, orderText, parseOrder, type Sortable } from "./rows.ts";

/** The reference circuits, and what each tells of. */
export const REFERENCES: readonly { readonly value: Reference; readonly label: string }[] = [
  { value: "oscillator", label: "FPGA's oscillator" },
  { value: "crystal", label: "board's crystal" },
  { value: "ring", label: "ring of inverters" },
];

const BY_BOARD: Order = { column: "board", down: false };

/** Read the name of a reference circuit from an address. */
export function parseReference(text: string): Reference {
  return REFERENCES.find(({ value }) => value === text)?.value ?? "oscillator";
}

/** The standard uncertainties of offset, drift and temperature coefficient, which are on the diagonal of the covariance. */
export function uncertainties({ covariance }: Calibration): { offset: number; drift: number; kelvin: number } {
  const [offset, , , drift, , kelvin] = covariance.map(Math.sqrt);
  return { offset: offset ?? 0, drift: drift ?? 0, kelvin: kelvin ?? 0 };
}

const SORT_KEYS: Readonly<Record<string, (calibration: Calibration) => Sortable>> = {
  board: ({ serial }) => serial,
  offset: ({ offset_ppm }) => offset_ppm,
  noise: ({ noise_ppm }) => noise_ppm,
  drift: ({ drift_ppm_per_day }) => drift_ppm_per_day,
  kelvin: ({ ppm_per_kelvin }) => ppm_per_kelvin,
  readings: ({ readings }) => readings,
  measured: ({ valid_from }) => valid_from,
};

export function parseBoardsOrder(text: string): Order {
  return parseOrder(text, SORT_KEYS, BY_BOARD);
}

export function boardsOrderText(order: Order): string {
  return orderText(order, BY_BOARD);
}

/** The calibrations in an order. */
export function sortedCalibrations(calibrations: readonly Calibration[], order: Order): readonly Calibration[] {
  const key = SORT_KEYS[order.column] ?? (({ serial }: Calibration) => serial);
  return [...calibrations].sort((one, other) => compare(key(one), key(other), order.down));
}

/** A figure and its standard uncertainty, with as many places as the uncertainty has meaning: two digits of it. */
export function withUncertainty(value: number, uncertainty: number): string {
  if (!(uncertainty > 0)) return String(Number(value.toPrecision(4)));
  const places = Math.max(0, 1 - Math.floor(Math.log10(uncertainty)));
  const shown = (each: number) => each.toFixed(Math.min(places, 6));
  // What rounds to nothing has no sign.
  return `${Number(shown(value)) === 0 ? shown(0) : shown(value)} ± ${shown(uncertainty)}`;
}

/** Readings as points over time: how far each is off, ppm, and the board's temperature. */
export function history(readings: readonly ReferenceReading[]): {
  readonly time: readonly number[];
  readonly ppm: readonly number[];
  readonly temperature: readonly (number | null)[];
} {
  return {
    time: readings.map(({ time }) => time),
    ppm: readings.map((each) => (each.pulses / (each.expected_hz * each.window_us * 1e-6) - 1) * 1e6),
    temperature: readings.map(({ temperature_c }) => temperature_c),
  };
}
