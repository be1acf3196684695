import { useComputed, useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";

import { matches, parseFilter } from "../filter.ts";
import { LEVELS, type Level, type Line } from "../journal.ts";
import { usePage } from "../page.ts";
import { type Story, storiesOf } from "../stories.ts";
import { count, dateAndTime } from "../wording.ts";
import { BoardLink, ClientLink, WorkerLink } from "./small.tsx";
import { type Column, Table } from "./table.tsx";

/** Stories on one page. */
const PER_PAGE = 50;
/** The last lines of a story, which are shown. */
const LINES = 200;
const FIELDS = ["board", "worker", "client", "level", "text"] as const;
/** Boards that a story names; of more than that it names one and counts the others. */
const NAMED = 2;

/** What happened, the latest first: one line for what is one thing. */
export function EventsPage() {
  const { live, navigation } = usePage();
  const paused = useSignal<readonly Line[] | null>(null);
  const stories = useComputed(() => storiesOf(paused.value ?? live.lines.value));
  const level = navigation.chosen("level") || "info";
  const search = navigation.chosen("q");
  const { terms, problem } = parseFilter(search, FIELDS);
  const least = LEVELS.indexOf(level as Level);
  const found = stories.value.filter(
    (story) => LEVELS.indexOf(story.level) >= least && (terms.length === 0 || matches(terms, textsOf(story))),
  );
  const behind = paused.value === null ? 0 : newLines(live.lines.value, paused.value);
  return (
    <section>
      <h1 tabIndex={-1}>Events</h1>
      <div class="controls">
        <label>
          Level
          <select
            value={level}
            onChange={(event) => navigation.choose({ level: event.currentTarget.value, page: "" }, "step")}
          >
            {LEVELS.slice(1).map((each) => (
              <option key={each} value={each}>
                {each === "critical" ? each : `${each} and above`}
              </option>
            ))}
          </select>
        </label>
        <label class="search">
          Search
          <input
            type="search"
            value={search}
            placeholder="words, board:A17, client:ada, -worker:pi2"
            spellcheck={false}
            autocomplete="off"
            onInput={(event) => navigation.choose({ q: event.currentTarget.value, page: "" }, "same")}
          />
        </label>
        <button
          type="button"
          aria-pressed={paused.value !== null}
          onClick={() => {
            paused.value = paused.value === null ? live.lines.value : null;
          }}
        >
          {paused.value === null ? "Pause" : `Paused${behind > 0 ? `, ${behind} more` : ""}: go on`}
        </button>
      </div>
      {problem !== null && <p class="problem">{problem}</p>}
      <Stories stories={found} label="Events" empty={stories.value.length === 0 ? undefined : "No event matches."} />
    </section>
  );
}

function newLines(now: readonly Line[], then: readonly Line[]): number {
  const known = new Set(then);
  return now.filter((line) => !known.has(line)).length;
}

function textsOf({ serials, worker, client, level, text }: Story) {
  return { board: serials.join(" "), worker, client, level, text };
}

interface StoriesProps {
  stories: readonly Story[];
  label: string;
  empty?: string;
  /** The column that would say the same in each row. */
  without?: string;
}

/** Stories as a table, in pages. */
export function Stories({ stories, label, empty = "Nothing has happened.", without = "" }: StoriesProps) {
  const { navigation } = usePage();
  const pages = Math.max(1, Math.ceil(stories.length / PER_PAGE));
  const page = Math.min(pages, Math.max(1, Number.parseInt(navigation.chosen("page"), 10) || 1));
  const columns = useMemo(() => storyColumns().filter(({ id }) => id !== without), [without]);
  return (
    <>
      <Table
        label={label}
        columns={columns}
        rows={stories.slice((page - 1) * PER_PAGE, page * PER_PAGE)}
        keyOf={keyOf}
        rowClass={classOf}
        empty={empty}
      />
      {pages > 1 && <Pager page={page} pages={pages} total={stories.length} />}
    </>
  );
}

function Pager({ page, pages, total }: { page: number; pages: number; total: number }) {
  const { navigation } = usePage();
  const go = (to: number) => {
    navigation.choose({ page: to === 1 ? "" : String(to) }, "step");
    window.scrollTo(0, 0);
  };
  return (
    <nav class="pager" aria-label="Pages of events">
      <button type="button" disabled={page === 1} onClick={() => go(page - 1)}>
        Newer
      </button>
      <span>
        Page {page} of {pages}, {count(total, "event")}
      </span>
      <button type="button" disabled={page === pages} onClick={() => go(page + 1)}>
        Older
      </button>
    </nav>
  );
}

const keyOf = ({ key }: Story) => key;
const classOf = ({ level }: Story) => `level-${level}`;

const SYMBOLS: Readonly<Record<string, string>> = { debug: "·", info: "·", warn: "▲", error: "✕", critical: "✕" };

function storyColumns(): readonly Column<Story>[] {
  return [
    {
      id: "time",
      label: "Time",
      priority: 0,
      text: ({ latest }) => dateAndTime(latest),
      draw: ({ from, latest }) => <Times from={from} latest={latest} />,
    },
    {
      id: "level",
      label: "Level",
      priority: 1,
      text: ({ level }) => level,
      widest: "✕ critical",
      draw: ({ level }) => (
        <span class="level">
          <span class="symbol" aria-hidden="true">
            {SYMBOLS[level]}
          </span>{" "}
          {level}
        </span>
      ),
    },
    {
      id: "boards",
      label: "Boards",
      priority: 1,
      mono: true,
      text: ({ serials }) => named(serials).join(", "),
      widest: "0000000000000000, ",
      draw: ({ serials }) => <Boards serials={serials} />,
    },
    {
      id: "worker",
      label: "Worker",
      priority: 3,
      shrinks: 90,
      text: ({ worker }) => worker ?? "",
      draw: ({ worker }) => worker !== null && <WorkerLink name={worker} />,
    },
    {
      id: "client",
      label: "Client",
      priority: 4,
      shrinks: 90,
      text: ({ client }) => client ?? "",
      draw: ({ client }) => client !== null && <ClientLink name={client} />,
    },
    {
      id: "what",
      label: "What happened",
      priority: 1,
      shrinks: 220,
      grows: true,
      text: ({ text }) => text,
      draw: (story) => <What story={story} />,
    },
  ];
}

function Times({ from, latest }: { from: number; latest: number }) {
  return (
    <time dateTime={new Date(latest * 1000).toISOString()} title={`since ${dateAndTime(from)}`}>
      {dateAndTime(latest)}
    </time>
  );
}

function named(serials: readonly string[]): readonly string[] {
  return serials.length > NAMED ? serials.slice(0, 1) : serials;
}

function Boards({ serials }: { serials: readonly string[] }) {
  const shown = named(serials);
  return (
    <>
      {shown.map((serial, index) => (
        <span key={serial}>
          <span class="whole">
            <BoardLink serial={serial} />
            {index < shown.length - 1 && ","}
          </span>{" "}
        </span>
      ))}
      {serials.length > NAMED && `and ${serials.length - 1} more`}
    </>
  );
}

/** A story in one sentence; its lines once the reader opens it. */
function What({ story: { text, lines } }: { story: Story }) {
  const opened = useSignal(false);
  if (lines.length === 1) return <>{text}</>;
  return (
    <details
      onToggle={(event) => {
        opened.value = event.currentTarget.open;
      }}
    >
      <summary>{text}</summary>
      {opened.value && <Lines lines={lines} />}
    </details>
  );
}

function Lines({ lines }: { lines: readonly Line[] }) {
  return (
    <ol class="lines">
      {lines.slice(-LINES).map((line) => (
        <li key={`${line.time} ${line.serial} ${line.text}`}>
          <time>{dateAndTime(line.time)}</time> {line.serial} {line.text}
        </li>
      ))}
    </ol>
  );
}
