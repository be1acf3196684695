// Pure: what is known of the farm, and what each message changes. Records are replaced, never changed in place, so that
// whoever draws them can tell by identity whether they are the same.

/** Lines of the journal that are kept in the page. */
export const KEPT_LINES = 1000;
/** Seconds within which two lines that say the same are the same. */
const TWINS = 3;

const KEYS = { worker: "name", device: "serial", reservation: "id", queue: "id" };
const PLURALS = { worker: "workers", device: "devices", reservation: "reservations", queue: "queue" };

export class Farm {
  constructor() {
    this.workers = new Map();
    this.devices = new Map();
    this.reservations = new Map();
    this.queue = new Map();
    /** By serial: {rate, load_ms, window_ms, temperature_c, evaluations, failures, retries, time}. */
    this.readings = new Map();
    /** Newest last: {time, level, topic, worker, serial, client, text}. */
    this.lines = [];
    this.known = false;
    this.about = {};
    /** Seconds that the farm's clock is ahead of this one's. */
    this.ahead = 0;
  }

  /** Take in a whole snapshot, at `now` (seconds). */
  replace(snapshot, now) {
    for (const [topic, plural] of Object.entries(PLURALS)) {
      this[plural] = new Map(snapshot[plural].map((record) => [record[KEYS[topic]], record]));
    }
    this.readings = new Map(Object.entries(snapshot.readings ?? {}));
    this.about = snapshot.farm;
    this.ahead = snapshot.time - now;
    this.known = true;
  }

  /** Take in one event, at `now` (seconds). */
  apply(topic, record, now) {
    if (topic === "reading") {
      for (const [serial, reading] of Object.entries(record.boards)) this.readings.set(serial, reading);
    } else if (topic === "deleted") {
      for (const serial of record.serials) this._forget(serial, now);
    } else if (topic === "log") {
      this.note(logLine(record));
    } else if (topic in KEYS) {
      this._replaceOne(topic, record, now);
    }
  }

  /** Add a line to the journal. */
  note(line) {
    this.lines.push(line);
    if (this.lines.length > KEPT_LINES) this.lines.splice(0, this.lines.length - KEPT_LINES);
  }

  _replaceOne(topic, record, now) {
    const table = this[PLURALS[topic]];
    const key = record[KEYS[topic]];
    const before = table.get(key);
    const over = (topic === "reservation" && record.ended_at !== null) || (topic === "queue" && record.place === 0);
    if (over) table.delete(key);
    else table.set(key, record);
    const line = changeLine(topic, record, before, now + this.ahead);
    if (line !== null) this.note(line);
  }

  _forget(serial, now) {
    const device = this.devices.get(serial);
    this.devices.delete(serial);
    this.readings.delete(serial);
    if (device !== undefined) {
      const about = { topic: "device", worker: device.worker, serial, client: null };
      this.note({ ...about, time: now + this.ahead, level: "info", text: "deleted" });
    }
  }
}

/**
 * The journal as the farm kept it, with the lines that came in the meantime and that it does not have: it keeps none of
 * workers and the queue.
 */
export function mergedLines(past, live) {
  const known = new Map();
  for (const line of past) known.set(`${line.serial} ${line.text}`, line.time);
  const newest = past.reduce((time, line) => Math.max(time, line.time), 0);
  const news = live.filter((line) => {
    if (line.topic === "worker" || line.topic === "queue") return true;
    const twin = known.get(`${line.serial} ${line.text}`);
    return line.time > newest && (twin === undefined || line.time - twin > TWINS);
  });
  return [...past, ...news].sort((one, other) => one.time - other.time).slice(-KEPT_LINES);
}

/** A worker's own line as one of the journal. */
export function logLine({ time, level, worker, serial, message }) {
  return { time, level, topic: "log", worker, serial: serial ?? null, client: null, text: message };
}

/** A board's state, as kept by the farm, as a line of the journal. */
export function stateLine({ time, serial, worker, status, reason, client }) {
  const level = status === "broken" ? "error" : status === "offline" ? "warn" : "info";
  const text = [status, client && `for ${client}`, reason && `(${reason})`].filter(Boolean).join(" ");
  return { time, level, topic: "device", worker, serial, client: client ?? null, text };
}

/** The lines of a reservation: its beginning and, where it is over, its end. */
export function reservationLines({ serial, worker, client, kind, created_at, ended_at, end_reason }) {
  const about = { level: "info", topic: "reservation", worker, serial, client };
  const lines = [{ ...about, time: created_at, text: `reserved as ${kind} by ${client}` }];
  if (ended_at !== null) lines.push({ ...about, time: ended_at, text: `reservation of ${client} ended: ${end_reason}` });
  return lines;
}

/** What a changed record means as a line of the journal; null where it is no news. */
export function changeLine(topic, record, before, time) {
  if (topic === "device") {
    const same = before !== undefined && before.status === record.status && before.reason === record.reason;
    return same ? null : stateLine({ ...record, time });
  }
  if (topic === "reservation") {
    if (record.ended_at !== null) return reservationLines(record)[1];
    return before === undefined ? reservationLines(record)[0] : null;
  }
  if (topic === "worker") return workerLine(record, before, time);
  return queueLine(record, before, time);
}

function workerLine(record, before, time) {
  const same = before !== undefined && before.status === record.status && before.draining === record.draining;
  if (same) return null;
  const text = record.status + (record.draining ? ", draining" : "");
  const level = record.status === "online" ? "info" : "warn";
  return { time, level, topic: "worker", worker: record.name, serial: null, client: null, text: `worker ${text}` };
}

function queueLine(record, before, time) {
  const about = { time, level: "info", topic: "queue", worker: null, serial: null, client: record.client };
  if (record.place === 0) return before === undefined ? null : { ...about, text: `${record.client} waits no longer` };
  if (before !== undefined) return null;
  return { ...about, text: `${record.client} waits for ${record.amount} as ${record.kind}: ${record.reason}` };
}

/** The figures at the top of the page, at `now` (seconds, the farm's). */
export function figures(farm, now) {
  const states = {};
  let rate = 0;
  let unhealthy = 0;
  for (const device of farm.devices.values()) {
    states[device.status] = (states[device.status] ?? 0) + 1;
    if (device.status === "broken" || device.status === "offline") unhealthy += 1;
    rate += farm.readings.get(device.serial)?.rate ?? 0;
  }
  const since = [...farm.queue.values()].map((waiting) => waiting.since);
  const workers = [...farm.workers.values()];
  return {
    total: farm.devices.size,
    inUse: [...farm.devices.values()].filter((device) => device.client !== null).length,
    states,
    waiting: farm.queue.size,
    longestWait: since.length === 0 ? null : now - Math.min(...since),
    workers: workers.length,
    online: workers.filter((worker) => worker.status === "online").length,
    unhealthy,
    rate,
  };
}
