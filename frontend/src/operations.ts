// What the reader asks of the farm: each action is confirmed first, and its outcome is said.

import { signal } from "@preact/signals";

import type { Action } from "./actions.ts";
import { farmError, type Timers } from "./link.ts";
import type { Live } from "./live.ts";

/** Milliseconds that a message of success stays; one of failure stays until it is closed. */
const MESSAGE_TIME = 8000;
/** Messages that are shown at most. */
const SHOWN = 5;

export interface Message {
  readonly level: "done" | "failed";
  readonly text: string;
  readonly number: number;
}

export class Operations {
  /** The action that waits to be confirmed. */
  readonly asked = signal<Action | null>(null);
  readonly signingIn = signal(false);
  readonly messages = signal<readonly Message[]>([]);

  private readonly live: Live;
  private readonly timers: Timers;
  private number = 0;

  constructor(live: Live, timers: Timers = window) {
    this.live = live;
    this.timers = timers;
  }

  /** Ask the reader to confirm an action. */
  ask(action: Action): void {
    this.asked.value = action;
  }

  cancel(): void {
    this.asked.value = null;
  }

  /** Carry out what was asked. */
  async confirm(): Promise<void> {
    const action = this.asked.value;
    this.asked.value = null;
    if (action === null) return;
    try {
      await this.live.call(action.procedure, action.fields);
      this.say("done", action.done);
    } catch (failure) {
      const { name, message } = farmError(failure);
      this.say("failed", `${action.about}: ${name}: ${message}`);
    }
  }

  close(number: number): void {
    this.messages.value = this.messages.value.filter((message) => message.number !== number);
  }

  /** Show a message; one of success goes by itself. */
  say(level: Message["level"], text: string): void {
    this.number += 1;
    const { number } = this;
    this.messages.value = [...this.messages.value.slice(1 - SHOWN), { level, text, number }];
    if (level === "done") this.timers.setTimeout(() => this.close(number), MESSAGE_TIME);
  }
}
