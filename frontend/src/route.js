// Pure: the pages, and their addresses behind the '#'.

export const PAGES = [
  { page: "boards", label: "Boards" },
  { page: "workers", label: "Workers" },
  { page: "queue", label: "Queue" },
  { page: "events", label: "Events" },
  { page: "plots", label: "Plots" },
];

/** Read the part of an address behind the '#'. */
export function parseRoute(hash) {
  const [page, name] = hash.replace(/^#\/?/, "").split("/");
  if (page === "board" && name) {
    try {
      return { page, name: decodeURIComponent(name) };
    } catch {
      return { page: "boards", name: null };
    }
  }
  return { page: PAGES.some((each) => each.page === page) ? page : "boards", name: null };
}

/** The address of a page. */
export function address(page, name = null) {
  return name === null ? `#/${page}` : `#/${page}/${encodeURIComponent(name)}`;
}
