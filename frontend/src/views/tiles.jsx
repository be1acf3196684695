import { figures } from "../farm.js";
import { duration, number } from "../wording.js";

/** The farm at a glance. */
export function Tiles({ farm, now }) {
  const { inUse, total, waiting, longestWait, online, workers, unhealthy, rate } = figures(farm, now);
  return (
    <dl class="tiles" aria-label="The farm at a glance">
      <Tile label="Boards in use" value={`${inUse} / ${total}`} meter={total === 0 ? 0 : inUse / total} />
      <Tile
        label="Waiting"
        value={waiting}
        more={longestWait === null ? "nobody waits" : `the longest for ${duration(longestWait)}`}
        level={waiting > 0 ? "warn" : ""}
      />
      <Tile label="Workers" value={`${online} / ${workers}`} more="online" level={online < workers ? "warn" : ""} />
      <Tile
        label="Unhealthy"
        value={unhealthy}
        more={unhealthy === 0 ? "no board is broken or offline" : "broken or offline"}
        level={unhealthy > 0 ? "bad" : ""}
      />
      <Tile label="Evaluations/s" value={number(rate)} more="over the last 5 s" />
    </dl>
  );
}

function Tile({ label, value, more, level = "", meter }) {
  return (
    <div class={`tile ${level}`}>
      <dt>{label}</dt>
      <dd>
        <span class="value">{value}</span>
        {more !== undefined && <span class="more">{more}</span>}
        {meter !== undefined && <progress value={meter} max="1" aria-hidden="true" />}
      </dd>
    </div>
  );
}
