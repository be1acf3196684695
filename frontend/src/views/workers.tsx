import { type Signal, useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";

import { bulkWorkerActions, workerActions } from "../actions.ts";
import { entryOf } from "../lookup.ts";
import { usePage } from "../page.ts";
import type { BoardRecord, WorkerRecord } from "../records.ts";
import { clockTime, count } from "../wording.ts";
import { Actions, Command, Elapsed, KindLink, Moment, Selection, WorkerLink } from "./small.tsx";
import { type Column, Table } from "./table.tsx";

interface WorkerRow {
  readonly worker: WorkerRecord;
  readonly boards: readonly BoardRecord[];
}

/** The workers, and what their boards do. */
export function WorkersPage() {
  const { live } = usePage();
  const operator = live.operator.value;
  const selected = useSignal<ReadonlySet<string>>(new Set());
  const columns = useMemo(() => workerColumns(operator), [operator]);
  const boards = [...live.boards.value.values()];
  const rows = [...live.workers.value.values()]
    .sort((one, other) => need(one) - need(other) || one.name.localeCompare(other.name, "en", { numeric: true }))
    .map((worker) => ({ worker, boards: boards.filter((board) => board.worker === worker.name) }));
  return (
    <section>
      <h1 tabIndex={-1}>Workers</h1>
      {operator && <SelectedWorkers selected={selected} boards={boards} />}
      <Table
        label="Workers"
        columns={columns}
        rows={rows}
        keyOf={({ worker }) => worker.name}
        selected={operator ? selected : undefined}
        empty="No worker has joined yet."
      />
      <h2>Add a worker</h2>
      <p>On the host that has the boards:</p>
      <Command text={`pip install icefarm\ntwistd -n icefarm-worker --control ${live.url.value} --name NAME`} />
    </section>
  );
}

/** What an operator can do with the workers that are selected. */
function SelectedWorkers({
  selected,
  boards,
}: {
  selected: Signal<ReadonlySet<string>>;
  boards: readonly BoardRecord[];
}) {
  const { live } = usePage();
  const workers = [...selected.value].flatMap((name) => live.workers.value.get(name) ?? []);
  if (workers.length === 0) return null;
  const actions = bulkWorkerActions(workers, boards);
  return (
    <Selection
      label="Selected workers"
      amount={count(workers.length, "worker")}
      actions={actions}
      selected={selected}
    />
  );
}

/** Workers that are away come first, then those that drain. */
function need({ status, draining }: WorkerRecord): number {
  return status === "offline" ? 0 : draining ? 1 : 2;
}

function workerColumns(operator: boolean): readonly Column<WorkerRow>[] {
  const columns: readonly Column<WorkerRow>[] = [
    {
      id: "name",
      label: "Worker",
      priority: 0,
      shrinks: 120,
      grows: true,
      text: ({ worker }) => worker.name,
      draw: ({ worker }) => <WorkerLink name={worker.name} />,
    },
    {
      id: "state",
      label: "State",
      priority: 0,
      text: ({ worker }) => `● ${stateWord(worker)}`,
      draw: ({ worker }) => <WorkerState worker={worker} />,
    },
    { id: "use", label: "Boards in use", labelled: true, priority: 1, numeric: true, text: inUse },
    {
      id: "kinds",
      label: "Kinds",
      priority: 3,
      shrinks: 130,
      grows: true,
      text: ({ worker }) => worker.kinds.map((kind) => kindText(worker, kind)).join(", "),
      draw: ({ worker }) => <Kinds worker={worker} />,
    },
    { id: "host", label: "Host", labelled: true, priority: 4, shrinks: 90, text: ({ worker }) => worker.host },
    { id: "version", label: "icefarm", labelled: true, priority: 5, text: ({ worker }) => worker.version },
    {
      id: "seen",
      label: "Last seen",
      labelled: true,
      priority: 2,
      shrinks: 110,
      text: ({ worker }) => (worker.status === "online" ? "now" : clockTime(worker.last_seen)),
      widest: "00:00:00 (23 h 59 min ago)",
      draw: ({ worker }) => <LastSeen worker={worker} />,
    },
  ];
  if (!operator) return columns;
  return [
    ...columns,
    {
      id: "act",
      label: "Actions",
      priority: 1,
      text: ({ worker, boards }) =>
        workerActions(worker, boards)
          .map(({ label }) => label)
          .join(", "),
      widest: "Resume",
      more: 24,
      draw: ({ worker, boards }) => <Actions actions={workerActions(worker, boards)} />,
    },
  ];
}

function stateWord({ status, draining }: WorkerRecord): string {
  return draining ? `${status}, draining` : status;
}

/** A worker's state: symbol, words and colour. */
export function WorkerState({ worker }: { worker: WorkerRecord }) {
  const online = worker.status === "online";
  return (
    <span class={`state ${online ? (worker.draining ? "flashing" : "available") : "offline"}`}>
      <span class="symbol" aria-hidden="true">
        {online ? (worker.draining ? "◐" : "●") : "–"}
      </span>
      {stateWord(worker)}
    </span>
  );
}

function kindText(worker: WorkerRecord, kind: string): string {
  return [kind, entryOf(worker.kind_versions, kind)].filter(Boolean).join(" ");
}

export function Kinds({ worker }: { worker: WorkerRecord }) {
  return (
    <>
      {worker.kinds.map((kind, index) => (
        <span key={kind}>
          {index > 0 && ", "}
          <KindLink name={kind} /> {entryOf(worker.kind_versions, kind)}
        </span>
      ))}
    </>
  );
}

function inUse({ boards }: WorkerRow): string {
  return `${boards.filter((board) => board.client !== null).length} / ${boards.length}`;
}

/** An online worker gives a sign of life every 5 s; its record is older than that. */
export function LastSeen({ worker }: { worker: WorkerRecord }) {
  if (worker.status === "online") return <>now</>;
  return (
    <>
      <Moment time={worker.last_seen} /> (<Elapsed since={worker.last_seen} /> ago)
    </>
  );
}
