import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";

import { history, parseReference, REFERENCES } from "../calibration.ts";
import { usePage } from "../page.ts";
import type { Span } from "../plotting.ts";
import type { BoardRecord, ReferenceReadings } from "../records.ts";
import { usePast } from "./past.ts";
import { Plot, ZoomOut } from "./plot.tsx";
import { Choice } from "./small.tsx";

/** Milliseconds after which readings are asked for again. */
const REFRESH = 60_000;
const DAY = 86400;

/** What a board measured of a reference circuit over the last 90 days; nothing for a board that was never calibrated. */
export function ReferenceHistory({ board }: { board: BoardRecord }) {
  const { navigation } = usePage();
  const reference = parseReference(navigation.chosen("reference"));
  if (!board.calibration) return null;
  return (
    <>
      <h2>Its calibration</h2>
      {board.calibration.suspect && <p class="problem">Suspect: {board.calibration.suspect}</p>}
      <div class="controls">
        <Choice label="Readings of the" part="reference" value={reference} choices={REFERENCES} />
      </div>
      <Readings key={reference} serial={board.serial} reference={reference} />
    </>
  );
}

function Readings({ serial, reference }: { serial: string; reference: string }) {
  const { past, problem } = usePast<ReferenceReadings>("reference_readings", { serial, reference }, REFRESH);
  const hovered = useSignal<number | null>(null);
  const zoomed = useSignal<Span | null>(null);
  const points = useMemo(() => history(past?.readings ?? []), [past]);
  if (problem !== null) return <p class="problem">{problem}</p>;
  if (past === null) return null;
  if (points.time.length === 0) return <p class="quiet">It has not measured this circuit.</p>;
  const span: Span = zoomed.value ?? [Math.min(points.time[0] ?? past.time, past.time - DAY), past.time];
  const shared = {
    times: points.time,
    span,
    fromZero: false,
    hovered,
    zoom: (next: Span) => {
      zoomed.value = next;
    },
  };
  return (
    <>
      <ZoomOut of="readings" zoomed={zoomed} />
      <div class="plots small">
        <Plot
          {...shared}
          title="Deviation"
          unit="ppm"
          leastRange={1}
          series={[{ label: "deviation", values: points.ppm, color: "accent" }]}
        />
        <Plot
          {...shared}
          title="Temperature of the readings"
          unit="°C"
          leastRange={0.5}
          series={[{ label: "temperature", values: points.temperature, color: "flashing" }]}
        />
      </div>
    </>
  );
}
