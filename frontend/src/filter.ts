// Pure: the filter's language. Words match any field; `field:value` matches one field; `-` before either excludes;
// commas separate alternatives; quotation marks keep blanks; `field:` alone matches an empty field.

/** Fields of a board that can be asked for. */
export const FIELDS = ["serial", "worker", "state", "health", "client", "kind", "firmware", "label"] as const;

export interface Term {
  readonly not: boolean;
  readonly field: string | null;
  readonly values: readonly string[];
}

/** The texts of a record, by field. */
export type Texts = Readonly<Record<string, string | null>>;

const TERM = /(-?)(?:([a-z]+):)?("[^"]*"?|\S*)/y;

/** Read a filter. */
export function parseFilter(
  text: string,
  fields: readonly string[] = FIELDS,
): { terms: Term[]; problem: string | null } {
  const terms: Term[] = [];
  let problem: string | null = null;
  let position = 0;
  while (position < text.length) {
    if (/\s/.test(text.charAt(position))) {
      position += 1;
      continue;
    }
    TERM.lastIndex = position;
    const [whole = "", not, field, raw = ""] = TERM.exec(text) ?? [];
    position += whole.length;
    if (field !== undefined && !fields.includes(field)) {
      problem ??= `there is no field "${field}"; there are ${fields.join(", ")}`;
      continue;
    }
    const quoted = raw.startsWith('"');
    const values = quoted ? [raw.replaceAll('"', "")] : raw.split(",");
    terms.push({ not: not === "-", field: field ?? null, values: values.map((value) => value.toLowerCase()) });
  }
  return { terms, problem };
}

/** Tell whether a record of texts by field passes all terms. */
export function matches(terms: readonly Term[], record: Texts): boolean {
  return terms.every((term) => passes(term, record) !== term.not);
}

function passes({ field, values }: Term, record: Texts): boolean {
  const texts = field === null ? Object.values(record) : [record[field]];
  return values.some((value) =>
    field !== null && value === "" ? !record[field] : texts.some((text) => (text ?? "").toLowerCase().includes(value)),
  );
}
