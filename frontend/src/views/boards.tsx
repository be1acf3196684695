import { type Signal, useComputed, useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";

import { boardActions, bulkActions } from "../actions.ts";
import { FIELDS, parseFilter } from "../filter.ts";
import { usePage } from "../page.ts";
import { addressOf } from "../pages.ts";
import { type Order, orderText, parseOrder, type Row, visibleRows } from "../rows.ts";
import { clientsOf, clockTime, count, firmware, labelText, number } from "../wording.ts";
import { Actions, BoardLink, ClientLinks, Command, KindLink, Left, Selection, State, WorkerLink } from "./small.tsx";
import { type Column, Table } from "./table.tsx";

/** All boards in one table. */
export function BoardsPage() {
  const { live } = usePage();
  return live.boards.value.size === 0 ? <EmptyFarm /> : <Boards />;
}

function EmptyFarm() {
  const { live } = usePage();
  return (
    <section class="empty">
      <h1 tabIndex={-1}>There is no board yet</h1>
      <p>Boards come with a worker. On the host that has them, run:</p>
      <Command text={`pip install icefarm\ntwistd -n icefarm-worker --control ${live.url.value}`} />
      <p>
        For virtual boards, add <code>--virtual-boards 4</code>. They appear here by themselves.
      </p>
    </section>
  );
}

function Boards() {
  const { live, navigation } = usePage();
  const selected = useSignal<ReadonlySet<string>>(new Set());
  const filter = useComputed(() => navigation.chosen("filter"));
  const order = useComputed(() => parseOrder(navigation.chosen("sort")));
  const rows = useComputed(() =>
    visibleRows(
      { boards: live.boards.value, readings: live.readings.value },
      filter.value,
      order.value,
      live.owner.value,
    ),
  );
  const operator = live.operator.value;
  const columns = useMemo(() => boardColumns(operator), [operator]);
  const total = live.boards.value.size;
  return (
    <section>
      <h1 tabIndex={-1} class="for-readers">
        Boards
      </h1>
      <Filter filter={filter.value} shown={rows.value.length} total={total} />
      {operator && <SelectedBoards selected={selected} />}
      <Table
        label="Boards"
        columns={columns}
        rows={rows.value}
        keyOf={serialOf}
        rowClass={classOf}
        order={order.value}
        sort={(next: Order) => navigation.choose({ sort: orderText(next) }, "step")}
        even
        selected={operator ? selected : undefined}
        empty="No board passes the filter."
      />
    </section>
  );
}

export const serialOf = ({ board }: Row) => board.serial;
export const classOf = ({ board }: Row) => `row-${board.status}`;

/** The columns of a table of boards; operators have one for actions. */
export function boardColumns(operator: boolean, without = ""): readonly Column<Row>[] {
  return allColumns(operator).filter(({ id }) => id !== without);
}

function allColumns(operator: boolean): readonly Column<Row>[] {
  const columns: readonly Column<Row>[] = [
    {
      id: "serial",
      label: "Board",
      priority: 0,
      mono: true,
      sortable: true,
      text: serialOf,
      draw: ({ board }) => <BoardLink serial={board.serial} />,
    },
    {
      id: "state",
      label: "State",
      priority: 0,
      sortable: true,
      text: ({ board }) => board.status,
      widest: "● available",
      draw: ({ board }) => <State status={board.status} />,
    },
    {
      id: "health",
      label: "Health",
      priority: 1,
      shrinks: 200,
      grows: true,
      sortable: true,
      text: ({ health }) => health.word,
      draw: ({ health }) => <span class={`health ${health.level}`}>{health.word}</span>,
    },
    {
      id: "client",
      label: "Client",
      priority: 1,
      shrinks: 110,
      sortable: true,
      text: ({ board }) => clientsOf(board).join(", "),
      draw: ({ board }) => <ClientLinks names={clientsOf(board)} />,
    },
    {
      id: "kind",
      label: "Kind",
      priority: 3,
      shrinks: 80,
      sortable: true,
      text: ({ board }) => board.kind ?? "",
      draw: ({ board }) => board.kind !== null && <KindLink name={board.kind} />,
    },
    {
      id: "worker",
      label: "Worker",
      priority: 3,
      shrinks: 80,
      sortable: true,
      text: ({ board }) => board.worker,
      draw: ({ board }) => <WorkerLink name={board.worker} />,
    },
    {
      id: "labels",
      label: "Labels",
      priority: 4,
      shrinks: 120,
      sortable: true,
      text: ({ board }) => labelText(board.labels),
    },
    {
      id: "firmware",
      label: "Firmware",
      priority: 5,
      shrinks: 100,
      sortable: true,
      text: ({ board }) => firmware(board),
    },
    {
      id: "left",
      label: "Time left",
      priority: 4,
      numeric: true,
      sortable: true,
      text: ({ board }) => (board.expires_at === null ? "" : `until ${clockTime(board.expires_at)}`),
      widest: "59 min 59 s",
      draw: ({ board }) => board.expires_at !== null && <Left until={board.expires_at} />,
    },
    {
      id: "rate",
      label: "Eval./s",
      priority: 2,
      numeric: true,
      sortable: true,
      labelled: true,
      keeps: true,
      text: ({ rate }) => (rate === 0 ? "" : number(rate)),
      draw: ({ rate }) => number(rate),
      widest: "99,999",
    },
  ];
  if (!operator) return columns;
  const actions: Column<Row> = {
    id: "act",
    label: "Actions",
    onCards: false,
    priority: 6,
    text: ({ board }) =>
      boardActions(board)
        .map(({ label }) => label)
        .join(", "),
    widest: "TestRebootDelete",
    more: 3 * 24,
    draw: ({ board }) => <Actions actions={boardActions(board)} />,
  };
  return [...columns, actions];
}

/** What an operator can do with the boards that are selected. */
function SelectedBoards({ selected }: { selected: Signal<ReadonlySet<string>> }) {
  const { live } = usePage();
  const boards = [...selected.value].flatMap((serial) => live.boards.value.get(serial) ?? []);
  if (boards.length === 0) return null;
  const actions = bulkActions(boards);
  return (
    <Selection label="Selected boards" amount={count(boards.length, "board")} actions={actions} selected={selected} />
  );
}

interface FilterProps {
  filter: string;
  shown: number;
  total: number;
}

function Filter({ filter, shown, total }: FilterProps) {
  const { live, navigation } = usePage();
  const input = useRef<HTMLInputElement>(null);
  const { problem } = parseFilter(filter);
  const set = (text: string) => navigation.choose({ filter: text }, "same");
  useEffect(() => {
    const focus = (event: KeyboardEvent) => {
      const elsewhere = event.target instanceof Element && event.target.closest("input, textarea, select, dialog");
      if (event.key === "/" && !elsewhere && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        input.current?.focus();
        input.current?.select();
      }
    };
    window.addEventListener("keydown", focus);
    return () => window.removeEventListener("keydown", focus);
  }, []);
  return (
    <div class="filter">
      <label for="filter">
        Filter <kbd>/</kbd>
      </label>
      <input
        id="filter"
        ref={input}
        type="search"
        value={filter}
        placeholder="state:reserved worker:pi2 client:exp-42"
        aria-describedby="filter-help"
        autocomplete="off"
        spellcheck={false}
        onInput={(event) => set(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Escape") return;
          set("");
          event.currentTarget.blur();
        }}
      />
      <span id="filter-help" class={problem === null ? "help" : "help problem"} role="status">
        {problem ?? `${shown} of ${count(total, "board")}`}
      </span>
      {!live.operator.value && <Owner />}
      <a href={addressOf("compare")}>Compare boards</a>
      <details>
        <summary>How to filter</summary>
        <p>
          Words match any field. <code>field:word</code> matches one field ({FIELDS.join(", ")});{" "}
          <code>-field:word</code> excludes, <code>state:broken,offline</code> is either, <code>client:</code> is none,{" "}
          <code>"two words"</code> keeps them together.
        </p>
      </details>
    </div>
  );
}

/** The name under which the reader reserves boards: those boards come first. */
function Owner() {
  const { live } = usePage();
  const clients = [...new Set([...live.boards.value.values()].flatMap(({ client }) => client ?? []))].sort();
  return (
    <label class="owner" title="Lists this client's boards first; remembered in this browser">
      Your client
      <input
        value={live.named.value}
        list="clients"
        placeholder={live.account.value || "its name"}
        spellcheck={false}
        autocomplete="off"
        onInput={(event) => live.setOwner(event.currentTarget.value)}
      />
      <datalist id="clients">
        {clients.map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
      {live.owner.value !== "" && (
        <a href={addressOf("client", live.owner.value)} class="for-narrow">
          Your boards
        </a>
      )}
    </label>
  );
}
