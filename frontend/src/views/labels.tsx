import { useSignal } from "@preact/signals";

import { labelChanges, labelLines, labelsLeft } from "../labels.ts";
import { farmError } from "../link.ts";
import { usePage } from "../page.ts";
import type { BoardRecord, Labels } from "../records.ts";

/** Edits the labels of a board; for operators. */
export function LabelForm({ board }: { board: BoardRecord }) {
  const { live, operations } = usePage();
  const editing = useSignal(false);
  const text = useSignal("");
  /** The labels that are being edited: others may change some meanwhile. */
  const before = useSignal<Labels | undefined>(undefined);
  const problem = useSignal("");
  if (!live.operator.value) return null;
  const begin = () => {
    before.value = board.labels;
    text.value = labelLines(board.labels);
    problem.value = "";
    editing.value = true;
  };
  const save = async (event: SubmitEvent) => {
    event.preventDefault();
    const found = labelChanges(text.value, before.value);
    if ("problem" in found) {
      problem.value = found.problem;
      return;
    }
    if (Object.keys(found.changes).length === 0) {
      editing.value = false;
      return;
    }
    try {
      const [changed] = await live.call<readonly BoardRecord[]>("label", {
        labels: found.changes,
        serials: [board.serial],
      });
      before.value = changed?.labels;
      const left = labelsLeft(found.changes, changed?.labels);
      if (left.length > 0) {
        problem.value = `${left.join(", ")}: this is a label of worker ${board.worker}, and so of all of its boards. Take it away there: icefarm label --worker.`;
        return;
      }
      operations.say("done", `Board ${board.serial}: its labels are changed.`);
      editing.value = false;
    } catch (failure) {
      problem.value = farmError(failure).message;
    }
  };
  if (!editing.value) {
    return (
      <button type="button" class="edit-labels" onClick={begin}>
        Edit labels
      </button>
    );
  }
  return (
    <form class="labels" aria-label={`Labels of board ${board.serial}`} onSubmit={save}>
      <label>
        Labels, each on a line as name=value
        <textarea
          rows={Math.max(3, text.value.split("\n").length + 1)}
          value={text.value}
          spellcheck={false}
          placeholder="lab=3"
          onInput={(event) => {
            text.value = event.currentTarget.value;
          }}
        />
      </label>
      <span class="choices">
        <button type="submit" disabled={!live.connected.value}>
          Save
        </button>
        <button
          type="button"
          onClick={() => {
            editing.value = false;
          }}
        >
          Cancel
        </button>
      </span>
      <span class="problem" role="alert">
        {problem.value}
      </span>
    </form>
  );
}
