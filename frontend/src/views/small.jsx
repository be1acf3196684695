import { STATES } from "../wording.js";

/** A board's state: symbol, word and colour. */
export function State({ status }) {
  const { symbol, word } = STATES[status] ?? { symbol: "?", word: status };
  return (
    <span class={`state ${status}`}>
      <span class="symbol" aria-hidden="true">
        {symbol}
      </span>
      {word}
    </span>
  );
}

/** The buttons of what can be done with something. */
export function Actions({ actions, act, connected, operator }) {
  return (
    <span class="actions">
      {actions.map((action) => (
        <button
          key={action.id}
          type="button"
          disabled={!connected}
          aria-label={action.about}
          title={operator ? action.about : `${action.about} (takes an operator's token)`}
          onClick={() => act(action)}
        >
          {action.label}
        </button>
      ))}
    </span>
  );
}

/** A command that can be copied. */
export function Command({ text }) {
  return (
    <pre class="command" tabIndex={0}>
      <code>{text}</code>
    </pre>
  );
}
