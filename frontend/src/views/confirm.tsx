import type { Action } from "../actions.ts";
import { usePage } from "../page.ts";
import { Dialog } from "./dialog.tsx";

/** Asks before an action; at first, Enter and Escape both cancel. */
export function ConfirmDialog({ action }: { action: Action }) {
  const { live, operations } = usePage();
  const cancel = () => operations.cancel();
  return (
    <Dialog title={action.question} close={cancel}>
      <p>{action.consequence}</p>
      <div class="choices">
        <button type="button" autofocus onClick={cancel}>
          Cancel
        </button>
        <button type="button" class="danger" disabled={!live.connected.value} onClick={() => operations.confirm()}>
          {action.about}
        </button>
      </div>
    </Dialog>
  );
}
