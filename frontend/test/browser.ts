// The little of a browser that the page's state takes, for tests in Node.js: storages, history, events, timers.

export class MemoryStorage implements Storage {
  private readonly items = new Map<string, string>();

  get length(): number {
    return this.items.size;
  }

  clear(): void {
    this.items.clear();
  }

  getItem(key: string): string | null {
    return this.items.get(key) ?? null;
  }

  key(index: number): string | null {
    return [...this.items.keys()][index] ?? null;
  }

  removeItem(key: string): void {
    this.items.delete(key);
  }

  setItem(key: string, value: string): void {
    this.items.set(key, value);
  }
}

interface Entry {
  hash: string;
  state: unknown;
}

/** A window with a history of addresses behind '#'. */
export class TestWindow extends EventTarget {
  readonly location = { hash: "" };
  scrollY = 0;
  readonly entries: Entry[] = [{ hash: "", state: null }];
  private at = 0;
  readonly history = {
    scrollRestoration: "auto",
    pushState: (state: unknown, _: string, url?: string) => {
      this.entries.splice(this.at + 1);
      this.entries.push({ hash: url ?? this.location.hash, state });
      this.move(this.entries.length - 1);
    },
    replaceState: (state: unknown, _: string, url?: string) => {
      this.entries[this.at] = { hash: url ?? this.location.hash, state };
      this.move(this.at);
    },
  };

  setTimeout(call: () => void, milliseconds: number): number {
    return setTimeout(call, milliseconds) as unknown as number;
  }

  setInterval(call: () => void, milliseconds: number): number {
    return setInterval(call, milliseconds) as unknown as number;
  }

  clearTimeout(timer: number | undefined): void {
    clearTimeout(timer);
  }

  scrollTo(_: number, y: number): void {
    this.scrollY = y;
  }

  /** Follow a link. */
  follow(hash: string): void {
    this.history.pushState(null, "", hash);
    this.arrive();
  }

  back(): void {
    this.move(this.at - 1);
    this.arrive();
  }

  private move(at: number): void {
    this.at = at;
    this.location.hash = this.entries[at]?.hash ?? "";
  }

  private arrive(): void {
    this.dispatchEvent(Object.assign(new Event("popstate"), { state: this.entries[this.at]?.state ?? null }));
  }
}

/** Put a window with this address, empty storages and a document in the place of the browser's. */
export function openWindow(hash = ""): TestWindow {
  const made = new TestWindow();
  made.location.hash = hash;
  const focused = { title: "", baseURI: "http://farm:8080/", querySelector: () => null };
  const globals = {
    window: made,
    document: focused,
    sessionStorage: new MemoryStorage(),
    localStorage: new MemoryStorage(),
    requestAnimationFrame: (call: () => void) => call(),
  };
  for (const [name, value] of Object.entries(globals)) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  return made;
}
