import { Dialog } from "./dialog.jsx";

/** Asks before anything is done; cancelling is what Enter and Escape do at first. */
export function ConfirmDialog({ action, connected, confirm, cancel }) {
  return (
    <Dialog title={action.question} close={cancel}>
      <p>{action.consequence}</p>
      <div class="choices">
        <button type="button" autofocus onClick={cancel}>
          Cancel
        </button>
        <button type="button" class="danger" disabled={!connected} onClick={confirm}>
          {action.about}
        </button>
      </div>
    </Dialog>
  );
}
