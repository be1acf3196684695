// Saves files. A link can't carry a token: with one, the page fetches the file itself, and the browser keeps it, on its disk
// where it is large, until it is whole.

/** Save what the page made. */
export function save(content: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

interface Refusal {
  readonly error?: string;
  readonly message?: string;
}

/** Fetch a file with a token, and save it. Rejects with an `Error` that says why not. */
export async function download(url: string, ticket: string, name: string): Promise<void> {
  const answer = await fetch(url, { headers: { Authorization: `Bearer ${ticket}` } });
  if (!answer.ok) {
    const refusal = (await answer.json().catch(() => ({}))) as Refusal;
    throw new Error(refusal.message ?? `the farm answered with ${answer.status}`);
  }
  // An answer that is cut before its end rejects here: no part of a file is saved.
  save(await answer.blob(), name);
}
