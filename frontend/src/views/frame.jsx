import { PAGES, address } from "../route.js";
import { duration } from "../wording.js";

/** The top of each page: where one can go, and who one is. */
export function Header({ live, route, signIn }) {
  const { operator, credentials, farm } = live;
  return (
    <header>
      <a class="brand" href={address("boards")}>
        <img src="/icon.svg" alt="" width="24" height="24" /> icefarm
      </a>
      <nav aria-label="Pages">
        {PAGES.map(({ page, label }) => (
          <a key={page} href={address(page)} aria-current={route.page === page ? "page" : undefined}>
            {label}
            {page === "queue" && farm.queue.size > 0 && <span class="badge">{farm.queue.size}</span>}
          </a>
        ))}
      </nav>
      <div class="who">
        <span class="role">{operator ? "operator" : "watching"}</span>
        {credentials.ticket === "" ? (
          <button type="button" onClick={signIn}>
            Sign in
          </button>
        ) : (
          <button type="button" onClick={() => live.signOut()}>
            Sign out
          </button>
        )}
      </div>
    </header>
  );
}

/** Says that what is shown is old; empty while the link stands, so that screen readers hear of each change. */
export function Banner({ state, known }) {
  const away = duration(Date.now() / 1000 - state.since);
  return (
    <div role="alert" class={state.live || state.reason === null ? "banner none" : "banner"}>
      {!state.live && state.reason !== null && (
        <>
          <strong>Not connected</strong> to the farm: {state.reason}.{" "}
          {state.refused === null && <span aria-hidden="true">For {away}; trying again.</span>}
          {known && " What is shown is old; actions are off."}
        </>
      )}
    </div>
  );
}

/** What became of actions. */
export function Messages({ messages, close }) {
  return (
    <div class="messages" role="status">
      {messages.map(({ number, level, text }) => (
        <div key={number} class={`message ${level}`} role={level === "failed" ? "alert" : undefined}>
          <span>{text}</span>
          <button type="button" aria-label="Close this message" onClick={() => close(number)}>
            ×
          </button>
        </div>
      ))}
    </div>
  );
}
