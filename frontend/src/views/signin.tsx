import { useState } from "preact/hooks";

import { type FarmError, farmError } from "../link.ts";
import { usePage } from "../page.ts";
import { Dialog } from "./dialog.tsx";

/** What is shown where the farm has refused a sign-in. */
export function SignInPage({ refused }: { refused: FarmError }) {
  const { live, operations } = usePage();
  return (
    <section class="empty">
      <h1 tabIndex={-1}>Sign in</h1>
      <p>{whyRefused(refused, live.credentials.value.ticket !== "")} Whoever runs the farm gives you one.</p>
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

/** Why the farm asks for a token, by the name of its error: its words have advice for the command line. */
function whyRefused({ name, message }: FarmError, sentToken: boolean): string {
  if (name !== "not_authorized") return `This farm does not admit this page: ${message}. Try another token.`;
  return sentToken
    ? "This farm does not take the token of this tab: it has expired, was revoked, or is for something else."
    : "This farm asks for a token.";
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
