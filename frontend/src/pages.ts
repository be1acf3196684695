// Pure: the pages, and their addresses behind the '#': #/board/NAME?key=value. What a reader has chosen on a page stands
// in its address, so that Back and a shared link show the same.

export const PAGES = [
  { page: "boards", label: "Boards" },
  { page: "experiments", label: "Experiments" },
  { page: "usage", label: "Usage" },
  { page: "workers", label: "Workers" },
  { page: "queue", label: "Queue" },
  { page: "bookings", label: "Bookings" },
  { page: "class", label: "Class" },
  { page: "events", label: "Events" },
  { page: "plots", label: "Plots" },
] as const;

/** Pages that others lead to, and to which of them they belong. */
const INNER = [{ page: "compare", label: "Boards compared", section: "boards" }] as const;
const ALL = [...PAGES, ...INNER] as const;

/** Pages of one thing, which its name follows. An experiment's name is within an account: ACCOUNT/NAME. */
const THINGS = {
  board: "boards",
  worker: "workers",
  client: "boards",
  account: "boards",
  experiment: "experiments",
} as const;

export type PageName = (typeof ALL)[number]["page"];
export type ThingName = keyof typeof THINGS;
export type Query = Readonly<Record<string, string>>;

export interface Address {
  /** "unknown" for an address that no page has; `name` is then the whole of it. */
  readonly page: PageName | ThingName | "unknown";
  readonly name: string | null;
  readonly query: Query;
}

/** Read the part of an address behind the '#'. */
export function parseAddress(hash: string): Address {
  const [, path = "", rest = ""] = /^#?\/?([^?]*)\??(.*)$/s.exec(hash) ?? [];
  const query = Object.fromEntries(new URLSearchParams(rest));
  const unknown = { page: "unknown", name: path, query } as const;
  const [page = "", ...parts] = path.replace(/\/$/, "").split("/");
  if (page === "") return { page: "boards", name: null, query };
  if (isThing(page)) {
    const names = parts.map(decoded);
    const whole = names.length === (page === "experiment" ? 2 : 1) && names.every((name) => name);
    return whole ? { page, name: names.join("/"), query } : unknown;
  }
  const found = ALL.find((each) => each.page === page);
  return found === undefined || parts.length > 0 ? unknown : { page: found.page, name: null, query };
}

/** Write an address; what is empty is left out. */
export function addressOf(page: PageName | ThingName, name: string | null = null, query: Query = {}): string {
  const chosen = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== ""));
  const names = name === null ? [] : page === "experiment" ? keyOf(name) : [name];
  const path = ["#", page, ...names.map(encodeURIComponent)].join("/");
  return chosen.size === 0 ? path : `${path}?${chosen}`;
}

/** The account and the name that the whole name of an experiment is made of; an account has no `/` in it. */
export function keyOf(whole: string): readonly [account: string, name: string] {
  const slash = whole.indexOf("/");
  return [whole.slice(0, slash), whole.slice(slash + 1)];
}

/** The entry of the navigation that a page belongs to. */
export function sectionOf({ page }: Address): PageName | null {
  if (page === "unknown") return null;
  return isThing(page) ? THINGS[page] : (INNER.find((each) => each.page === page)?.section ?? page);
}

/** The title of the window: what is shown first, so that tabs and bookmarks differ. */
export function titleOf({ page, name }: Address): string {
  const label = ALL.find((each) => each.page === page)?.label ?? "Not found";
  const view = page !== "unknown" && isThing(page) ? `${page[0]?.toUpperCase()}${page.slice(1)} ${name}` : label;
  return `${view} · icefarm`;
}

function isThing(page: string): page is ThingName {
  return Object.hasOwn(THINGS, page);
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
