import { Component } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { boardActions } from "../actions.js";
import { FIELDS, parseFilter } from "../filter.js";
import { address } from "../route.js";
import { COLUMNS, visibleRows, windowOf } from "../rows.js";
import { count, duration, firmware, number } from "../wording.js";
import { Actions, Command, State } from "./small.jsx";

/** Pixels; the style sheet has the same. */
const ROW_HEIGHT = 36;

/** All boards in one table. */
export function BoardsPage({ farm, now, connected, operator, act }) {
  const [filter, setFilter] = useState("");
  const [order, setOrder] = useState({ column: "serial", down: false });
  const rows = visibleRows(farm, filter, order);
  if (farm.devices.size === 0) return <EmptyFarm />;
  return (
    <section>
      <h1 tabIndex={-1} class="for-readers">
        Boards
      </h1>
      <Filter filter={filter} set={setFilter} shown={rows.length} total={farm.devices.size} />
      <Table rows={rows} order={order} setOrder={setOrder} view={{ now, connected, operator, act }} />
    </section>
  );
}

function EmptyFarm() {
  const url = window.location.origin;
  return (
    <section class="empty">
      <h1 tabIndex={-1}>There is no board yet</h1>
      <p>Boards come with a worker. On the host that has them, run:</p>
      <Command text={`pip install icefarm\ntwistd -n icefarm-worker --control ${url}`} />
      <p>
        For virtual boards, add <code>--virtual-boards 4</code>. They appear here by themselves.
      </p>
    </section>
  );
}

function Filter({ filter, set, shown, total }) {
  const input = useRef(null);
  const { problem } = parseFilter(filter);
  useEffect(() => {
    const focus = (event) => {
      const elsewhere = event.target.closest?.("input, textarea, select, dialog") !== null;
      if (event.key === "/" && !elsewhere && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        input.current.focus();
        input.current.select();
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
        onKeyDown={(event) => event.key === "Escape" && (set(""), event.currentTarget.blur())}
      />
      <span id="filter-help" class={problem === null ? "help" : "help problem"} role="status">
        {problem ?? `${shown} of ${count(total, "board")}`}
      </span>
      <details>
        <summary>How to filter</summary>
        <p>
          Words are sought everywhere. <code>field:word</code> looks into one field ({FIELDS.join(", ")});{" "}
          <code>-field:word</code> excludes, <code>state:broken,offline</code> is either, <code>client:</code> is none,{" "}
          <code>"two words"</code> keeps them together.
        </p>
      </details>
    </div>
  );
}

function Table({ rows, order, setOrder, view }) {
  const body = useRef(null);
  const [from, to] = useVisible(body, rows.length);
  const sort = (column) => setOrder({ column, down: order.column === column && !order.down });
  const minute = Math.floor(view.now);
  return (
    <div class="wide">
      <table class="boards" aria-rowcount={rows.length + 1}>
        <thead>
          <tr aria-rowindex={1}>
            {COLUMNS.map(({ id, label }) => (
              <th
                key={id}
                scope="col"
                class={id}
                aria-sort={order.column === id ? (order.down ? "descending" : "ascending") : undefined}
              >
                <button type="button" onClick={() => sort(id)}>
                  {label}
                  <span aria-hidden="true">{order.column === id ? (order.down ? " ▾" : " ▴") : ""}</span>
                </button>
              </th>
            ))}
            <th scope="col" class="act">
              Actions
            </th>
          </tr>
        </thead>
        <tbody ref={body} onKeyDown={moveBetweenRows}>
          <Gap rows={from} />
          {rows.slice(from, to).map((row, index) => (
            <BoardRow
              key={row.device.serial}
              index={from + index + 2}
              device={row.device}
              level={row.health.level}
              health={row.health.word}
              rate={row.rate}
              left={row.device.expires_at === null ? "" : duration(row.device.expires_at - minute)}
              connected={view.connected}
              operator={view.operator}
              act={view.act}
            />
          ))}
          <Gap rows={rows.length - to} />
        </tbody>
      </table>
      {rows.length === 0 && <p class="quiet">No board passes the filter.</p>}
    </div>
  );
}

/** Stands for rows that are out of sight. */
function Gap({ rows }) {
  return rows > 0 ? (
    <tr class="gap" aria-hidden="true">
      <td colSpan={COLUMNS.length + 1} style={{ height: `${rows * ROW_HEIGHT}px` }} />
    </tr>
  ) : null;
}

/** The rows of a table body that are in sight: [from, to). */
function useVisible(body, total) {
  const [span, setSpan] = useState([0, 40]);
  useEffect(() => {
    const look = () => {
      const next = windowOf(total, ROW_HEIGHT, body.current?.getBoundingClientRect().top ?? 0, window.innerHeight);
      setSpan((last) => (last[0] === next[0] && last[1] === next[1] ? last : next));
    };
    look();
    window.addEventListener("scroll", look, { passive: true });
    window.addEventListener("resize", look);
    return () => {
      window.removeEventListener("scroll", look);
      window.removeEventListener("resize", look);
    };
  }, [total]);
  return [Math.min(span[0], total), Math.min(span[1], total)];
}

/** Arrow keys go from board to board. */
function moveBetweenRows(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const row = event.target.closest("tr");
  if (step === undefined || row === null) return;
  const next = step === 1 ? row.nextElementSibling : row.previousElementSibling;
  const link = next?.querySelector("a");
  if (link) {
    event.preventDefault();
    link.focus();
    link.scrollIntoView({ block: "nearest" });
  }
}

/** A row is drawn again only where something in it has changed. */
class BoardRow extends Component {
  shouldComponentUpdate(next) {
    return Object.keys(next).some((name) => next[name] !== this.props[name]);
  }

  render({ index, device, level, health, rate, left, connected, operator, act }) {
    return (
      <tr aria-rowindex={index} class={`row-${device.status}`}>
        <th scope="row" class="serial">
          <a href={address("board", device.serial)}>{device.serial}</a>
        </th>
        <td class="state">
          <State status={device.status} />
        </td>
        <td class={`health ${level}`} title={health}>
          {health}
        </td>
        <td class="client" title={device.client ?? ""}>
          {device.client}
        </td>
        <td class="kind">{device.kind}</td>
        <td class="worker" title={device.worker}>
          {device.worker}
        </td>
        <td class="firmware">{firmware(device)}</td>
        <td class="left">{left}</td>
        <td class="rate">{number(rate)}</td>
        <td class="act">
          <Actions actions={boardActions(device)} act={act} connected={connected} operator={operator} />
        </td>
      </tr>
    );
  }
}
