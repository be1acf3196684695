import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";

import { usePage } from "../page.ts";
import { type Span, spanOf } from "../plotting.ts";
import type { FarmHistory } from "../records.ts";
import { STATE_ORDER, STATES } from "../wording.ts";
import { usePast } from "./past.ts";
import { Plot } from "./plot.tsx";

const SPANS = [
  { seconds: 900, label: "15 min" },
  { seconds: 3600, label: "1 h" },
  { seconds: 6 * 3600, label: "6 h" },
  { seconds: 86400, label: "24 h" },
];
const USUAL = 3600;
const LONGEST = 86400;

/** The part of time that the reader has chosen in the address: the last so many seconds, or what a zoom has left. */
export function useSpan(usual: number): {
  seconds: number;
  zoomed: Span | null;
  zoom: (span: Span) => void;
  unzoom: () => void;
} {
  const { navigation } = usePage();
  const chosen = Number(navigation.chosen("span"));
  const [from, to] = [Number(navigation.chosen("from")), Number(navigation.chosen("to"))];
  return {
    seconds: chosen > 0 && chosen <= LONGEST ? chosen : usual,
    zoomed: from > 0 && to > from ? [from, to] : null,
    zoom: ([begin, end]) => navigation.choose({ from: begin.toFixed(1), to: end.toFixed(1) }, "step"),
    unzoom: () => navigation.choose({ from: "", to: "" }, "step"),
  };
}

/** Says how to zoom, and leads back. */
export function ZoomHint({ zoomed, unzoom }: { zoomed: Span | null; unzoom: () => void }): ComponentChildren {
  if (zoomed === null) return <span class="quiet hint">Drag over a plot to zoom in.</span>;
  return (
    <button type="button" onClick={unzoom}>
      Zoom out
    </button>
  );
}

/** The farm over time, from what control keeps. */
export function PlotsPage() {
  const { live, navigation } = usePage();
  const { seconds, zoomed, zoom, unzoom } = useSpan(USUAL);
  const asked = zoomed === null ? seconds : Math.min(LONGEST, Math.max(60, Math.ceil(live.now.peek() - zoomed[0])));
  const { past, problem } = usePast<FarmHistory>("history", { seconds: asked });
  return (
    <section>
      <h1 tabIndex={-1}>Plots</h1>
      {/* biome-ignore lint/a11y/useSemanticElements: these are buttons, not fields of a form */}
      <div class="controls" role="group" aria-label="Time shown">
        {SPANS.map((span) => (
          <button
            key={span.seconds}
            type="button"
            aria-pressed={zoomed === null && seconds === span.seconds}
            onClick={() =>
              navigation.choose({ span: span.seconds === USUAL ? "" : String(span.seconds), from: "", to: "" }, "step")
            }
          >
            {span.label}
          </button>
        ))}
        <ZoomHint zoomed={zoomed} unzoom={unzoom} />
      </div>
      {problem !== null && <p class="problem">{problem}</p>}
      {past !== null && <Plots past={past} span={zoomed ?? spanOf(past.time, past.until, seconds)} zoom={zoom} />}
    </section>
  );
}

function Plots({ past, span, zoom }: { past: FarmHistory; span: Span; zoom: (span: Span) => void }) {
  const hovered = useSignal<number | null>(null);
  const { time: times, states, rate, failures, waiting, longest_wait: wait } = past;
  const byState = STATE_ORDER.map((status) => ({ label: STATES[status].word, values: states[status], color: status }));
  const common = { times, span, hovered, zoom };
  return (
    <div class="plots">
      <Plot {...common} title="Boards by state" unit="" isStacked series={[...byState].reverse()} />
      <Plot
        {...common}
        title="Evaluations/s"
        unit=""
        series={[{ label: "evaluations", values: rate, color: "accent" }]}
      />
      <Plot
        {...common}
        title="Waiting requests"
        unit=""
        whole
        series={[{ label: "waiting", values: waiting, color: "flashing" }]}
      />
      <Plot {...common} title="Longest wait" unit="s" series={[{ label: "wait", values: wait, color: "testing" }]} />
      <Plot
        {...common}
        title="Failed evaluations/s"
        unit=""
        series={[{ label: "failures", values: failures, color: "broken" }]}
      />
    </div>
  );
}
