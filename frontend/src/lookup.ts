// Pure: looking up names that people choose: "constructor" is one that every object has, and none of the farm's.

/** What a record of the farm has under a name; undefined if it has nothing there. */
export function entryOf<Value>(record: Readonly<Record<string, Value>> | undefined, name: string): Value | undefined {
  return record !== undefined && Object.hasOwn(record, name) ? record[name] : undefined;
}
