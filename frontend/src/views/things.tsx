import { useMemo } from "preact/hooks";

import { workerActions } from "../actions.ts";
import type { Farm } from "../farm.ts";
import { accountOf, isOfAccount } from "../identity.ts";
import type { Line } from "../journal.ts";
import { usePage } from "../page.ts";
import { addressOf } from "../pages.ts";
import type { AccountLimits, BoardRecord } from "../records.ts";
import { BY_NEED, visibleRows } from "../rows.ts";
import { storiesOf } from "../stories.ts";
import { clientsOf, count, labelText, number } from "../wording.ts";
import { boardColumns, classOf, serialOf } from "./boards.tsx";
import { Stories } from "./events.tsx";
import { ExperimentsOf } from "./experiments.tsx";
import { usePast } from "./past.ts";
import { QueueTable } from "./queue.tsx";
import { AccountLink, Actions, Fact, ThingHead } from "./small.tsx";
import { Table } from "./table.tsx";
import { Kinds, LastSeen, WorkerState } from "./workers.tsx";

/** One worker: how it is, its boards, and what happened to them. */
export function WorkerPage({ name }: { name: string }) {
  const { live } = usePage();
  const worker = live.workers.value.get(name);
  const boards = [...live.boards.value.values()].filter((board) => board.worker === name);
  const labels = labelText(worker?.labels);
  return (
    <section>
      <ThingHead all="workers" kind="Worker" name={name} />
      {worker === undefined ? (
        <p class="problem">The farm has no worker {name}.</p>
      ) : (
        <>
          <dl class="facts">
            <Fact label="State">
              <WorkerState worker={worker} />
            </Fact>
            <Fact label="Boards in use">
              {`${boards.filter(({ client }) => client !== null).length} / ${boards.length}`}
            </Fact>
            <Fact label="Kinds">
              <Kinds worker={worker} />
            </Fact>
            <Fact label="Host">{worker.host}</Fact>
            {labels !== "" && <Fact label="Labels">{labels}</Fact>}
            <Fact label="icefarm">{worker.version}</Fact>
            <Fact label="Last seen">
              <LastSeen worker={worker} />
            </Fact>
          </dl>
          <Actions actions={workerActions(worker, boards)} />
        </>
      )}
      <h2>Boards</h2>
      <BoardsOf boards={boards} without="worker" empty="It has no boards." />
      <h2>What happened</h2>
      <StoriesOf about={(line) => line.worker === name} without="worker" />
    </section>
  );
}

/** One client: the boards that it has, what it waits for, and what it did. */
export function ClientPage({ name }: { name: string }) {
  const { live } = usePage();
  const boards = [...live.boards.value.values()].filter((board) => clientsOf(board).includes(name));
  const waiting = [...live.queue.value.values()].filter((each) => each.client === name);
  return (
    <section>
      <ThingHead all="boards" kind="Client" name={name} />
      <p>
        Of account <AccountLink name={accountOf(name)} />. It has {count(boards.length, "board")};{" "}
        {count(waiting.length, "request")} of it {waiting.length === 1 ? "waits" : "wait"}.
      </p>
      <BoardsOf boards={boards} without="client" empty="It has no boards just now." />
      {waiting.length > 0 && (
        <>
          <h2>Queue</h2>
          <QueueTable of={(client) => client === name} />
        </>
      )}
      <h2>What happened</h2>
      <StoriesOf about={(line) => line.client === name} without="client" />
    </section>
  );
}

/** One account: the boards that it has, its experiments, what it waits for, and what it may have. */
export function AccountPage({ name }: { name: string }) {
  const { live } = usePage();
  const isOf = (client: string | null) => isOfAccount(name, client);
  const boards = [...live.boards.value.values()].filter((board) => clientsOf(board).some(isOf));
  const waiting = [...live.queue.value.values()].filter(({ client }) => isOf(client));
  const readable = live.operator.value || live.account.value === name;
  return (
    <section>
      <ThingHead all="boards" kind="Account" name={name} />
      {readable && <Quotas account={name} />}
      {readable && (
        <p>
          <a href={addressOf("usage", null, { account: live.operator.value ? name : "" })}>Its usage</a>
        </p>
      )}
      <h2>Experiments</h2>
      <ExperimentsOf account={name} />
      <h2>Boards</h2>
      <BoardsOf boards={boards} without="" empty="It has no boards just now." />
      <h2>Queue</h2>
      {waiting.length === 0 ? <p class="quiet">It waits for no boards.</p> : <QueueTable of={isOf} />}
      <h2>What happened</h2>
      <StoriesOf about={({ client }) => isOf(client)} without="" />
    </section>
  );
}

/** What the limits of an account are called, in their order. */
const QUOTAS: readonly (readonly [name: string, label: string])[] = [
  ["boards", "Boards"],
  ["queue", "Waiting requests"],
  ["sessions", "Sessions"],
  ["rate", "Calls/s"],
  ["calls", "Calls not answered yet"],
];

/** What an account may have at a time: its owner and operators see it. */
function Quotas({ account }: { account: string }) {
  const { past, problem } = usePast<AccountLimits>("limits", { account });
  if (past === null) return problem === null ? null : <p class="quiet">Its limits are not known.</p>;
  return (
    <dl class="facts">
      {QUOTAS.flatMap(([name, label]) => {
        const most = past.limits[name];
        if (most === undefined) return [];
        const has = past.has[name];
        return [
          <Fact key={name} label={label}>
            {has === undefined ? `at most ${number(most, 9)}` : `${number(has, 9)} of at most ${number(most, 9)}`}
          </Fact>,
        ];
      })}
    </dl>
  );
}

interface BoardsOfProps {
  boards: readonly BoardRecord[];
  /** The column that would say the same in each row. */
  without: string;
  empty: string;
}

function BoardsOf({ boards, without, empty }: BoardsOfProps) {
  const { live } = usePage();
  const operator = live.operator.value;
  const columns = useMemo(() => boardColumns(operator, without), [operator, without]);
  const farm: Pick<Farm, "boards" | "readings"> = {
    boards: new Map(boards.map((board) => [board.serial, board])),
    readings: live.readings.value,
  };
  return (
    <Table
      label="Boards"
      columns={columns}
      rows={visibleRows(farm, "", BY_NEED)}
      keyOf={serialOf}
      rowClass={classOf}
      even
      empty={empty}
    />
  );
}

function StoriesOf({ about, without }: { about: (line: Line) => boolean; without: string }) {
  const { live } = usePage();
  return <Stories stories={storiesOf(live.lines.value.filter(about))} label="What happened" without={without} />;
}
