// Pure: labels as an operator edits them, a line for each: "lab=3".

import { entryOf } from "./lookup.ts";
import type { Labels } from "./records.ts";

/** What is to be set, by name; null takes a label away. */
export type LabelChanges = Readonly<Record<string, string | null>>;

/** The lines of labels. */
export function labelLines(labels: Labels | undefined): string {
  return Object.entries(labels ?? {})
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join("\n");
}

/** What lines that were edited change; or the first line that is none. */
export function labelChanges(
  text: string,
  labels: Labels | undefined,
): { readonly changes: LabelChanges } | { readonly problem: string } {
  const before = labels ?? {};
  const wanted = new Map<string, string>();
  for (const line of text.split("\n").map((each) => each.trim())) {
    if (line === "") continue;
    const at = line.indexOf("=");
    const name = line.slice(0, at).trim();
    const value = line.slice(at + 1).trim();
    if (at < 0 || name === "" || value === "") {
      return { problem: `Write each label as name=value, on a line of its own: "${line}" is none.` };
    }
    if (wanted.has(name)) return { problem: `There are two lines for label ${name}.` };
    wanted.set(name, value);
  }
  const set = [...wanted].filter(([name, value]) => entryOf(before, name) !== value);
  const taken = Object.keys(before).filter((name) => !wanted.has(name));
  return { changes: Object.fromEntries([...set, ...taken.map((name) => [name, null] as const)]) };
}

/** The names of labels that were to be taken away, and that a board has still: those of its worker. */
export function labelsLeft(changes: LabelChanges, labels: Labels | undefined): readonly string[] {
  return Object.keys(changes).filter((name) => changes[name] === null && entryOf(labels, name) !== undefined);
}
