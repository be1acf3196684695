import { type Signal, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";

import type { Action } from "../actions.ts";
import { wholeName } from "../experiments.ts";
import { usePage } from "../page.ts";
import { addressOf, type PageName } from "../pages.ts";
import type { Status } from "../records.ts";
import { clockTime, duration, STATES } from "../wording.ts";

/** A board's state: symbol, word and colour. */
export function State({ status }: { status: Status }) {
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

/** The buttons of what an operator can do with something; nothing for other readers. */
export function Actions({ actions }: { actions: readonly Action[] }) {
  const { live, operations } = usePage();
  if (!live.operator.value) return null;
  return (
    <span class="actions">
      {actions.map((action) => (
        <button
          key={action.id}
          type="button"
          disabled={!live.connected.value}
          aria-label={action.about}
          title={action.about}
          onClick={() => operations.ask(action)}
        >
          {action.label}
        </button>
      ))}
    </span>
  );
}

export function BoardLink({ serial }: { serial: string }) {
  return <a href={addressOf("board", serial)}>{serial}</a>;
}

export function WorkerLink({ name }: { name: string }) {
  return <a href={addressOf("worker", name)}>{name}</a>;
}

export function ClientLink({ name }: { name: string }) {
  return <a href={addressOf("client", name)}>{name}</a>;
}

/** Several clients that have one thing. */
export function ClientLinks({ names }: { names: readonly string[] }) {
  return (
    <>
      {names.map((name, index) => (
        <span key={name}>
          {index > 0 && ", "}
          <ClientLink name={name} />
        </span>
      ))}
    </>
  );
}

export function AccountLink({ name }: { name: string }) {
  return <a href={addressOf("account", name)}>{name}</a>;
}

/** An experiment by its name alone; its account is said beside it. */
export function ExperimentLink({ of }: { of: { account: string; name: string } }) {
  return <a href={addressOf("experiment", wholeName(of))}>{of.name}</a>;
}

/** A kind leads to the boards that serve as it. */
export function KindLink({ name }: { name: string }) {
  return <a href={addressOf("boards", null, { filter: `kind:${quoted(name)}` })}>{name}</a>;
}

function quoted(text: string): string {
  return /[\s,"]/.test(text) ? `"${text.replaceAll('"', "")}"` : text;
}

interface ThingHeadProps {
  /** The page of all that are like it. */
  all: PageName;
  kind: string;
  name: string;
  /** What the name is called. */
  noun?: string;
  mono?: boolean;
}

/** The head of the page of one thing: the way back to all of them, and its name to copy. */
export function ThingHead({ all, kind, name, noun = "name", mono = false }: ThingHeadProps) {
  return (
    <>
      <p class="back">
        <a href={addressOf(all)}>All {all}</a>
      </p>
      <h1 tabIndex={-1}>
        {kind} {mono ? <span class="mono">{name}</span> : name} <Copy text={name} what={`the ${noun} ${name}`} />
      </h1>
    </>
  );
}

interface FactProps {
  label: string;
  /** It takes a whole line. */
  long?: boolean;
  children: ComponentChildren;
}

export function Fact({ label, long = false, children }: FactProps) {
  return (
    <div class={long ? "long" : undefined}>
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** What is known of a thing, each with its label; what is empty is left out. */
export function Facts({ of, long }: { of: readonly (readonly [string, ComponentChildren])[]; long?: string }) {
  return (
    <dl class="facts">
      {of
        .filter(([, value]) => value)
        .map(([label, value]) => (
          <Fact key={label} label={label} long={label === long}>
            {value}
          </Fact>
        ))}
    </dl>
  );
}

interface NameChoiceProps {
  label: string;
  /** The part of the address in which the choice stands. */
  part: string;
  value: string;
  names: readonly string[];
  /** What it is called to choose none; without it, one is always chosen. */
  none?: string;
}

/** A list of names; the one that is chosen stands in the page's address. */
export function NameChoice({ label, part, value, names, none }: NameChoiceProps) {
  const { navigation } = usePage();
  return (
    <label class="compare">
      {label}
      <select
        value={value}
        disabled={names.length === 0}
        onChange={(event) => navigation.choose({ [part]: event.currentTarget.value }, "step")}
      >
        {none !== undefined && <option value="">{none}</option>}
        {names.map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

interface ChoiceProps {
  label: string;
  /** The part of the page's address that it stands in. */
  part: string;
  value: string;
  choices: readonly { readonly value: string; readonly label: string }[];
}

/** One of a few things, each with a label; the one that is chosen stands in the page's address. */
export function Choice({ label, part, value, choices }: ChoiceProps) {
  const { navigation } = usePage();
  return (
    <label>
      {label}{" "}
      <select value={value} onChange={(event) => navigation.choose({ [part]: event.currentTarget.value }, "step")}>
        {choices.map((each) => (
          <option key={each.value} value={each.value}>
            {each.label}
          </option>
        ))}
      </select>
    </label>
  );
}

interface SelectionProps {
  label: string;
  /** How many of what, such as "3 boards". */
  amount: string;
  actions: readonly Action[];
  selected: Signal<ReadonlySet<string>>;
}

/** What an operator can do with the rows of a table that are selected. */
export function Selection({ label, amount, actions, selected }: SelectionProps) {
  const { live, operations } = usePage();
  return (
    <div class="selection" role="toolbar" aria-label={label}>
      <strong>{amount} selected</strong>
      {actions.map((action) => (
        <button key={action.id} type="button" disabled={!live.connected.value} onClick={() => operations.ask(action)}>
          {action.label}
        </button>
      ))}
      <button
        type="button"
        onClick={() => {
          selected.value = new Set();
        }}
      >
        Select none
      </button>
    </div>
  );
}

/** Puts a text on the clipboard, and says so. */
export function Copy({ text, what }: { text: string; what: string }) {
  const copied = useSignal(false);
  const copy = async () => {
    copied.value = await toClipboard(text);
    setTimeout(() => {
      copied.value = false;
    }, 2000);
  };
  return (
    <button type="button" class="copy" aria-label={`Copy ${what}`} onClick={copy}>
      {copied.value ? "Copied" : "Copy"}
    </button>
  );
}

/** Browsers offer a clipboard to pages of https and of this machine only; elsewhere a selected text is copied. */
async function toClipboard(text: string): Promise<boolean> {
  if (navigator.clipboard !== undefined) {
    return navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    );
  }
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

/** A command to type on a host. */
export function Command({ text }: { text: string }) {
  return (
    <div class="command">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls sideways, and the keyboard must reach what scrolls */}
      <pre tabIndex={0}>
        <code>{text}</code>
      </pre>
      <Copy text={text} what="the command" />
    </div>
  );
}

/** A moment, with the date unless it is of today. */
export function Moment({ time }: { time: number }) {
  const { live } = usePage();
  return <time dateTime={new Date(time * 1000).toISOString()}>{clockTime(time, live.now.value)}</time>;
}

/** How long ago a moment was; counts on by itself. */
export function Elapsed({ since }: { since: number }) {
  const { live } = usePage();
  return <>{duration(live.now.value - since)}</>;
}

/** How long it is until a moment; counts down by itself. */
export function Left({ until }: { until: number }) {
  const { live } = usePage();
  return <>{duration(until - live.now.value)}</>;
}
