import { useState } from "preact/hooks";

import { save } from "../download.ts";
import { usePage } from "../page.ts";
import { fileName } from "../plotting.ts";
import type { Usage, UsageRecord } from "../records.ts";
import {
  DIMENSIONS,
  type Dimension,
  parseDimensions,
  parseSpan,
  parseUsageOrder,
  SPANS,
  sinceOf,
  sortedUsage,
  toggled,
  usageCsv,
  usageKey,
  usageOrderText,
} from "../usage.ts";
import { dateAndTime, duration, whole } from "../wording.ts";
import { Problem } from "./experiments.tsx";
import { usePast } from "./past.ts";
import { AccountLink, BoardLink, Choice, ExperimentLink, Moment } from "./small.tsx";
import { type Column, Table } from "./table.tsx";

/** Milliseconds after which usage is asked for again: it adds up all reservations of the time. */
const REFRESH = 30_000;

/** Who used which boards, for how long, and for what: the reader's own account, or all for operators. */
export function UsagePage() {
  const { live, navigation } = usePage();
  const dimensions = parseDimensions(navigation.chosen("by"));
  const span = navigation.chosen("since");
  const account = navigation.chosen("account");
  // The time that was asked for stays while the page is looked at: its end is always now.
  const [opened] = useState(() => live.now.peek());
  const fields = { by: dimensions.join(","), since: sinceOf(span, opened), ...(account === "" ? {} : { account }) };
  const { past, problem } = usePast<Usage>("usage", fields, REFRESH);
  const order = parseUsageOrder(navigation.chosen("sort"));
  return (
    <section>
      <h1 tabIndex={-1}>Usage</h1>
      <Choices dimensions={dimensions} span={span} account={account} usage={past} />
      <Problem text={problem} />
      {past !== null && (
        <>
          <p class="quiet">
            {live.operator.value ? (account === "" ? "All accounts" : `Account ${account}`) : "Your own account"}, since{" "}
            {dateAndTime(past.since)}.{" "}
            {dimensions.includes("experiment")
              ? "The time is that from the first result of each day to the last, on each board."
              : "The time is that of reservations."}
          </p>
          <Table
            label="Usage"
            columns={columnsOf(dimensions)}
            rows={sortedUsage(past.usage, order)}
            keyOf={usageKey}
            order={order}
            sort={(next) => navigation.choose({ sort: usageOrderText(next) }, "step")}
            even
            empty={`Nothing was used in this time${live.operator.value ? "" : " by your own account"}.`}
          />
        </>
      )}
    </section>
  );
}

interface ChoicesProps {
  dimensions: readonly Dimension[];
  span: string;
  account: string;
  usage: Usage | null;
}

function Choices({ dimensions, span, account, usage }: ChoicesProps) {
  const { navigation } = usePage();
  return (
    <div class="filter">
      <fieldset class="choices">
        <legend>By</legend>
        {DIMENSIONS.map(({ by, label }) => (
          <label key={by}>
            <input
              type="checkbox"
              checked={dimensions.includes(by)}
              disabled={dimensions.length === 1 && dimensions.includes(by)}
              onChange={() => navigation.choose({ by: toggled(dimensions, by) }, "step")}
            />
            {label}
          </label>
        ))}
      </fieldset>
      <Choice
        label="Last"
        part="since"
        value={parseSpan(span).span}
        choices={SPANS.map(({ span, label }) => ({ value: span, label }))}
      />
      {account !== "" && (
        <button type="button" onClick={() => navigation.choose({ account: "" }, "step")}>
          All accounts
        </button>
      )}
      <button type="button" disabled={usage === null} onClick={() => usage !== null && saved(usage)}>
        CSV
      </button>
    </div>
  );
}

function saved({ usage, until }: Usage): void {
  save(new Blob([usageCsv(usage)], { type: "text/csv" }), fileName("usage", until, "csv"));
}

const NAMES: Readonly<Record<Dimension, Column<UsageRecord>>> = {
  account: {
    id: "account",
    label: "Account",
    priority: 0,
    shrinks: 90,
    grows: true,
    sortable: true,
    text: ({ account }) => account ?? "",
    draw: ({ account }) => account !== null && <AccountLink name={account} />,
  },
  board: {
    id: "board",
    label: "Board",
    priority: 0,
    shrinks: 120,
    mono: true,
    sortable: true,
    text: ({ serial }) => serial ?? "",
    draw: ({ serial }) => serial !== null && <BoardLink serial={serial} />,
  },
  experiment: {
    id: "experiment",
    label: "Experiment",
    priority: 0,
    shrinks: 140,
    grows: true,
    sortable: true,
    text: ({ experiment }) => experiment ?? "",
    // Its name is within an account.
    draw: ({ account, experiment }) =>
      experiment !== null && (account === null ? experiment : <ExperimentLink of={{ account, name: experiment }} />),
  },
};

const FIGURES: readonly Column<UsageRecord>[] = [
  {
    id: "time",
    label: "Time",
    priority: 0,
    numeric: true,
    sortable: true,
    text: ({ seconds }) => duration(seconds),
  },
  {
    id: "boards",
    label: "Boards",
    priority: 3,
    numeric: true,
    labelled: true,
    sortable: true,
    text: ({ boards }) => whole(boards),
  },
  {
    id: "reservations",
    label: "Reservations",
    priority: 3,
    numeric: true,
    labelled: true,
    sortable: true,
    text: ({ reservations }) => whole(reservations),
  },
  {
    id: "evaluations",
    label: "Evaluations",
    priority: 1,
    numeric: true,
    labelled: true,
    sortable: true,
    text: ({ evaluations }) => whole(evaluations),
  },
  {
    id: "failed",
    label: "Failures",
    priority: 2,
    numeric: true,
    labelled: true,
    sortable: true,
    text: ({ failed }) => (failed === 0 ? "" : whole(failed)),
  },
  {
    id: "last",
    label: "Last used",
    priority: 4,
    sortable: true,
    text: ({ last_at }) => (last_at === null ? "" : dateAndTime(last_at)),
    draw: ({ last_at }) => last_at !== null && <Moment time={last_at} />,
  },
];

function columnsOf(dimensions: readonly Dimension[]): readonly Column<UsageRecord>[] {
  const figures = dimensions.includes("experiment") ? FIGURES.filter(({ id }) => id !== "reservations") : FIGURES;
  return [...DIMENSIONS.filter(({ by }) => dimensions.includes(by)).map(({ by }) => NAMES[by]), ...figures];
}
