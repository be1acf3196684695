import "./dom.ts";

import assert from "node:assert/strict";
import { test } from "node:test";

import { download } from "../src/download.ts";

/** Fetch with this answer; return what was asked for, and what was saved under which name. */
async function fetched(answer: Response): Promise<{ asked: unknown[]; saved: string[]; problem: string | null }> {
  const asked: unknown[] = [];
  const saved: string[] = [];
  let problem: string | null = null;
  const real = { fetch: globalThis.fetch, make: URL.createObjectURL, click: window.HTMLAnchorElement.prototype.click };
  globalThis.fetch = (async (...all: unknown[]) => {
    asked.push(...all);
    return answer;
  }) as never;
  URL.createObjectURL = () => "blob:x";
  window.HTMLAnchorElement.prototype.click = function () {
    saved.push(this.download);
  };
  try {
    await download("http://farm:8080/api/runs/1/file", "secret", "run.zip");
  } catch (failure) {
    problem = (failure as Error).message;
  } finally {
    globalThis.fetch = real.fetch;
    URL.createObjectURL = real.make;
    window.HTMLAnchorElement.prototype.click = real.click;
  }
  return { asked, saved, problem };
}

test("a file is fetched with the token, which its address does not carry", async () => {
  const { asked, saved, problem } = await fetched(new Response("content"));
  assert.deepEqual(asked, ["http://farm:8080/api/runs/1/file", { headers: { Authorization: "Bearer secret" } }]);
  assert.deepEqual([saved, problem], [["run.zip"], null]);
});

test("the farm's refusal is said in its words", async () => {
  const { saved, problem } = await fetched(
    new Response('{"error": "gone", "message": "it was dropped"}', { status: 410 }),
  );
  assert.deepEqual([saved, problem], [[], "it was dropped"]);
});

test("a refusal by something that is no farm is said by its number", async () => {
  const { problem } = await fetched(new Response("<html>Bad Gateway</html>", { status: 502 }));
  assert.equal(problem, "the farm answered with 502");
});

test("of an answer that is cut before its end nothing is saved", async () => {
  const cut = new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode("part"));
      controller.error(new Error("cut"));
    },
  });
  const { saved, problem } = await fetched(new Response(cut));
  assert.deepEqual([saved, problem], [[], "cut"]);
});
