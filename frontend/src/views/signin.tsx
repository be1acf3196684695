import { useState } from "preact/hooks";

import { farmError } from "../link.ts";
import { usePage } from "../page.ts";
import { Dialog } from "./dialog.tsx";

/** What is shown on a farm that asks for a token. */
export function SignInPage({ reason }: { reason: string }) {
  const { operations } = usePage();
  // What follows is advice for the command line.
  const why = reason.split(";")[0] ?? "";
  const plain = why.endsWith("takes a token");
  return (
    <section class="empty">
      <h1 tabIndex={-1}>Sign in</h1>
      <p>This farm asks for a token{plain ? "" : `: ${why}`}. Whoever runs the farm gives you one.</p>
      <IssuerButton />
      <button
        type="button"
        class="primary"
        onClick={() => {
          operations.signingIn.value = true;
        }}
      >
        Sign in with a token
      </button>
    </section>
  );
}

/** Leads to the lab's own sign-in, if the farm has one. */
function IssuerButton() {
  const { issuer } = usePage();
  const [problem, setProblem] = useState<string | null>(null);
  const offer = issuer.offer.value;
  if (offer === null) return null;
  const go = () => issuer.go().catch((failure) => setProblem(farmError(failure).message));
  return (
    <p>
      <button type="button" class="primary" disabled={!issuer.possible} onClick={go}>
        Sign in at {new URL(offer.issuer).host}
      </button>
      {!issuer.possible && <span> This takes an https:// page, and an issuer that the farm can reach.</span>}
      <span class="problem" role="alert">
        {problem}
      </span>
    </p>
  );
}

/** Asks for a token, and says what the farm answers. */
export function SignInDialog() {
  const { live, operations } = usePage();
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const close = () => {
    operations.signingIn.value = false;
  };
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const token = String(new FormData(event.currentTarget as HTMLFormElement).get("token") ?? "").trim();
    setBusy(true);
    try {
      await live.signIn(token);
      close();
    } catch (failure) {
      const { name, message } = farmError(failure);
      setProblem(`${name}: ${message}`);
      setBusy(false);
    }
  };
  return (
    <Dialog title="Sign in with a token" close={close}>
      <IssuerButton />
      <form onSubmit={submit}>
        <p>
          Your token lets you book boards, and see what is yours. An operator's lets you end reservations, reboot boards
          and drain workers. The farm's own token is in the file <code>operator.token</code> of its data directory. A
          token stays in this tab and is gone when you close it.
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
