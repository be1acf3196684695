import { useSignal, useSignalEffect } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useMemo } from "preact/hooks";

import { download } from "../download.ts";
import { activeAt, BY_ACTIVITY, progressOf, timeLeft, visibleExperiments, wholeName } from "../experiments.ts";
import { entryOf } from "../lookup.ts";
import { usePage } from "../page.ts";
import type { Span } from "../plotting.ts";
import type {
  ExperimentBoard,
  ExperimentDetails,
  ExperimentList,
  ExperimentRecord,
  ExperimentSeries,
  Steps,
} from "../records.ts";
import {
  bestSoFar,
  type Direction,
  farthest,
  figureLines,
  inFewSteps,
  inSteps,
  LINE_COLORS,
  type Line,
  leastRangeOf,
  means,
  movedTo,
  onOneAxis,
  type Reports,
  rates,
  spanOfAll,
  summary,
} from "../series.ts";
import { resultsUrl } from "../urls.ts";
import { clockTime, count, duration, number, percent, whole } from "../wording.ts";
import { fieldsOf, REFRESH, useReports, useSeries } from "./archive.ts";
import { doneOf, ExperimentState, Problem, Progress } from "./experiments.tsx";
import { usePast } from "./past.ts";
import { Plot } from "./plot.tsx";
import { useSpan, ZoomHint } from "./plots.tsx";
import { Runs } from "./runs.tsx";
import { AccountLink, BoardLink, Facts, Moment, NameChoice, ThingHead } from "./small.tsx";
import { type Column, Table } from "./table.tsx";

/** Experiments that another one can be compared with. */
const COMPARED = 200;
/** Steps of a board's line at most. */
const BOARD_STEPS = 60;
const LONGEST = 10 * 365 * 86400;

/** One experiment: how far it is, its values over time and by board, what its client reported. */
export function ExperimentPage({ whole }: { whole: string }) {
  const { navigation } = usePage();
  const { account, name } = fieldsOf(whole);
  const { past: details, problem } = usePast<ExperimentDetails>("experiment", { account, name }, REFRESH);
  const { zoomed, zoom, unzoom } = useSpan(LONGEST);
  // All is asked for at once.
  const series = useSeries(whole, zoomed === null ? {} : { since: zoomed[0], until: zoomed[1] });
  const compared = navigation.chosen("compare");
  const other = useSeries(compared.includes("/") ? compared : null);
  const { past: reports } = useReports(whole);
  return (
    <section>
      <ThingHead all="experiments" kind="Experiment" name={name} />
      <Problem text={problem} />
      {details !== null && (
        <>
          <ExperimentFacts record={details.experiment} time={details.time} />
          <Downloads account={account} name={name} />
          <Problem text={series.problem ?? other.problem} />
          {series.past !== null && (
            <Values
              whole={whole}
              details={details}
              series={series.past}
              other={other.past}
              reports={reports}
              zoomed={zoomed}
              zoom={zoom}
              unzoom={unzoom}
            />
          )}
          <Runs account={account} name={name} />
          {details.experiment.failed > 0 && (
            <>
              <h2>Failures</h2>
              <Failures failures={details.failures} />
            </>
          )}
        </>
      )}
    </section>
  );
}

function ExperimentFacts({ record, time }: { record: ExperimentRecord; time: number }) {
  const part = progressOf(record);
  const left = timeLeft(record);
  const facts: readonly [string, ComponentChildren][] = [
    ["State", <ExperimentState key="state" record={record} />],
    ["Account", <AccountLink key="account" name={record.account} />],
    [
      "Done",
      <span key="done" class="part">
        {doneOf(record)} {part !== null && `(${percent(part)}) `}
        <Progress record={record} />
      </span>,
    ],
    ["Evaluations/s", `${number(record.rate)} lately`],
    ["Time left", left !== null && `${duration(left)} (until ${clockTime(time + left, time)})`],
    ["Failures", record.failed === 0 ? "none" : whole(record.failed)],
    ["Boards", String(record.boards)],
    ["Began", <Moment key="began" time={record.first_at ?? record.created_at} />],
    ["Last activity", <Moment key="last" time={activeAt(record)} />],
    ["Readers", record.shared ? "everybody on the farm" : "its account and operators"],
  ];
  return <Facts of={facts} />;
}

const FORMATS = [
  { format: "csv", label: "CSV" },
  { format: "jsonl", label: "JSON lines" },
  { format: "parquet", label: "Parquet" },
] as const;

/** Links to all results as a file. With a token, which a link can't carry, the page fetches the file. */
function Downloads({ account, name }: { account: string; name: string }) {
  const { live, operations } = usePage();
  const running = useSignal<string | null>(null);
  const { ticket } = live.credentials.value;
  const fetchFile = async (event: Event, url: string, label: string, file: string) => {
    if (ticket === "") return;
    event.preventDefault();
    if (running.value !== null) return;
    running.value = label;
    try {
      await download(url, ticket, file);
    } catch (failure) {
      operations.say("failed", `Download: ${failure instanceof Error ? failure.message : failure}`);
    } finally {
      running.value = null;
    }
  };
  return (
    <p class="downloads">
      All results as{" "}
      {FORMATS.map(({ format, label }, index) => {
        const url = resultsUrl(document.baseURI, account, name, format);
        const file = `${name}.${format}`;
        return (
          <span key={format}>
            {index > 0 && (index === FORMATS.length - 1 ? " or " : ", ")}
            <a href={url} download={file} onClick={(event) => fetchFile(event, url, label, file)}>
              {label}
            </a>
          </span>
        );
      })}
      <span role="status" class="quiet">
        {running.value !== null && ` Fetching ${running.value} …`}
      </span>
    </p>
  );
}

interface ValuesProps {
  whole: string;
  details: ExperimentDetails;
  series: ExperimentSeries;
  /** The one that it is compared with. */
  other: ExperimentSeries | null;
  reports: Reports | null;
  zoomed: Span | null;
  zoom: (span: Span) => void;
  unzoom: () => void;
}

function Values({ whole, details, series, other, reports, zoomed, zoom, unzoom }: ValuesProps) {
  const { navigation } = usePage();
  const compared = navigation.chosen("compare");
  const boards = navigation.chosen("boards");
  const chosen = useMemo(() => (boards === "" ? [] : boards.split(",")), [boards]);
  const usual = useMemo(() => farthest(series, LINE_COLORS.length), [series]);
  return (
    <>
      <h2>Values</h2>
      <div class="controls">
        <Best />
        <Compare whole={whole} compared={compared} />
        <ZoomHint zoomed={zoomed} unzoom={unzoom} />
      </div>
      <Plots
        drawn={chosen.length > 0 ? chosen : usual}
        record={details.experiment}
        series={series}
        other={other}
        label={compared}
        reports={reports}
        zoomed={zoomed}
        zoom={zoom}
      />
      <h2>Boards</h2>
      <p class="quiet">
        Select boards to draw their values
        {chosen.length === 0 && "; until then, those farthest from the mean are drawn"}.
      </p>
      <Boards boards={details.boards} series={series} chosen={chosen} />
    </>
  );
}

function directionOf(text: string): Direction {
  return text === "lowest" ? "lowest" : "highest";
}

/** Which value is the best. */
function Best() {
  const { navigation } = usePage();
  return (
    <label>
      Best is the
      <select
        value={directionOf(navigation.chosen("best"))}
        onChange={(event) =>
          navigation.choose({ best: event.currentTarget.value === "lowest" ? "lowest" : "" }, "step")
        }
      >
        <option value="highest">highest value</option>
        <option value="lowest">lowest value</option>
      </select>
    </label>
  );
}

/** Another experiment, which is drawn as if it had begun with this one. */
function Compare({ whole, compared }: { whole: string; compared: string }) {
  const { live } = usePage();
  const { past } = usePast<ExperimentList>("experiments", { limit: COMPARED });
  const names = visibleExperiments(past?.experiments ?? [], "", BY_ACTIVITY, live.owner.value)
    .map(wholeName)
    .filter((name) => name !== whole);
  if (compared !== "" && !names.includes(compared)) names.unshift(compared);
  return <NameChoice label="Compare with" part="compare" value={compared} names={names} none="no other experiment" />;
}

interface PlotsProps {
  /** The boards that are drawn. */
  drawn: readonly string[];
  record: ExperimentRecord;
  series: ExperimentSeries;
  other: ExperimentSeries | null;
  /** The whole name of the other one. */
  label: string;
  reports: Reports | null;
  zoomed: Span | null;
  zoom: (span: Span) => void;
}

function Plots({ drawn, record, series, other, label, reports, zoomed, zoom }: PlotsProps) {
  const { navigation } = usePage();
  const hovered = useSignal<number | null>(null);
  const direction = directionOf(navigation.chosen("best"));
  const begin = record.first_at ?? record.created_at;
  const moved = useMemo(() => compared(series, other, begin), [series, other, begin]);
  const values = useMemo(
    () =>
      onOneAxis([
        line("mean", series.together, means(series.together)),
        ...(moved === null ? [] : [line(`mean of ${label}`, moved, means(moved))]),
        line("highest", series.together, series.together.most),
        line("lowest", series.together, series.together.least),
      ]),
    [series, moved, label],
  );
  const best = useMemo(
    () =>
      onOneAxis([
        line("best", series.together, bestSoFar(series.together, direction)),
        ...(moved === null ? [] : [line(`best of ${label}`, moved, bestSoFar(moved, direction))]),
      ]),
    [series, moved, label, direction],
  );
  const boards = useMemo(() => boardLines(series, drawn), [series, drawn]);
  const counts = useMemo(() => onOneAxis([rates(series)]), [series]);
  const figures = useMemo(
    () => (reports === null ? [] : figureLines(reports)).map((each) => ({ title: each.label, ...onOneAxis([each]) })),
    [reports],
  );
  const whole = useMemo(
    () => spanOfAll([series.together.time, moved?.time ?? [], reports?.times ?? []], series.step),
    [series, moved, reports],
  );
  const common = { span: zoomed ?? whole, hovered, zoom, unit: "", joined: true, fromZero: false };
  return (
    <div class="plots">
      <Plot {...common} title="Values" {...values} leastRange={leastRangeOf(values.series)} />
      <Plot {...common} title="Best so far" {...best} leastRange={leastRangeOf(best.series)} />
      <Plot {...common} title="Values by board" {...boards} leastRange={leastRangeOf(boards.series)} />
      <Plot {...common} title="Evaluations/s" {...counts} fromZero />
      {figures.map((each) => (
        <Plot key={each.title} {...common} {...each} />
      ))}
    </div>
  );
}

function line(label: string, { time }: Steps, values: Line["values"]): Line {
  return { label, times: time, values };
}

function compared(series: ExperimentSeries, other: ExperimentSeries | null, begin: number): Steps | null {
  if (other === null) return null;
  const step = Math.max(series.step, other.step);
  return movedTo(inSteps(other.together, step), begin, step);
}

function boardLines(series: ExperimentSeries, serials: readonly string[]) {
  return onOneAxis(
    serials.flatMap((serial) => {
      const steps = entryOf(series.boards, serial);
      if (steps === undefined) return [];
      const few = inFewSteps(steps, series.board_step, BOARD_STEPS);
      return [line(serial, few, means(few))];
    }),
  );
}

interface BoardRow {
  readonly board: ExperimentBoard;
  readonly mean: number | null;
  /** By how much its mean is above that of all. */
  readonly above: number | null;
  readonly least: number | null;
  readonly most: number | null;
}

interface BoardsProps {
  boards: readonly ExperimentBoard[];
  series: ExperimentSeries;
  /** The serials that the reader chose. */
  chosen: readonly string[];
}

/** What each board did, the one first whose mean is farthest from that of all. */
function Boards({ boards, series, chosen }: BoardsProps) {
  const { navigation } = usePage();
  const selected = useSignal<ReadonlySet<string>>(new Set(chosen));
  const text = chosen.join(",");
  // The address and the checkboxes follow one another: Back takes a choice back.
  useEffect(() => {
    if ([...selected.peek()].join(",") !== text) selected.value = new Set(text === "" ? [] : text.split(","));
  }, [selected, text]);
  useSignalEffect(() => {
    const next = [...selected.value].join(",");
    if (next !== (navigation.address.peek().query.boards ?? "")) navigation.choose({ boards: next }, "step");
  });
  const rows = useMemo(() => boardRows(boards, series), [boards, series]);
  return (
    <Table
      label="Boards of the experiment"
      columns={BOARD_COLUMNS}
      rows={rows}
      keyOf={({ board }) => board.serial}
      selected={selected}
      even
      empty="No board has measured yet."
    />
  );
}

function boardRows(boards: readonly ExperimentBoard[], series: ExperimentSeries): readonly BoardRow[] {
  const all = summary(series.together).mean;
  const rows = boards.map((board): BoardRow => {
    const steps = entryOf(series.boards, board.serial);
    if (steps === undefined || all === null) return { board, mean: null, above: null, least: null, most: null };
    const { mean, least, most } = summary(steps);
    return { board, mean, above: mean === null ? null : mean - all, least, most };
  });
  return rows.sort(
    (one, other) => Math.abs(other.above ?? 0) - Math.abs(one.above ?? 0) || other.board.done - one.board.done,
  );
}

function signed(value: number | null): string {
  return value === null ? "" : value > 0 ? `+${number(value)}` : number(value);
}

const known = (value: number | null) => (value === null ? "" : number(value, 4));

const BOARD_COLUMNS: readonly Column<BoardRow>[] = [
  {
    id: "serial",
    label: "Board",
    priority: 0,
    mono: true,
    text: ({ board }) => board.serial,
    draw: ({ board }) => <BoardLink serial={board.serial} />,
  },
  {
    id: "done",
    label: "Done",
    priority: 0,
    numeric: true,
    labelled: true,
    text: ({ board }) => whole(board.done),
  },
  {
    id: "failed",
    label: "Failures",
    priority: 2,
    numeric: true,
    labelled: true,
    text: ({ board }) => (board.failed === 0 ? "" : whole(board.failed)),
  },
  { id: "mean", label: "Mean", priority: 1, numeric: true, labelled: true, text: ({ mean }) => known(mean) },
  { id: "above", label: "Above all", priority: 1, numeric: true, labelled: true, text: ({ above }) => signed(above) },
  { id: "least", label: "Lowest", priority: 3, numeric: true, labelled: true, text: ({ least }) => known(least) },
  { id: "most", label: "Highest", priority: 3, numeric: true, labelled: true, text: ({ most }) => known(most) },
  {
    id: "last",
    label: "Last activity",
    priority: 4,
    text: ({ board }) => clockTime(board.last_at, Date.now() / 1000),
    draw: ({ board }) => <Moment time={board.last_at} />,
  },
];

interface FailureRow {
  readonly error: string;
  readonly amount: number;
}

const FAILURE_COLUMNS: readonly Column<FailureRow>[] = [
  { id: "error", label: "Reason", priority: 0, mono: true, grows: true, shrinks: 100, text: ({ error }) => error },
  { id: "amount", label: "Evaluations", priority: 0, numeric: true, text: ({ amount }) => whole(amount) },
];

function Failures({ failures }: { failures: Readonly<Record<string, number>> }) {
  const rows = Object.entries(failures)
    .map(([error, amount]) => ({ error, amount }))
    .sort((one, other) => other.amount - one.amount);
  return (
    <Table
      label="Failures by reason"
      columns={FAILURE_COLUMNS}
      rows={rows}
      keyOf={({ error }) => error}
      empty={`${count(0, "failure")}.`}
    />
  );
}
