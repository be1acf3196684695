import { workerActions } from "../actions.js";
import { clockTime, duration } from "../wording.js";
import { Actions, Command } from "./small.jsx";

/** The workers, and what their boards do. */
export function WorkersPage({ farm, now, connected, operator, act }) {
  const devices = [...farm.devices.values()];
  const workers = [...farm.workers.values()].sort((one, other) => one.name.localeCompare(other.name));
  return (
    <section>
      <h1 tabIndex={-1}>Workers</h1>
      {workers.length === 0 ? (
        <p class="quiet">No worker has joined yet.</p>
      ) : (
        <div class="wide" tabIndex={0} role="region" aria-label="Workers">
          <table>
            <thead>
              <tr>
                {["Worker", "State", "Boards in use", "Kinds", "Host", "icefarm", "Last seen", "Actions"].map((label) => (
                  <th key={label} scope="col">
                    {label}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {workers.map((worker) => (
                <tr key={worker.name}>
                  <th scope="row">{worker.name}</th>
                  <td>
                    <WorkerState worker={worker} />
                  </td>
                  <td>{inUse(worker, devices)}</td>
                  <td>{worker.kinds.map((kind) => [kind, worker.kind_versions?.[kind]].filter(Boolean).join(" ")).join(", ")}</td>
                  <td>{worker.host}</td>
                  <td>{worker.version}</td>
                  <td>{lastSeen(worker, now)}</td>
                  <td>
                    <Actions
                      actions={workerActions(worker, devices)}
                      act={act}
                      connected={connected}
                      operator={operator}
                    />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <h2>Add a worker</h2>
      <p>On the host that has the boards:</p>
      <Command text={`pip install icefarm\ntwistd -n icefarm-worker --control ${window.location.origin} --name NAME`} />
    </section>
  );
}

function WorkerState({ worker }) {
  const online = worker.status === "online";
  return (
    <span class={`state ${online ? (worker.draining ? "flashing" : "available") : "offline"}`}>
      <span class="symbol" aria-hidden="true">
        {online ? (worker.draining ? "◐" : "●") : "–"}
      </span>
      {worker.draining ? `${worker.status}, draining` : worker.status}
    </span>
  );
}

function inUse(worker, devices) {
  const own = devices.filter((device) => device.worker === worker.name);
  return `${own.filter((device) => device.client !== null).length} / ${own.length}`;
}

/** An online worker gives a sign of life every 5 s; its record is older than that. */
function lastSeen(worker, now) {
  if (worker.status === "online") return "now";
  return `${clockTime(worker.last_seen, now)} (${duration(now - worker.last_seen)} ago)`;
}
