// Time that passes when a test says so, for what the page does later.

interface Alarm {
  at: number;
  readonly every: number | null;
  readonly call: () => void;
}

/** Timers, and the time of day, in the place of Node.js's own from `start` to `stop`. */
export class TestClock {
  private readonly own = { setTimeout, setInterval, clearTimeout, clearInterval };
  private readonly now = Date.now;
  private readonly alarms = new Map<number, Alarm>();
  private time = 0;
  private made = 0;

  start(seconds: number): void {
    this.time = seconds * 1000;
    this.alarms.clear();
    const clear = (alarm: number) => this.alarms.delete(alarm);
    Object.assign(globalThis, {
      setTimeout: (call: () => void, wait = 0) => this.set(call, wait, null),
      setInterval: (call: () => void, wait: number) => this.set(call, wait, wait),
      clearTimeout: clear,
      clearInterval: clear,
    });
    Date.now = () => this.time;
  }

  stop(): void {
    Object.assign(globalThis, this.own);
    Date.now = this.now;
  }

  /** Let time pass. */
  pass(milliseconds: number): void {
    const until = this.time + milliseconds;
    for (let next = this.next(until); next !== undefined; next = this.next(until)) {
      const [number, alarm] = next;
      this.time = Math.max(this.time, alarm.at);
      if (alarm.every === null) this.alarms.delete(number);
      else alarm.at += alarm.every;
      alarm.call();
    }
    this.time = until;
  }

  private set(call: () => void, wait: number, every: number | null): number {
    this.made += 1;
    // At least a millisecond, as with Node.js's own: one that sets itself again and again comes to an end.
    this.alarms.set(this.made, { at: this.time + Math.max(1, wait), every, call });
    return this.made;
  }

  /** The first that is due by then. */
  private next(until: number): [number, Alarm] | undefined {
    const due = [...this.alarms].filter(([, { at }]) => at <= until);
    return due.sort(([, one], [, other]) => one.at - other.at)[0];
  }
}
