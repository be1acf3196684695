import { download } from "../download.ts";
import { usePage } from "../page.ts";
import type { RunList, RunRecord } from "../records.ts";
import { runFileName, runFileUrl } from "../urls.ts";
import { dateAndTime, whole } from "../wording.ts";
import { REFRESH } from "./archive.ts";
import { usePast } from "./past.ts";
import { Moment } from "./small.tsx";
import { type Column, Table } from "./table.tsx";

/** Runs of an experiment that are listed, the last ones. */
const LISTED = 50;
/** Digits of a run's id that are shown; the command line takes as many. */
const DIGITS = 12;

/** The runs of an experiment, with the ids by which they are cited, and their files. */
export function Runs({ account, name }: { account: string; name: string }) {
  const { past } = usePast<RunList>("experiment_runs", { account, name, limit: LISTED }, REFRESH);
  if (past === null || past.runs.length === 0) return null;
  return (
    <>
      <h2>Runs</h2>
      {past.next !== null && <p class="quiet">The last {LISTED} of them.</p>}
      <Table label="Runs of the experiment" columns={COLUMNS} rows={past.runs} keyOf={({ number }) => number} />
    </>
  );
}

/** A link to a run's file. With a token, which a link can't carry, the page fetches the file. */
function RunFile({ run, id }: { run: RunRecord; id: string }) {
  const { live, operations } = usePage();
  const { ticket } = live.credentials.value;
  const url = runFileUrl(document.baseURI, id);
  const file = runFileName(id);
  if (run.dropped_at !== null) return <>dropped</>;
  return (
    <a
      href={url}
      download={file}
      onClick={(event) => {
        if (ticket === "") return;
        event.preventDefault();
        download(url, ticket, file).catch((failure) =>
          operations.say("failed", `Download: ${failure instanceof Error ? failure.message : failure}`),
        );
      }}
    >
      Download
    </a>
  );
}

function labelsOf({ labels }: RunRecord): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(", ");
}

const COLUMNS: readonly Column<RunRecord>[] = [
  {
    id: "run",
    label: "Run",
    priority: 0,
    mono: true,
    text: ({ id, number }) => (id ?? number).slice(0, DIGITS),
    draw: ({ id, number }) => <span title={id ?? `number ${number}`}>{(id ?? number).slice(0, DIGITS)}</span>,
  },
  { id: "state", label: "State", priority: 1, text: ({ state }) => state },
  { id: "labels", label: "Labels", priority: 3, grows: true, shrinks: 100, text: labelsOf },
  {
    id: "results",
    label: "Results",
    priority: 0,
    numeric: true,
    labelled: true,
    text: ({ id, results }) => (id === null ? "" : whole(results)),
  },
  {
    id: "failed",
    label: "Failures",
    priority: 2,
    numeric: true,
    labelled: true,
    text: ({ failed }) => (failed === 0 ? "" : whole(failed)),
  },
  {
    id: "begun",
    label: "Begun",
    priority: 2,
    text: ({ begun_at }) => dateAndTime(begun_at),
    draw: ({ begun_at }) => <Moment time={begun_at} />,
  },
  {
    id: "file",
    label: "File",
    priority: 0,
    text: ({ id, dropped_at }) => (id === null ? "" : dropped_at === null ? "Download" : "dropped"),
    draw: (run) => run.id !== null && <RunFile run={run} id={run.id} />,
  },
];
