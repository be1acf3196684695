import { boardActions } from "../actions.js";
import { logLine, stateLine } from "../farm.js";
import { address } from "../route.js";
import { stretches, totals } from "../timeline.js";
import { clockTime, count, duration, firmware, health, number, STATE_ORDER, STATES } from "../wording.js";
import { Lines } from "./events.jsx";
import { usePast } from "./past.jsx";
import { Plot } from "./plot.jsx";
import { Actions, State } from "./small.jsx";

/** Seconds that plots show at least. */
const SHORTEST_SPAN = 900;

/** One board: how it is, and what it did over the last 24 hours. */
export function BoardPage({ serial, farm, now, connected, operator, act, live }) {
  const device = farm.devices.get(serial);
  const { past, problem } = usePast(live, connected, "device_history", { serial });
  return (
    <section>
      <p class="back">
        <a href={address("boards")}>All boards</a>
      </p>
      <h1 tabIndex={-1}>Board {serial}</h1>
      {device === undefined ? (
        <p class="problem">The farm has no board {serial} any more.</p>
      ) : (
        <>
          <Facts device={device} reading={farm.readings.get(serial)} now={now} />
          <Actions actions={boardActions(device)} act={act} connected={connected} operator={operator} />
        </>
      )}
      {problem !== null && <p class="problem">{problem}</p>}
      {past !== null && <Past past={past} worker={device?.worker ?? null} serial={serial} now={now} />}
    </section>
  );
}

function Facts({ device, reading, now }) {
  const facts = [
    ["State", <State key="state" status={device.status} />],
    ["Health", health(device, reading).word],
    ["Reason", device.reason],
    ["Worker", device.worker],
    ["Client", device.client],
    ["Kind", device.kind],
    ["Time left", device.expires_at === null ? null : `${duration(device.expires_at - now)} (until ${clockTime(device.expires_at, now)})`],
    ["Firmware", firmware(device)],
    ["USB", device.usb_path],
    ["Evaluations", `${number(Math.max(device.evaluations, reading?.evaluations ?? 0), 9)} since its worker started`],
    ["Failures", count(Math.max(device.failures, reading?.failures ?? 0), "evaluation")],
    ["Retries", String(Math.max(device.retries, reading?.retries ?? 0))],
    ["Evaluations/s", number(reading?.rate ?? 0)],
    ["Load", reading?.load_ms == null ? null : `${number(reading.load_ms)} ms`],
    ["Window", reading?.window_ms == null ? null : `${number(reading.window_ms)} ms`],
    ["Temperature", reading?.temperature_c == null ? null : `${number(reading.temperature_c)} °C`],
  ];
  return (
    <dl class="facts">
      {facts
        .filter(([, value]) => value !== null && value !== "")
        .map(([label, value]) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}

function Past({ past, worker, serial, now }) {
  const { samples } = past;
  const lines = [
    ...past.states.map((state) => stateLine({ ...state, worker, serial })),
    ...past.log.map(logLine),
  ].sort((one, other) => other.time - one.time);
  const first = samples.time[0] ?? past.time;
  const span = [Math.max(past.since, Math.min(first, past.time - SHORTEST_SPAN)), past.time];
  const plots = [
    ["Evaluations", "1/s", "rate", "accent"],
    ["Load time", "ms", "load_ms", "testing"],
    ["Window", "ms", "window_ms", "reserved"],
    ["Temperature", "°C", "temperature_c", "flashing"],
    ["Failures", "per minute", "failures", "broken"],
    ["Retries", "per minute", "retries", "offline"],
  ];
  return (
    <>
      <h2>The last {duration(past.time - beginning(past))}</h2>
      <Timeline states={past.states} since={beginning(past)} until={past.time} now={now} />
      {samples.time.length === 0 ? (
        <p class="quiet">It has not evaluated anything in this time: there is nothing to plot.</p>
      ) : (
        <div class="plots small">
          {plots.map(([title, unit, name, color]) => (
            <Plot key={name} title={title} unit={unit} times={samples.time} span={span} series={[{ label: title.toLowerCase(), values: samples[name], color }]} />
          ))}
        </div>
      )}
      <h2>What happened</h2>
      <Lines lines={lines.slice(0, 200)} now={now} label="What happened to this board" />
    </>
  );
}

/** When the timeline begins: a day ago, or when the board was first seen. */
function beginning({ states, since, time }) {
  return Math.max(since, Math.min(states[0]?.time ?? since, time - SHORTEST_SPAN));
}

function Timeline({ states, since, until, now }) {
  const found = stretches(states, since, until);
  const sums = totals(found);
  const words = STATE_ORDER.filter((status) => sums[status] > 0)
    .map((status) => `${STATES[status].word} ${duration(sums[status])}`)
    .join(", ");
  const at = (time) => (1000 * (time - since)) / (until - since);
  return (
    <figure class="timeline">
      <svg viewBox="0 0 1000 40" preserveAspectRatio="none" role="img" aria-label={`Since ${clockTime(since, now)}: ${words}`}>
        {found.map((each) => (
          <rect key={each.from} class={each.status} x={at(each.from)} y="0" width={Math.max(1, at(each.to) - at(each.from))} height="40">
            <title>
              {`${clockTime(each.from, now)} to ${clockTime(each.to, now)}: ${[each.status, each.client, each.reason].filter(Boolean).join(", ")}`}
            </title>
          </rect>
        ))}
      </svg>
      <div class="ends quiet" aria-hidden="true">
        <span>{clockTime(since, now)}</span>
        <span>{clockTime(until, now)}</span>
      </div>
      <figcaption>
        {STATE_ORDER.filter((status) => sums[status] > 0).map((status) => (
          <span key={status} class="share">
            <State status={status} /> {duration(sums[status])}
          </span>
        ))}
      </figcaption>
    </figure>
  );
}
