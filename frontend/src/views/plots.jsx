import { useState } from "preact/hooks";

import { STATE_ORDER, STATES } from "../wording.js";
import { usePast } from "./past.jsx";
import { Plot } from "./plot.jsx";

const SPANS = [
  { seconds: 900, label: "15 min" },
  { seconds: 3600, label: "1 h" },
  { seconds: 6 * 3600, label: "6 h" },
  { seconds: 86400, label: "24 h" },
];

/** The farm over time, from what control keeps. */
export function PlotsPage({ live, connected }) {
  const [seconds, setSeconds] = useState(3600);
  const { past, problem } = usePast(live, connected, "history", { seconds });
  return (
    <section>
      <h1 tabIndex={-1}>Plots</h1>
      <div class="controls" role="group" aria-label="Time shown">
        {SPANS.map((span) => (
          <button
            key={span.seconds}
            type="button"
            aria-pressed={seconds === span.seconds}
            onClick={() => setSeconds(span.seconds)}
          >
            {span.label}
          </button>
        ))}
      </div>
      {problem !== null && <p class="problem">{problem}</p>}
      {past !== null && <Plots past={past} span={[past.until - seconds, past.until]} />}
    </section>
  );
}

function Plots({ past, span }) {
  const { time, states, rate, failures, waiting, longest_wait: wait } = past;
  const byState = STATE_ORDER.map((status) => ({ label: STATES[status].word, values: states[status], color: status }));
  return (
    <div class="plots">
      <Plot title="Boards by state" times={time} span={span} stacked series={[...byState].reverse()} />
      <Plot title="Evaluations" unit="1/s" times={time} span={span} series={[{ label: "evaluations", values: rate, color: "accent" }]} />
      <Plot title="Requests that wait" times={time} span={span} series={[{ label: "waiting", values: waiting, color: "flashing" }]} />
      <Plot title="Longest wait" unit="s" times={time} span={span} series={[{ label: "wait", values: wait, color: "testing" }]} />
      <Plot title="Failed evaluations" unit="1/s" times={time} span={span} series={[{ label: "failures", values: failures, color: "broken" }]} />
    </div>
  );
}
