import { type Signal, useSignal } from "@preact/signals";
import { Component, type ComponentChildren, type RefObject } from "preact";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";

import { type ColumnNeed, type Fit, fitColumns, longest } from "../columns.ts";
import { measure } from "../measure.ts";
import { type Order, windowOf } from "../rows.ts";

/** Pixels, as style.css has them: a row of a table whose rows are all alike, the same as a card, a cell's padding. */
const ROW_HEIGHT = 36;
const CARD_HEIGHT = 62;
const PADDING = 22;
/** The mark of the order beside a head, and a checkbox with its padding. */
const ARROW = 16;
const CHECKBOX = 40;

export interface Column<Row> {
  readonly id: string;
  readonly label: string;
  /** 0: always there, 1: wherever there are columns; the highest is left out first. */
  readonly priority: number;
  /** What it says, as a text; its width is measured, and cards show it. */
  readonly text: (row: Row) => string;
  /** What is measured where the texts change all the time, or are no texts. */
  readonly widest?: string;
  /** Pixels beside the text: borders and padding of controls. */
  readonly more?: number;
  /** The same as it is drawn. */
  readonly draw?: (row: Row) => ComponentChildren;
  /** Pixels to which it may shrink, cutting or wrapping its text. */
  readonly shrinks?: number;
  readonly grows?: boolean;
  readonly mono?: boolean;
  readonly numeric?: boolean;
  readonly sortable?: boolean;
  /** It stays though no row says anything in it just now. */
  readonly keeps?: boolean;
  /** Left out on cards, which are small. */
  readonly onCards?: boolean;
  /** On a card, its label is needed to understand it. */
  readonly labelled?: boolean;
}

export interface TableProps<Row> {
  readonly label: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly keyOf: (row: Row) => string;
  readonly rowClass?: (row: Row) => string;
  readonly order?: Order;
  readonly sort?: (order: Order) => void;
  /** What an order is called that is none of a column. */
  readonly usual?: string;
  /** All rows are of one height, and only those in sight are drawn. */
  readonly even?: boolean;
  /** Keys of the rows that the reader has selected; rows have checkboxes then. */
  readonly selected?: Signal<ReadonlySet<string>>;
  readonly empty?: ComponentChildren;
}

/** A table that fits the width it has: columns that do not fit are left out, or each row becomes a card. */
export function Table<Row>(props: TableProps<Row>) {
  const { label, columns, rows, keyOf, rowClass, order, sort, usual, even = false, selected } = props;
  const box = useRef<HTMLDivElement>(null);
  const body = useRef<HTMLTableSectionElement>(null);
  const fit = useFit(box, columns, rows, selected !== undefined);
  const shown = useMemo(() => shownColumns(columns, fit), [columns, fit]);
  const hidden = useMemo(() => columns.filter(({ id }) => fit.hidden.includes(id)), [columns, fit]);
  const height = fit.cards ? CARD_HEIGHT : ROW_HEIGHT;
  const [from, to] = useVisible(body, rows.length, height, even);
  const span = (fit.cards ? 1 : shown.length) + (selected === undefined ? 0 : 1);
  return (
    <div ref={box} class="table">
      <table
        class={`${even ? "even " : ""}${fit.cards ? "cards" : "columns"}`}
        aria-label={label}
        aria-rowcount={rows.length + 1}
      >
        <colgroup>
          {selected !== undefined && <col style={{ width: `${CHECKBOX}px` }} />}
          {fit.columns.map(({ id, width }) => (
            <col key={id} style={{ width: `${width}px` }} />
          ))}
        </colgroup>
        <thead>
          <tr aria-rowindex={1}>
            {selected !== undefined && (
              <th scope="col" class="select">
                <SelectAll selected={selected} keys={rows.map(keyOf)} />
              </th>
            )}
            {fit.cards ? (
              <th scope="col">
                <CardHead columns={columns} order={order} sort={sort} usual={usual} label={label} />
              </th>
            ) : (
              shown.map((column) => <Head key={column.id} column={column} order={order} sort={sort} />)
            )}
          </tr>
        </thead>
        <tbody ref={body} onKeyDown={moveBetweenRows}>
          <Gap rows={from} height={height} span={span} />
          {rows.slice(from, to).map((row, index) => (
            <TableRow
              key={keyOf(row)}
              row={row}
              name={keyOf(row)}
              index={from + index + 2}
              className={rowClass?.(row) ?? ""}
              shown={shown}
              hidden={hidden}
              cards={fit.cards}
              selected={selected}
            />
          ))}
          <Gap rows={rows.length - to} height={height} span={span} />
        </tbody>
      </table>
      {rows.length === 0 && <p class="quiet none">{props.empty}</p>}
    </div>
  );
}

function shownColumns<Row>(columns: readonly Column<Row>[], fit: Fit): readonly Column<Row>[] {
  if (fit.cards) return columns.filter(({ priority }) => priority === 0);
  return columns.filter(({ id }) => fit.columns.some((each) => each.id === id));
}

/** What a column needs for these rows. */
function needOf<Row>(column: Column<Row>, rows: readonly Row[]): ColumnNeed {
  const { id, priority, label, text, widest, more = 0, shrinks, mono, sortable, grows = false } = column;
  const head = measure.width(label, "head") + (sortable ? ARROW : 0);
  const font = mono ? "mono" : "text";
  const texts = widest === undefined ? longest(rows.map(text)) : [widest];
  const content = texts.map((each) => measure.width(each, font) + more);
  const natural = Math.max(head, ...content) + PADDING;
  const min = shrinks === undefined ? natural : Math.min(natural, Math.max(shrinks, head + PADDING));
  const empty = !column.keeps && rows.length > 0 && rows.every((row) => text(row) === "");
  return { id, priority, min, natural, grows, empty };
}

/** The columns that fit into the box; the same object while nothing about it changes. */
function useFit<Row>(
  box: RefObject<HTMLDivElement | null>,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  selectable: boolean,
): Fit {
  const width = useSignal(document.querySelector("main")?.clientWidth ?? window.innerWidth);
  const last = useRef<{ fit: Fit; text: string } | null>(null);
  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) return undefined;
    const observer = new ResizeObserver(() => {
      width.value = element.clientWidth;
    });
    width.value = element.clientWidth;
    observer.observe(element);
    return () => observer.disconnect();
  }, [box, width]);
  const room = width.value - (selectable ? CHECKBOX : 0);
  const fit = fitColumns(
    columns.map((column) => needOf(column, rows)),
    room,
  );
  const text = JSON.stringify(fit);
  if (last.current?.text !== text) last.current = { fit, text };
  return last.current.fit;
}

interface HeadProps<Row> {
  column: Column<Row>;
  order?: Order;
  sort?: (order: Order) => void;
}

function Head<Row>({ column, order, sort }: HeadProps<Row>) {
  const { id, label, numeric, sortable } = column;
  const sorted = order?.column === id;
  const kind = `${id}${numeric ? " numeric" : ""}`;
  if (!sortable || sort === undefined) {
    return (
      <th scope="col" class={kind}>
        {label}
      </th>
    );
  }
  return (
    <th scope="col" class={kind} aria-sort={sorted ? (order.down ? "descending" : "ascending") : undefined}>
      <button type="button" onClick={() => sort({ column: id, down: sorted && !order.down })}>
        {label}
        <span aria-hidden="true" class="arrow">
          {sorted ? (order.down ? "▾" : "▴") : ""}
        </span>
      </button>
    </th>
  );
}

interface CardHeadProps<Row> {
  columns: readonly Column<Row>[];
  order?: Order;
  sort?: (order: Order) => void;
  usual: string | undefined;
  label: string;
}

/** Cards have no heads to sort by: a list of the columns stands for them. */
function CardHead<Row>({ columns, order, sort, usual = "What needs you", label }: CardHeadProps<Row>) {
  if (order === undefined || sort === undefined) return <>{label}</>;
  const known = columns.some(({ id }) => id === order.column);
  return (
    <span class="sort">
      <label>
        Sort by{" "}
        <select
          value={order.column}
          onChange={(event) => sort({ column: event.currentTarget.value, down: order.down })}
        >
          {!known && <option value={order.column}>{usual}</option>}
          {columns
            .filter(({ sortable }) => sortable)
            .map(({ id, label: name }) => (
              <option key={id} value={id}>
                {name}
              </option>
            ))}
        </select>
      </label>
      <button
        type="button"
        aria-label={order.down ? "Descending; sort ascending" : "Ascending; sort descending"}
        onClick={() => sort({ column: order.column, down: !order.down })}
      >
        {order.down ? "▾" : "▴"}
      </button>
    </span>
  );
}

/** Stands for rows that are out of sight. */
function Gap({ rows, height, span }: { rows: number; height: number; span: number }) {
  if (rows <= 0) return null;
  return (
    // biome-ignore lint/a11y/noAriaHiddenOnFocusable: there is nothing in it, so nothing can have the focus
    <tr class="gap" aria-hidden="true">
      <td colSpan={span} style={{ height: `${rows * height}px` }} />
    </tr>
  );
}

/** The rows of a table body that are in sight: [from, to). */
function useVisible(
  body: RefObject<HTMLTableSectionElement | null>,
  total: number,
  height: number,
  even: boolean,
): [number, number] {
  const from = useSignal(0);
  const to = useSignal(40);
  useLayoutEffect(() => {
    if (!even) return undefined;
    const look = () => {
      const top = body.current?.getBoundingClientRect().top ?? 0;
      [from.value, to.value] = windowOf(total, height, top, window.innerHeight);
    };
    look();
    window.addEventListener("scroll", look, { passive: true });
    window.addEventListener("resize", look);
    return () => {
      window.removeEventListener("scroll", look);
      window.removeEventListener("resize", look);
    };
  }, [body, total, height, even, from, to]);
  return even ? [Math.min(from.value, total), Math.min(to.value, total)] : [0, total];
}

/** Arrow keys go from row to row. */
function moveBetweenRows(event: KeyboardEvent): void {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const row = event.target instanceof Element ? event.target.closest("tr") : null;
  if (step === undefined || row === null) return;
  const next = step === 1 ? row.nextElementSibling : row.previousElementSibling;
  const link = next?.querySelector("a");
  if (link) {
    event.preventDefault();
    link.focus();
    link.scrollIntoView({ block: "nearest" });
  }
}

interface RowProps<Row> {
  row: Row;
  name: string;
  index: number;
  className: string;
  shown: readonly Column<Row>[];
  hidden: readonly Column<Row>[];
  cards: boolean;
  selected: Signal<ReadonlySet<string>> | undefined;
}

/** A row is drawn again only where it is another one. */
class TableRow<Row> extends Component<RowProps<Row>> {
  override shouldComponentUpdate(next: RowProps<Row>): boolean {
    const now = this.props;
    return (Object.keys(next) as (keyof RowProps<Row>)[]).some((name) => next[name] !== now[name]);
  }

  override render({ row, name, index, className, shown, hidden, cards, selected }: RowProps<Row>) {
    return (
      <tr aria-rowindex={index} class={className}>
        {selected !== undefined && (
          <td class="select">
            <Select selected={selected} name={name} />
          </td>
        )}
        {cards ? (
          <td class="card">
            <Card row={row} shown={shown} hidden={hidden} />
          </td>
        ) : (
          shown.map((column, place) => <Cell key={column.id} column={column} row={row} head={place === 0} />)
        )}
      </tr>
    );
  }
}

function Cell<Row>({ column, row, head }: { column: Column<Row>; row: Row; head: boolean }) {
  const { id, text, draw, mono, numeric, shrinks } = column;
  const kind = [id, mono && "mono", numeric && "numeric"].filter(Boolean).join(" ");
  const content = draw === undefined ? text(row) : draw(row);
  const title = shrinks === undefined ? undefined : text(row);
  return head ? (
    <th scope="row" class={kind} title={title}>
      {content}
    </th>
  ) : (
    <td class={kind} title={title}>
      {content}
    </td>
  );
}

/** A row as a card: what is always there in the first line, all else beneath. */
function Card<Row>({
  row,
  shown,
  hidden,
}: {
  row: Row;
  shown: readonly Column<Row>[];
  hidden: readonly Column<Row>[];
}) {
  const rest = hidden
    .filter(({ text, onCards = true }) => onCards && text(row) !== "")
    .sort((one, other) => one.priority - other.priority);
  return (
    <>
      <div class="first">
        {shown.map(({ id, mono, text, draw }) => (
          <span key={id} class={`${id}${mono ? " mono" : ""}`}>
            {draw === undefined ? text(row) : draw(row)}
          </span>
        ))}
      </div>
      <div class="rest">
        {rest.map(({ id, label, text, draw, labelled }) => (
          <span key={id} class={id} title={label}>
            <span class={labelled ? "label" : "for-readers"}>{label}: </span>
            {draw === undefined ? text(row) : draw(row)}
          </span>
        ))}
      </div>
    </>
  );
}

function Select({ selected, name }: { selected: Signal<ReadonlySet<string>>; name: string }) {
  return (
    <input
      type="checkbox"
      aria-label={`Select ${name}`}
      checked={selected.value.has(name)}
      onChange={(event) => {
        const next = new Set(selected.value);
        if (event.currentTarget.checked) next.add(name);
        else next.delete(name);
        selected.value = next;
      }}
    />
  );
}

function SelectAll({ selected, keys }: { selected: Signal<ReadonlySet<string>>; keys: readonly string[] }) {
  const all = keys.length > 0 && keys.every((key) => selected.value.has(key));
  const some = !all && keys.some((key) => selected.value.has(key));
  return (
    <input
      type="checkbox"
      aria-label="Select all that are shown"
      checked={all}
      indeterminate={some}
      onChange={(event) => {
        selected.value = event.currentTarget.checked ? new Set([...selected.value, ...keys]) : new Set();
      }}
    />
  );
}
