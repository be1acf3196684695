import { useMemo } from "preact/hooks";

import { queueActions } from "../actions.ts";
import { withLocalTimes } from "../calendar.ts";
import { usePage } from "../page.ts";
import type { QueueRecord } from "../records.ts";
import { clockTime, expected, whyItWaits } from "../wording.ts";
import { Actions, BoardLink, ClientLink, Elapsed, KindLink, Moment } from "./small.tsx";
import { type Column, Table } from "./table.tsx";

/** Who waits for boards, for what, and why. */
export function QueuePage() {
  return (
    <section>
      <h1 tabIndex={-1}>Queue</h1>
      <QueueTable />
    </section>
  );
}

/** The requests that wait, of some clients or of all. */
export function QueueTable({ of = () => true }: { of?: (client: string) => boolean }) {
  const { live } = usePage();
  const operator = live.operator.value;
  const { ahead } = live.farm.value;
  const columns = useMemo(() => queueColumns(operator, ahead), [operator, ahead]);
  const rows = [...live.queue.value.values()]
    .filter(({ client }) => of(client))
    .sort((one, other) => one.place - other.place);
  return <Table label="Queue" columns={columns} rows={rows} keyOf={({ id }) => id} empty="Nobody waits for boards." />;
}

/** `ahead`: seconds that the farm's clock is ahead of this one. */
function queueColumns(operator: boolean, ahead: number): readonly Column<QueueRecord>[] {
  const columns: readonly Column<QueueRecord>[] = [
    { id: "place", label: "Place", labelled: true, priority: 1, numeric: true, text: ({ place }) => String(place) },
    {
      id: "client",
      label: "Client",
      priority: 0,
      shrinks: 110,
      text: ({ client }) => client,
      draw: ({ client }) => <ClientLink name={client} />,
    },
    { id: "wants", label: "Wants", priority: 0, shrinks: 120, text: wants, draw: (row) => <Wants row={row} /> },
    {
      id: "since",
      label: "Since",
      labelled: true,
      priority: 2,
      text: ({ since }) => clockTime(since),
      widest: "00:00:00 (59 min 59 s)",
      draw: ({ since }) => (
        <>
          <Moment time={since} /> (<Elapsed since={since} />)
        </>
      ),
    },
    {
      id: "expected",
      label: "Expected",
      labelled: true,
      priority: 2,
      text: (row) => expected(row, Date.now() / 1000 + ahead),
    },
    {
      id: "why",
      label: "Why it waits",
      priority: 1,
      shrinks: 180,
      grows: true,
      text: (row) => withLocalTimes(whyItWaits(row)),
    },
  ];
  if (!operator) return columns;
  return [
    ...columns,
    {
      id: "act",
      label: "Actions",
      priority: 1,
      text: (row) =>
        queueActions(row)
          .map(({ label }) => label)
          .join(", "),
      widest: "Remove",
      more: 24,
      draw: (row) => <Actions actions={queueActions(row)} />,
    },
  ];
}

function wants({ serials, amount, kind, shared = false }: QueueRecord): string {
  const boards = serials.length > 0 ? serials.join(", ") : `${amount} × ${kind}`;
  return shared ? `${boards}, shared` : boards;
}

function Wants({ row: { serials, amount, kind, shared = false } }: { row: QueueRecord }) {
  if (serials.length === 0) {
    return (
      <>
        {amount} × <KindLink name={kind} />
        {shared && ", shared"}
      </>
    );
  }
  return (
    <>
      {serials.map((serial, index) => (
        <span key={serial}>
          {index > 0 && ", "}
          <BoardLink serial={serial} />
        </span>
      ))}
      {shared && ", shared"}
    </>
  );
}
