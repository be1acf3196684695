// Shows the page, or one view of it, on a farm that says what a test wants.

import "../dom.ts";

import { type BoundFunctions, configure, fireEvent, getQueriesForElement, type queries } from "@testing-library/dom";
import { render } from "preact";
import { act } from "preact/test-utils";

import { App } from "../../src/app.tsx";
import { BATCH, Live } from "../../src/live.ts";
import { Page } from "../../src/page.ts";
import { TestClock } from "../clock.ts";
import { screen } from "../dom.ts";
import { type Answer, TestFarm } from "../testfarm.ts";

// Without a layout nothing is out of sight, and to look for what is takes the most time.
configure({ defaultHidden: true, getElementError: (message) => new Error((message ?? "").slice(0, 200)) });

// Compare elements by `assert.ok(one === other)`: of one that assert.equal finds wrong, Node.js prints all that hangs on
// it, which is the whole document, and takes gigabytes for that.

const clock = new TestClock();

export interface Scene {
  /** The address behind the '#'. */
  readonly at?: string;
  /** What the farm answers, by procedure. */
  readonly answers?: Readonly<Record<string, Answer>>;
  /** The reader's token is an operator's, or a client's of account "students"; without one, none is needed. */
  readonly as?: "operator" | "client";
  readonly width?: number;
}

type Queries = BoundFunctions<typeof queries>;

/** A page that is shown, its farm, and what a reader sees and does. */
export class Shown {
  readonly farm: TestFarm;
  readonly page: Page;
  readonly root: HTMLElement;
  readonly see: Queries;

  constructor(farm: TestFarm, page: Page, root: HTMLElement) {
    this.farm = farm;
    this.page = page;
    this.root = root;
    this.see = getQueriesForElement(root);
  }

  /** The text that is shown. */
  get text(): string {
    return textOf(this.root);
  }

  /** The rows of a table, each as the texts of its cells. */
  rows(label = ""): readonly (readonly string[])[] {
    const table = label === "" ? this.root.querySelector("table") : this.see.getByRole("table", { name: label });
    const rows = [...(table?.querySelectorAll("tbody tr:not(.gap)") ?? [])];
    return rows.map((row) => [...row.children].map(textOf));
  }

  /** The first texts of the rows of a table. */
  firsts(label = ""): readonly (string | undefined)[] {
    return this.rows(label).map(([first]) => first);
  }

  /** What each plot says in words. */
  plots(): readonly string[] {
    return [...this.root.querySelectorAll(".plot [role=img]")].map((plot) => plot.getAttribute("aria-label") ?? "");
  }

  button(name: string | RegExp): HTMLButtonElement {
    return this.see.getByRole<HTMLButtonElement>("button", { name });
  }

  /** Click something: a button by its name, or an element. */
  async click(what: string | RegExp | Element): Promise<void> {
    const target = what instanceof Element ? what : this.button(what);
    await this.when(() => (target as HTMLElement).click());
  }

  /** Type a text into what has this label. */
  async type(label: string | RegExp, value: string): Promise<void> {
    await this.when(() => fireEvent.input(this.see.getByLabelText(label), { target: { value } }));
  }

  /** Choose from the list that has this label. */
  async choose(label: string | RegExp, value: string): Promise<void> {
    await this.when(() => fireEvent.change(this.see.getByLabelText(label), { target: { value } }));
  }

  async submit(form: Element): Promise<void> {
    await this.when(() => fireEvent.submit(form));
  }

  async press(target: Element | Window, key: string): Promise<void> {
    await this.when(() => fireEvent.keyDown(target, { key }));
  }

  /** Confirm what the dialog asks. */
  async confirm(): Promise<void> {
    await this.click(this.see.getByRole("dialog").querySelector(".danger") as Element);
  }

  /** Let something happen, and let it be drawn, and what that begins. */
  async when(happens: () => unknown): Promise<void> {
    await act(async () => {
      happens();
      await settled();
    });
    // Effects of what was drawn run at the end of an act; theirs at the end of the next one.
    for (let turn = 0; turn < 2; turn += 1) await act(settled);
  }

  /** Let the farm tell of something, and the page draw it. */
  async tell(topic: string, fields: unknown): Promise<void> {
    this.farm.tell(topic, fields);
    await this.pass(BATCH);
  }

  /** Let time pass. */
  async pass(milliseconds: number): Promise<void> {
    for (let left = milliseconds; left > 0; left -= STEP) await this.when(() => clock.pass(Math.min(STEP, left)));
  }

  async follow(address: string): Promise<void> {
    await this.when(() => {
      window.history.pushState(null, "", `#/${address}`);
      window.dispatchEvent(Object.assign(new PopStateEvent("popstate"), { state: null }));
    });
  }

  end(): void {
    this.page.live.stop();
    this.page.navigation.stop();
    render(null, this.root);
    this.root.remove();
    clock.stop();
  }
}

/** Milliseconds that pass at a time: what is asked for is answered in between. */
const STEP = 250;

/** When pages are opened, by the clocks of the page and of the farm. */
export const NOW = 1000;

/** Open the page. */
export async function show({ at = "", answers = {}, as, width = 1280 }: Scene): Promise<Shown> {
  clock.start(NOW);
  screen.width = width;
  localStorage.clear();
  sessionStorage.clear();
  window.history.replaceState(null, "", `/#/${at}`);
  const farm = new TestFarm();
  Object.assign(farm.answers, answers);
  if (as !== undefined) {
    farm.roles = { token: as };
    sessionStorage.setItem("icefarm.session", JSON.stringify({ role: as, ticket: "token" }));
  }
  const page = new Page(new Live(farm.connect));
  const root = document.createElement("div");
  document.body.append(root);
  const shown = new Shown(farm, page, root);
  await shown.when(() => {
    render(<App page={page} />, root);
    page.navigation.start();
    page.live.start();
  });
  return shown;
}

/** Open the page, look at it, and close it. */
export async function looking(scene: Scene, look: (shown: Shown) => Promise<void> | void): Promise<void> {
  const shown = await show(scene);
  try {
    await look(shown);
  } finally {
    shown.end();
  }
}

/** What was begun has ended. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

function textOf(element: Element): string {
  return (element.textContent ?? "").replace(/\s+/g, " ").trim();
}
