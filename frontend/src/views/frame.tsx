import { usePage } from "../page.ts";
import { addressOf, PAGES, sectionOf } from "../pages.ts";
import { duration } from "../wording.ts";
import { AccountLink } from "./small.tsx";

/** The top of each page: its parts, and who the reader is. */
export function Header() {
  const page = usePage();
  const { live, navigation, operations } = page;
  const section = sectionOf(navigation.address.value);
  const waiting = live.queue.value.size;
  return (
    <header>
      <a class="brand" href={addressOf("boards")}>
        <img src="./icon.svg" alt="" width="24" height="24" /> icefarm
      </a>
      <nav aria-label="Pages">
        {PAGES.map(({ page: name, label }) => (
          <a key={name} href={addressOf(name)} aria-current={section === name ? "page" : undefined}>
            {label}
            {name === "queue" && waiting > 0 && <span class="badge">{waiting}</span>}
          </a>
        ))}
      </nav>
      <div class="who">
        <Role />
        {live.credentials.value.ticket === "" ? (
          <button
            type="button"
            onClick={() => {
              operations.signingIn.value = true;
            }}
          >
            Sign in
          </button>
        ) : (
          <button type="button" onClick={() => page.signOut()}>
            Sign out
          </button>
        )}
      </div>
    </header>
  );
}

/** An operator, an account that has signed in, or a reader without a token. */
function Role() {
  const { live } = usePage();
  const account = live.account.value;
  const signedIn = account === "" ? "watching" : <AccountLink name={account} />;
  return <span class="role">{live.operator.value ? "operator" : signedIn}</span>;
}

/** Says that what is shown is old; empty while the link stands, so that screen readers announce each change. */
export function Banner() {
  const { live } = usePage();
  const { live: connected, reason, refused } = live.link.value;
  // Before the first sign-in nothing is old: the page that asks for a token says what there is to say.
  const shown = !connected && reason !== null && (refused === null || live.known.value);
  return (
    <div role="alert" class={shown ? "banner" : "banner none"}>
      {shown && (
        <>
          <strong>Not connected</strong> to the farm: {reason}. {refused === null && <Away />}
          {live.known.value && " What is shown is old; actions are off."}
        </>
      )}
    </div>
  );
}

function Away() {
  const { live } = usePage();
  return <span aria-hidden="true">For {duration(live.clock.value - live.lostAt.value)}; trying again.</span>;
}

/** What became of actions. */
export function Messages() {
  const { operations } = usePage();
  return (
    <div class="messages" role="status">
      {operations.messages.value.map(({ number, level, text }) => (
        <div key={number} class={`message ${level}`} role={level === "failed" ? "alert" : undefined}>
          <span>{text}</span>
          <button type="button" aria-label="Close this message" onClick={() => operations.close(number)}>
            ×
          </button>
        </div>
      ))}
    </div>
  );
}
