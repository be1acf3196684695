// Pure: the filter's language. Words are sought everywhere; `field:value` in one field; `-` before either excludes;
// commas separate alternatives; quotation marks keep blanks; `field:` alone asks for an empty field.

/** Fields of a board that can be asked for. */
export const FIELDS = ["serial", "worker", "state", "health", "client", "kind", "firmware"];

const TERM = /(-?)(?:([a-z]+):)?("[^"]*"?|\S*)/y;

/**
 * Read a filter.
 * @returns {{terms: {not: boolean, field: string | null, values: string[]}[], problem: string | null}}
 */
export function parseFilter(text, fields = FIELDS) {
  const terms = [];
  let problem = null;
  let position = 0;
  while (position < text.length) {
    if (/\s/.test(text[position])) {
      position += 1;
      continue;
    }
    TERM.lastIndex = position;
    const [whole, not, field, raw] = TERM.exec(text);
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
export function matches(terms, record) {
  return terms.every((term) => passes(term, record) !== term.not);
}

function passes({ field, values }, record) {
  const texts = field === null ? Object.values(record) : [record[field]];
  return values.some((value) =>
    field !== null && value === "" ? !record[field] : texts.some((text) => (text ?? "").toLowerCase().includes(value)),
  );
}
