import {
  boardsOrderText,
  parseBoardsOrder,
  parseReference,
  REFERENCES,
  sortedCalibrations,
  uncertainties,
  withUncertainty,
} from "../calibration.ts";
import { entryOf } from "../lookup.ts";
import { usePage } from "../page.ts";
import { addressOf } from "../pages.ts";
import type { Calibration, Calibrations, Reference } from "../records.ts";
import { dateAndTime, number, whole } from "../wording.ts";
import { Problem } from "./experiments.tsx";
import { usePast } from "./past.ts";
import { BoardLink, Choice, Moment } from "./small.tsx";
import { type Column, Table } from "./table.tsx";

/** Milliseconds after which calibrations are asked for again: boards measure every 19 hours. */
const REFRESH = 60_000;

type Row = Calibration & { readonly suspect: string };

/** How boards deviate, side by side. */
export function ComparePage() {
  const { navigation } = usePage();
  const reference = parseReference(navigation.chosen("reference"));
  return (
    <section>
      <p class="back">
        <a href={addressOf("boards")}>All boards</a>
      </p>
      <h1 tabIndex={-1}>Boards compared</h1>
      <div class="filter">
        <Choice label="By the" part="reference" value={reference} choices={REFERENCES} />
      </div>
      <Compared key={reference} reference={reference} />
    </section>
  );
}

/** The boards by one reference; by another one, nothing is known until the farm has answered. */
function Compared({ reference }: { reference: Reference }) {
  const { navigation } = usePage();
  const { past, problem } = usePast<Calibrations>("calibrations", { reference }, REFRESH);
  const order = parseBoardsOrder(navigation.chosen("sort"));
  const rows = sortedCalibrations(past?.calibrations ?? [], order).map((each) => ({
    ...each,
    suspect: entryOf(past?.suspects, each.serial) ?? "",
  }));
  return (
    <>
      <Problem text={problem} />
      {past !== null && (
        <>
          <p class="quiet">
            From the readings of the last 90 days; idle boards measure every 19 hours. The number after ± is one
            standard uncertainty.
          </p>
          <Table
            label="Boards compared"
            columns={COLUMNS}
            rows={rows}
            keyOf={({ serial }) => serial}
            order={order}
            sort={(next) => navigation.choose({ sort: boardsOrderText(next) }, "step")}
            even
            empty="No board is calibrated yet: boards calibrate when they have been free for a minute."
          />
        </>
      )}
    </>
  );
}

const COLUMNS: readonly Column<Row>[] = [
  {
    id: "board",
    label: "Board",
    priority: 0,
    mono: true,
    sortable: true,
    text: ({ serial }) => serial,
    draw: ({ serial }) => <BoardLink serial={serial} />,
  },
  {
    id: "offset",
    label: "Offset, ppm",
    priority: 0,
    numeric: true,
    sortable: true,
    text: (row) => withUncertainty(row.offset_ppm, uncertainties(row).offset),
  },
  {
    id: "noise",
    label: "Noise, ppm",
    priority: 1,
    numeric: true,
    labelled: true,
    sortable: true,
    text: ({ noise_ppm }) => number(noise_ppm),
  },
  {
    id: "drift",
    label: "Drift, ppm a day",
    priority: 1,
    numeric: true,
    labelled: true,
    sortable: true,
    text: (row) => withUncertainty(row.drift_ppm_per_day, uncertainties(row).drift),
  },
  {
    id: "kelvin",
    label: "ppm per kelvin",
    priority: 2,
    numeric: true,
    labelled: true,
    sortable: true,
    text: (row) => withUncertainty(row.ppm_per_kelvin, uncertainties(row).kelvin),
  },
  {
    id: "readings",
    label: "Readings",
    priority: 4,
    numeric: true,
    labelled: true,
    sortable: true,
    text: ({ readings }) => whole(readings),
  },
  {
    id: "measured",
    label: "Last measured",
    priority: 3,
    sortable: true,
    text: ({ valid_from }) => dateAndTime(valid_from),
    draw: ({ valid_from }) => <Moment time={valid_from} />,
  },
  { id: "suspect", label: "Suspect", priority: 1, shrinks: 140, grows: true, text: ({ suspect }) => suspect },
];
