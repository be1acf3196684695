import assert from "node:assert/strict";
import { test } from "node:test";

import { farmUrl, resultsUrl, runFileName, runFileUrl, socketUrl } from "../src/urls.ts";

test("the WebSocket is beside the page, whatever path is before it", () => {
  assert.equal(socketUrl("http://farm:8080/"), "ws://farm:8080/ws");
  assert.equal(socketUrl("https://lab.example/icefarm/#/board/A1?x=1"), "wss://lab.example/icefarm/ws");
  assert.equal(socketUrl("https://lab.example/a/b/?q=1#/queue"), "wss://lab.example/a/b/ws");
});

test("the farm's address has no slash at its end", () => {
  assert.equal(farmUrl("http://farm:8080/#/workers"), "http://farm:8080");
  assert.equal(farmUrl("https://lab.example/icefarm/"), "https://lab.example/icefarm");
  assert.equal(farmUrl("https://lab.example/icefarm/index.html"), "https://lab.example/icefarm");
});

test("an experiment's results are a file beneath the page", () => {
  assert.equal(
    resultsUrl("https://lab.example/icefarm/", "ada", "a/b ü", "csv"),
    "https://lab.example/icefarm/api/experiments/a%2Fb%20%C3%BC/results?account=ada&format=csv",
  );
});

test("a run is a file beneath the page, named as the farm names it", () => {
  const id = "7ab8335065cc".padEnd(64, "0");
  assert.equal(runFileUrl("https://lab.example/icefarm/", id), `https://lab.example/icefarm/api/runs/${id}/file`);
  assert.equal(runFileName(id), "run-7ab8335065cc.icefarm.zip");
});
