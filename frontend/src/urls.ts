// Pure: the farm's addresses, from the page's own: whatever path a proxy puts before it is kept.

/** The router's WebSocket, for a page at `base`. */
export function socketUrl(base: string): string {
  const url = new URL("ws", base);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.search = "";
  url.hash = "";
  return url.href;
}

/** Where an experiment's results are as a file, for a page at `base`. */
export function resultsUrl(base: string, account: string, name: string, format: string): string {
  const url = new URL(`api/experiments/${encodeURIComponent(name)}/results`, base);
  url.search = new URLSearchParams({ account, format }).toString();
  return url.href;
}

/** Where a run is as a file, for a page at `base`; and what the file is called. */
export function runFileUrl(base: string, id: string): string {
  return new URL(`api/runs/${id}/file`, base).href;
}

export function runFileName(id: string): string {
  return `run-${id.slice(0, 12)}.icefarm.zip`;
}

/** The farm's address as programs use it, for a page at `base`. */
export function farmUrl(base: string): string {
  const { origin, pathname } = new URL(".", base);
  return origin + pathname.replace(/\/$/, "");
}
