import { useState } from "preact/hooks";

import { address } from "../route.js";
import { clockTime } from "../wording.js";

const LEVELS = ["debug", "info", "warn", "error", "critical"];
/** Lines that are drawn; the filters look at all that are kept. */
const SHOWN = 200;

/** What happened, the latest first. */
export function EventsPage({ farm, now }) {
  const [level, setLevel] = useState("info");
  const [board, setBoard] = useState("");
  const [client, setClient] = useState("");
  const [paused, setPaused] = useState(null);
  const lines = (paused ?? farm.lines).filter(
    (line) =>
      LEVELS.indexOf(line.level) >= LEVELS.indexOf(level) &&
      (board === "" || (line.serial ?? "").toLowerCase().includes(board.toLowerCase())) &&
      (client === "" || (line.client ?? "").toLowerCase().includes(client.toLowerCase())),
  );
  const behind = paused === null ? 0 : Math.max(0, farm.lines.length - paused.length);
  return (
    <section>
      <h1 tabIndex={-1}>Events</h1>
      <div class="controls">
        <label>
          Level
          <select value={level} onChange={(event) => setLevel(event.currentTarget.value)}>
            {LEVELS.slice(1).map((each) => (
              <option key={each} value={each}>
                {each === "critical" ? each : `${each} and above`}
              </option>
            ))}
          </select>
        </label>
        <label>
          Board
          <input value={board} spellcheck={false} onInput={(event) => setBoard(event.currentTarget.value)} />
        </label>
        <label>
          Client
          <input value={client} spellcheck={false} onInput={(event) => setClient(event.currentTarget.value)} />
        </label>
        <button
          type="button"
          aria-pressed={paused !== null}
          onClick={() => setPaused(paused === null ? [...farm.lines] : null)}
        >
          {paused === null ? "Pause" : `Paused${behind > 0 ? `, ${behind} more` : ""}: go on`}
        </button>
      </div>
      <Lines lines={lines.slice(-SHOWN).reverse()} now={now} label="Events" />
      {lines.length > SHOWN && <p class="quiet">The last {SHOWN} of {lines.length} lines.</p>}
    </section>
  );
}

/** Lines of the journal as a table. */
export function Lines({ lines, now, label }) {
  if (lines.length === 0) return <p class="quiet">Nothing has happened.</p>;
  return (
    <div class="wide" tabIndex={0} role="region" aria-label={label}>
      <table class="lines">
        <thead>
          <tr>
            {["Time", "Level", "Board", "Worker", "What happened"].map((head) => (
              <th key={head} scope="col">
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {lines.map((line) => (
            <tr key={line} class={`level-${line.level}`}>
              <td class="time">{clockTime(line.time, now)}</td>
              <td class="level">{line.level}</td>
              <td>{line.serial !== null && <a href={address("board", line.serial)}>{line.serial}</a>}</td>
              <td>{line.worker}</td>
              <td class="long">{line.text}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
