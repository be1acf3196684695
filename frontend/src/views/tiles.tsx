import type { ComponentChildren } from "preact";

import { usePage } from "../page.ts";
import { addressOf } from "../pages.ts";
import { number } from "../wording.ts";
import { Elapsed } from "./small.tsx";

/** The farm at a glance; each figure leads to what it counts. */
export function Tiles() {
  const { live } = usePage();
  const { inUse, total, waiting, waitingSince, online, workers, unhealthy, rate } = live.figures.value;
  const wait =
    waitingSince === null ? (
      "nobody waits"
    ) : (
      <>
        the longest for <Elapsed since={waitingSince} />
      </>
    );
  return (
    <nav class="tiles" aria-label="The farm at a glance">
      <Tile
        href={addressOf("boards", null, { filter: "-client:" })}
        label="Boards in use"
        value={`${inUse} / ${total}`}
      >
        <progress value={total === 0 ? 0 : inUse / total} max="1" aria-hidden="true" />
      </Tile>
      <Tile href={addressOf("queue")} label="Waiting" value={waiting} level={waiting > 0 ? "warn" : ""}>
        <span class="more">{wait}</span>
      </Tile>
      <Tile
        href={addressOf("workers")}
        label="Workers"
        value={`${online} / ${workers}`}
        level={online < workers ? "warn" : ""}
      >
        <span class="more">online</span>
      </Tile>
      <Tile
        href={addressOf("boards", null, { filter: "state:broken,offline" })}
        label="Unhealthy"
        value={unhealthy}
        level={unhealthy > 0 ? "bad" : ""}
      >
        <span class="more">{unhealthy === 0 ? "no board is broken or offline" : "broken or offline"}</span>
      </Tile>
      <Tile href={addressOf("plots")} label="Evaluations/s" value={number(rate)}>
        <span class="more">over the last 5 s</span>
      </Tile>
    </nav>
  );
}

interface TileProps {
  href: string;
  label: string;
  value: string | number;
  level?: "" | "warn" | "bad";
  children: ComponentChildren;
}

function Tile({ href, label, value, level = "", children }: TileProps) {
  return (
    <a class={`tile ${level}`} href={href}>
      <span class="label">{label}</span>
      <span class="value">{value}</span>
      {children}
    </a>
  );
}
