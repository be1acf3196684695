import { useMemo } from "preact/hooks";

import {
  activeAt,
  BY_ACTIVITY,
  EXPERIMENT_FIELDS,
  experimentOrderText,
  parseExperimentOrder,
  progressOf,
  stateOf,
  timeLeft,
  visibleExperiments,
  wholeName,
} from "../experiments.ts";
import { parseFilter } from "../filter.ts";
import { usePage } from "../page.ts";
import type { ExperimentList, ExperimentRecord } from "../records.ts";
import { count, dateAndTime, duration, number, whole } from "../wording.ts";
import { usePast } from "./past.ts";
import { AccountLink, Command, ExperimentLink, Moment } from "./small.tsx";
import { type Column, Table } from "./table.tsx";

/** Experiments that are listed at most, the last active ones. */
const LISTED = 500;

const SYMBOLS = { running: "●", complete: "✓", idle: "○" } as const;

/** The experiments that the reader may read. */
export function ExperimentsPage() {
  const { live, navigation } = usePage();
  const { past, problem } = usePast<ExperimentList>("experiments", { limit: LISTED });
  const filter = navigation.chosen("filter");
  const order = parseExperimentOrder(navigation.chosen("sort"));
  const rows = past === null ? [] : visibleExperiments(past.experiments, filter, order, live.owner.value);
  return (
    <section>
      <h1 tabIndex={-1}>Experiments</h1>
      <Problem text={problem} />
      {past !== null && past.experiments.length === 0 && <NoExperiments />}
      {past !== null && past.experiments.length > 0 && (
        <>
          <Filter filter={filter} shown={rows.length} total={past.experiments.length} more={past.next !== null} />
          <Table
            label="Experiments"
            columns={COLUMNS}
            rows={rows}
            keyOf={wholeName}
            order={order}
            usual="Running first"
            sort={(next) => navigation.choose({ sort: experimentOrderText(next) }, "step")}
            even
            empty="No experiment passes the filter."
          />
        </>
      )}
    </section>
  );
}

/** What the farm says when it can't answer. */
export function Problem({ text }: { text: string | null }) {
  if (text === null) return null;
  if (text.startsWith("unavailable: ")) return <p class="quiet">This farm keeps no measurements.</p>;
  return <p class="problem">{text}</p>;
}

function NoExperiments() {
  return (
    <div class="empty">
      <p>There is no experiment yet. Each evaluation belongs to one; a script names it:</p>
      <Command text={'with Farm(experiment="ga-7") as farm:\n    ...'} />
      <p>Without a name, it is the client's name and the day.</p>
    </div>
  );
}

interface FilterProps {
  filter: string;
  shown: number;
  total: number;
  /** There are more, which the page does not list. */
  more: boolean;
}

function Filter({ filter, shown, total, more }: FilterProps) {
  const { navigation } = usePage();
  const { problem } = parseFilter(filter, EXPERIMENT_FIELDS);
  return (
    <div class="filter">
      <label for="filter">Filter</label>
      <input
        id="filter"
        type="search"
        value={filter}
        placeholder="state:running account:ada"
        aria-describedby="filter-help"
        autocomplete="off"
        spellcheck={false}
        onInput={(event) => navigation.choose({ filter: event.currentTarget.value }, "same")}
      />
      <span id="filter-help" class={problem === null ? "help" : "help problem"} role="status">
        {problem ?? `${shown} of ${more ? `the last ${total} experiments` : count(total, "experiment")}`}
      </span>
    </div>
  );
}

/** The experiments of an account, the last active ones. */
export function ExperimentsOf({ account }: { account: string }) {
  const { past, problem } = usePast<ExperimentList>("experiments", { account, limit: LISTED });
  // The account's page is drawn again whenever a board changes.
  const rows = useMemo(() => visibleExperiments(past?.experiments ?? [], "", BY_ACTIVITY), [past]);
  return (
    <>
      <Problem text={problem} />
      {past !== null && (
        <Table
          label="Experiments"
          columns={COLUMNS_OF_ACCOUNT}
          rows={rows}
          keyOf={wholeName}
          even
          empty="It has no experiment that you may read."
        />
      )}
    </>
  );
}

export function ExperimentState({ record }: { record: ExperimentRecord }) {
  const state = stateOf(record);
  return (
    <span class={`state ${{ running: "reserved", complete: "available", idle: "offline" }[state]}`}>
      <span class="symbol" aria-hidden="true">
        {SYMBOLS[state]}
      </span>
      {state}
    </span>
  );
}

/** How many evaluations have a value, of those that are expected. */
export function doneOf({ done, total }: ExperimentRecord): string {
  const all = whole(done);
  return total === null ? all : `${all} / ${whole(total)}`;
}

function leftOf(record: ExperimentRecord): string {
  const left = timeLeft(record);
  return left === null ? "" : duration(left);
}

export function Progress({ record }: { record: ExperimentRecord }) {
  const part = progressOf(record);
  return part === null ? null : <progress value={part} max="1" aria-hidden="true" />;
}

/** The name of an experiment, and its account, which is left out with that priority. */
export function nameColumns(priority: number): readonly Column<{ account: string; name: string }>[] {
  return [
    {
      id: "experiment",
      label: "Experiment",
      priority: 0,
      shrinks: 140,
      grows: true,
      text: ({ name }) => name,
      draw: (named) => <ExperimentLink of={named} />,
    },
    {
      id: "account",
      label: "Account",
      priority,
      shrinks: 90,
      text: ({ account }) => account,
      draw: ({ account }) => <AccountLink name={account} />,
    },
  ];
}

const UNSORTED: readonly Column<ExperimentRecord>[] = [
  ...nameColumns(2),
  {
    id: "state",
    label: "State",
    priority: 0,
    text: stateOf,
    widest: "● complete",
    draw: (record) => <ExperimentState record={record} />,
  },
  {
    id: "done",
    label: "Done",
    priority: 1,
    numeric: true,
    labelled: true,
    text: doneOf,
    more: 60,
    draw: (record) => (
      <span class="part">
        <Progress record={record} /> {doneOf(record)}
      </span>
    ),
  },
  {
    id: "rate",
    label: "Eval./s",
    priority: 2,
    numeric: true,
    labelled: true,
    keeps: true,
    text: ({ rate }) => (rate === 0 ? "" : number(rate)),
    widest: "99,999",
  },
  {
    id: "left",
    label: "Time left",
    priority: 2,
    numeric: true,
    labelled: true,
    keeps: true,
    text: leftOf,
    widest: "59 min 59 s",
  },
  {
    id: "failed",
    label: "Failures",
    priority: 2,
    numeric: true,
    labelled: true,
    keeps: true,
    text: ({ failed }) => (failed === 0 ? "" : whole(failed)),
    draw: ({ failed }) => failed > 0 && <span class="health warn">{whole(failed)}</span>,
  },
  {
    id: "boards",
    label: "Boards",
    priority: 4,
    numeric: true,
    labelled: true,
    text: ({ boards }) => String(boards),
  },
  {
    id: "last",
    label: "Last activity",
    priority: 3,
    text: (record) => dateAndTime(activeAt(record)),
    draw: (record) => <Moment time={activeAt(record)} />,
  },
];

const COLUMNS = UNSORTED.map((column) => ({ ...column, sortable: true }));
const COLUMNS_OF_ACCOUNT = COLUMNS.filter(({ id }) => id !== "account");
