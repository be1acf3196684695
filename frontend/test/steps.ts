// How much work something is, in steps rather than in seconds: those depend on what else the machine does.

export interface Counted<Result> {
  readonly result: Result;
  /** Elements of arrays that were gone through; the copy `[...array]` goes through all of them. */
  readonly steps: number;
}

/** Do something and count its steps. */
export function counted<Result>(work: () => Result): Counted<Result> {
  const real = Array.prototype[Symbol.iterator];
  let steps = 0;
  Array.prototype[Symbol.iterator] = function* <Item>(this: Item[]) {
    for (let index = 0; index < this.length; index += 1) {
      steps += 1;
      yield this[index] as Item;
    }
  } as typeof real;
  try {
    return { result: work(), steps };
  } finally {
    Array.prototype[Symbol.iterator] = real;
  }
}
