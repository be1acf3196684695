// Pure: the pages, and their addresses behind the '#': #/board/NAME?key=value. What a reader has chosen on a page stands
// in its address, so that Back and a shared link show the same.

export const PAGES = [
  { page: "boards", label: "Boards" },
  { page: "workers", label: "Workers" },
  { page: "queue", label: "Queue" },
  { page: "events", label: "Events" },
  { page: "plots", label: "Plots" },
] as const;

/** Pages of one thing, which its name follows. */
const THINGS = { board: "boards", worker: "workers", client: "boards" } as const;

export type PageName = (typeof PAGES)[number]["page"];
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
  const [page = "", raw, ...more] = path.replace(/\/$/, "").split("/");
  if (page === "") return { page: "boards", name: null, query };
  if (more.length > 0) return unknown;
  if (isThing(page)) {
    const name = decoded(raw ?? "");
    return name === null || name === "" ? unknown : { page, name, query };
  }
  const found = PAGES.find((each) => each.page === page);
  return found === undefined || raw !== undefined ? unknown : { page: found.page, name: null, query };
}

/** Write an address; what is empty is left out. */
export function addressOf(page: PageName | ThingName, name: string | null = null, query: Query = {}): string {
  const chosen = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== ""));
  const path = name === null ? `#/${page}` : `#/${page}/${encodeURIComponent(name)}`;
  return chosen.size === 0 ? path : `${path}?${chosen}`;
}

/** The entry of the navigation that a page belongs to. */
export function sectionOf({ page }: Address): PageName | null {
  if (page === "unknown") return null;
  return isThing(page) ? THINGS[page] : page;
}

/** The title of the window: what is shown first, so that tabs and bookmarks differ. */
export function titleOf({ page, name }: Address): string {
  const label = PAGES.find((each) => each.page === page)?.label ?? "Not found";
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
