import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";

import { boardActions } from "../actions.ts";
import { withUncertainty } from "../calibration.ts";
import { logLine, mergedLines, stateLine } from "../journal.ts";
import { usePage } from "../page.ts";
import { type Span, spanOf } from "../plotting.ts";
import type { BoardCalibration, BoardFigure, BoardHistory, BoardRecord, Reading, StateChange } from "../records.ts";
import { storiesOf } from "../stories.ts";
import { stretches, totals } from "../timeline.ts";
import {
  clientsOf,
  clockTime,
  count,
  dateAndTime,
  duration,
  firmware,
  health,
  labelText,
  number,
  STATE_ORDER,
  STATES,
} from "../wording.ts";
import { BoardValues } from "./boardvalues.tsx";
import { Stories } from "./events.tsx";
import { LabelForm } from "./labels.tsx";
import { usePast } from "./past.ts";
import { Plot } from "./plot.tsx";
import { useSpan, ZoomHint } from "./plots.tsx";
import { ReferenceHistory } from "./references.tsx";
import { Actions, ClientLinks, Facts, KindLink, Left, State, ThingHead, WorkerLink } from "./small.tsx";

/** Seconds that the timeline shows at least. */
const SHORTEST = 900;
const DAY = 86400;

/** One board: how it is, and what it did over the last 24 hours. */
export function BoardPage({ serial }: { serial: string }) {
  const { live } = usePage();
  const board = live.boards.value.get(serial);
  const { past, problem } = usePast<BoardHistory>("device_history", { serial });
  return (
    <section>
      <ThingHead all="boards" kind="Board" name={serial} noun="serial" mono />
      {board === undefined ? (
        <p class="problem">The farm has no board {serial}.</p>
      ) : (
        <>
          <BoardFacts board={board} reading={live.readings.value.get(serial)} />
          <Actions actions={boardActions(board)} />
          <LabelForm board={board} />
        </>
      )}
      {problem !== null && board !== undefined && <p class="problem">{problem}</p>}
      {board !== undefined && <ReferenceHistory board={board} />}
      {board !== undefined && <BoardValues serial={serial} />}
      {past !== null && past.states.length > 0 && <Past past={past} worker={board?.worker ?? ""} serial={serial} />}
    </section>
  );
}

function BoardFacts({ board, reading }: { board: BoardRecord; reading: Reading | undefined }) {
  const { level, word } = health(board, reading);
  const facts: readonly [string, ComponentChildren][] = [
    ["State", <State key="state" status={board.status} />],
    [
      board.status === "broken" || board.status === "offline" ? "Reason" : "Health",
      <span key="health" class={`health ${level}`}>
        {word}
      </span>,
    ],
    // What a board that is well is doing just now.
    ["Doing", level === "bad" ? null : board.reason],
    ["Worker", <WorkerLink key="worker" name={board.worker} />],
    [
      clientsOf(board).length > 1 ? "Shared by" : "Client",
      board.client && <ClientLinks key="clients" names={clientsOf(board)} />,
    ],
    ["Kind", board.kind && <KindLink name={board.kind} />],
    [
      "Time left",
      board.expires_at !== null && (
        <>
          <Left until={board.expires_at} /> (until {clockTime(board.expires_at)})
        </>
      ),
    ],
    ["Labels", labelText(board.labels) || null],
    ["Virtual", board.model ?? null],
    ["Firmware", firmware(board)],
    ["USB", board.usb_path],
    ["Offset", board.calibration ? offsetText(board.calibration) : null],
    ["Evaluations", `${number(Math.max(board.evaluations, reading?.evaluations ?? 0), 9)} since its worker started`],
    ["Failures", count(Math.max(board.failures, reading?.failures ?? 0), "evaluation")],
    ["Retries", String(Math.max(board.retries, reading?.retries ?? 0))],
    ["Evaluations/s", number(reading?.rate ?? 0)],
    ["Load", withUnit(reading?.load_ms, "ms")],
    ["Window", withUnit(reading?.window_ms, "ms")],
    ["Temperature", withUnit(reading?.temperature_c, "°C")],
  ];
  return <Facts of={facts} long="Reason" />;
}

function offsetText({ offset_ppm, offset_uncertainty_ppm }: BoardCalibration): string {
  return `${withUncertainty(offset_ppm, offset_uncertainty_ppm)} ppm`;
}

function withUnit(value: number | null | undefined, unit: string): string | null {
  return value === null || value === undefined ? null : `${number(value)} ${unit}`;
}

interface Figure {
  readonly title: string;
  readonly unit: string;
  readonly name: BoardFigure;
  readonly color: string;
  readonly fromZero?: boolean;
  readonly leastRange?: number;
  readonly whole?: boolean;
}

const FIGURES: readonly Figure[] = [
  { title: "Evaluations/s", unit: "mean of each minute", name: "rate", color: "accent" },
  { title: "Load time", unit: "ms", name: "load_ms", color: "testing", fromZero: false, leastRange: 1 },
  { title: "Window", unit: "ms", name: "window_ms", color: "reserved", fromZero: false, leastRange: 1 },
  { title: "Temperature", unit: "°C", name: "temperature_c", color: "flashing", fromZero: false, leastRange: 0.5 },
  { title: "Failures", unit: "per minute", name: "failures", color: "broken", whole: true },
  { title: "Retries", unit: "per minute", name: "retries", color: "offline", whole: true },
];

function Past({ past, worker, serial }: { past: BoardHistory; worker: string; serial: string }) {
  const { zoomed, zoom, unzoom } = useSpan(DAY);
  const hovered = useSignal<number | null>(null);
  const { live } = usePage();
  const { samples } = past;
  const kept = [...past.states.map((state) => stateLine({ ...state, worker, serial })), ...past.log.map(logLine)];
  // Of reservations, the farm keeps no lines for a single board; those that this page has seen are among its own.
  const lines = mergedLines(
    kept,
    live.lines.value.filter((line) => line.serial === serial),
  );
  const span = zoomed ?? spanOf(samples.time, past.time, past.time - past.since);
  return (
    <>
      <h2>The last {duration(past.time - beginning(past))}</h2>
      <Timeline states={past.states} span={[beginning(past), past.time]} />
      {samples.time.length === 0 ? (
        <p class="quiet">It has not evaluated anything in this time: there is nothing to plot.</p>
      ) : (
        <>
          <p class="zoom">
            <ZoomHint zoomed={zoomed} unzoom={unzoom} />
          </p>
          <div class="plots small">
            {FIGURES.map(({ title, unit, name, color, fromZero, leastRange, whole }) => (
              <Plot
                key={name}
                title={title}
                unit={unit}
                times={samples.time}
                span={span}
                series={[{ label: title.toLowerCase(), values: samples[name], color }]}
                fromZero={fromZero ?? true}
                leastRange={leastRange ?? 0}
                whole={whole ?? false}
                hovered={hovered}
                zoom={zoom}
              />
            ))}
          </div>
        </>
      )}
      <h2>What happened</h2>
      <Stories stories={storiesOf(lines)} label="What happened to this board" without="boards" />
    </>
  );
}

/** When the timeline begins: a day ago, or when the board was first seen. */
function beginning({ states, since, time }: BoardHistory): number {
  return Math.max(since, Math.min(states[0]?.time ?? since, time - SHORTEST));
}

function Timeline({ states, span: [since, until] }: { states: readonly StateChange[]; span: Span }) {
  const found = stretches(states, since, until);
  const sums = totals(found);
  const present = STATE_ORDER.filter((status) => (sums[status] ?? 0) > 0);
  const words = present.map((status) => `${STATES[status].word} ${duration(sums[status] ?? 0)}`).join(", ");
  const at = (time: number) => (1000 * (time - since)) / (until - since);
  return (
    <figure class="timeline">
      <svg
        viewBox="0 0 1000 40"
        preserveAspectRatio="none"
        role="img"
        aria-label={`Since ${dateAndTime(since)}: ${words}`}
      >
        {found.map((each) => (
          <rect
            key={each.from}
            class={each.status}
            x={at(each.from)}
            y="0"
            width={Math.max(1, at(each.to) - at(each.from))}
            height="40"
          >
            <title>
              {`${dateAndTime(each.from)} to ${dateAndTime(each.to)}: ${[each.status, each.client, each.reason].filter(Boolean).join(", ")}`}
            </title>
          </rect>
        ))}
      </svg>
      <div class="ends quiet" aria-hidden="true">
        <span>{clockTime(since, until)}</span>
        <span>{clockTime(until, until)}</span>
      </div>
      <figcaption>
        {present.map((status) => (
          <span key={status} class="share">
            <State status={status} /> {duration(sums[status] ?? 0)}
          </span>
        ))}
      </figcaption>
    </figure>
  );
}
