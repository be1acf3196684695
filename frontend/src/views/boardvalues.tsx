import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";

import { wholeName } from "../experiments.ts";
import { usePage } from "../page.ts";
import type { Span } from "../plotting.ts";
import type { ExperimentPart, ExperimentSeries } from "../records.ts";
import { leastRangeOf, means, onOneAxis, spanOfAll } from "../series.ts";
import { dateAndTime, whole } from "../wording.ts";
import { useSeries } from "./archive.ts";
import { nameColumns } from "./experiments.tsx";
import { usePast } from "./past.ts";
import { Plot, ZoomOut } from "./plot.tsx";
import { Moment, NameChoice } from "./small.tsx";
import { type Column, Table } from "./table.tsx";

/** Experiments of a board that are listed, the last ones. */
const LISTED = 50;

/** What a board measured: its experiments, and its values over time in one of them. */
export function BoardValues({ serial }: { serial: string }) {
  const { navigation } = usePage();
  const { past: parts } = usePast<readonly ExperimentPart[]>("board_experiments", { serial, limit: LISTED });
  if (parts === null || parts.length === 0) return null;
  const names = parts.map(wholeName);
  const chosen = navigation.chosen("experiment");
  const whole = names.includes(chosen) ? chosen : (names[0] ?? "");
  return (
    <>
      <h2>What it measured</h2>
      <div class="controls">
        <NameChoice label="Values for" part="experiment" value={whole} names={names} />
      </div>
      <Values key={whole} whole={whole} serial={serial} />
      <h2>Its experiments</h2>
      <Table label="Experiments of the board" columns={COLUMNS} rows={parts} keyOf={wholeName} even />
    </>
  );
}

function Values({ whole, serial }: { whole: string; serial: string }) {
  const { past: series, problem } = useSeries(whole, { serials: [serial] });
  if (problem !== null) return <p class="problem">{problem}</p>;
  return series === null ? null : <ValuesPlot series={series} />;
}

function ValuesPlot({ series }: { series: ExperimentSeries }) {
  const hovered = useSignal<number | null>(null);
  const zoomed = useSignal<Span | null>(null);
  const { together } = series;
  const drawn = useMemo(() => {
    const lines = { mean: means(together), highest: together.most, lowest: together.least };
    return onOneAxis(Object.entries(lines).map(([label, values]) => ({ label, times: together.time, values })));
  }, [together]);
  const whole = useMemo(() => spanOfAll([together.time], series.step), [together, series.step]);
  return (
    <>
      <ZoomOut of="values" zoomed={zoomed} />
      <Plot
        {...drawn}
        title="Values"
        unit=""
        joined
        fromZero={false}
        leastRange={leastRangeOf(drawn.series)}
        span={zoomed.value ?? whole}
        hovered={hovered}
        zoom={(span) => {
          zoomed.value = span;
        }}
      />
    </>
  );
}

const COLUMNS: readonly Column<ExperimentPart>[] = [
  ...nameColumns(1),
  { id: "done", label: "Done", priority: 1, numeric: true, labelled: true, text: ({ done }) => whole(done) },
  {
    id: "failed",
    label: "Failures",
    priority: 2,
    numeric: true,
    labelled: true,
    text: ({ failed }) => (failed === 0 ? "" : whole(failed)),
  },
  {
    id: "last",
    label: "Last activity",
    priority: 2,
    text: ({ last_at }) => dateAndTime(last_at),
    draw: ({ last_at }) => <Moment time={last_at} />,
  },
];
