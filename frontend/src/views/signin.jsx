import { useState } from "preact/hooks";

import { Dialog } from "./dialog.jsx";

/** Asks for a token, and says what the farm answers. */
export function SignInDialog({ live, close }) {
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    const token = new FormData(event.currentTarget).get("token").trim();
    setBusy(true);
    try {
      await live.signIn(token);
      close();
    } catch (error) {
      setProblem(`${error.name}: ${error.message}`);
      setBusy(false);
    }
  };
  return (
    <Dialog title="Sign in with a token" close={close}>
      <form onSubmit={submit}>
        <p>
          An operator's token lets you end reservations, reboot boards and drain workers. The farm's own is in the file{" "}
          <code>operator.token</code> of its data directory. It stays in this tab and is gone when you close it.
        </p>
        <label>
          Token
          <input name="token" type="password" required autocomplete="off" spellcheck={false} autofocus />
        </label>
        <p class="problem" role="alert">
          {problem}
        </p>
        <div class="choices">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" class="primary" disabled={busy}>
            Sign in
          </button>
        </div>
      </form>
    </Dialog>
  );
}
