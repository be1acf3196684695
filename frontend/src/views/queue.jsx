import { queueActions } from "../actions.js";
import { clockTime, duration } from "../wording.js";
import { Actions } from "./small.jsx";

/** Who waits for boards, for what, and why. */
export function QueuePage({ farm, now, connected, operator, act }) {
  const waiting = [...farm.queue.values()].sort((one, other) => one.place - other.place);
  return (
    <section>
      <h1 tabIndex={-1}>Queue</h1>
      {waiting.length === 0 ? (
        <p class="quiet">Nobody waits for boards.</p>
      ) : (
        <div class="wide" tabIndex={0} role="region" aria-label="Queue">
          <table>
            <thead>
              <tr>
                {["Place", "Client", "Wants", "Since", "Why it waits", "Actions"].map((label) => (
                  <th key={label} scope="col">
                    {label}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {waiting.map((each) => (
                <tr key={each.id}>
                  <td>{each.place}</td>
                  <th scope="row">{each.client}</th>
                  <td>{each.serials.length > 0 ? each.serials.join(", ") : `${each.amount} × ${each.kind}`}</td>
                  <td class="time">
                    {clockTime(each.since, now)} ({duration(now - each.since)})
                  </td>
                  <td class="long">{each.reason}</td>
                  <td>
                    <Actions actions={queueActions(each)} act={act} connected={connected} operator={operator} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
