import assert from "node:assert/strict";
import { test } from "node:test";

import { addressOf, keyOf, parseAddress, sectionOf, titleOf } from "../src/pages.ts";

test("an address without a page is that of the boards", () => {
  for (const hash of ["", "#", "#/", "#/boards"]) assert.equal(parseAddress(hash).page, "boards");
});

test("what is written is read again, whatever the name", () => {
  for (const name of ["A1", "a/b", "ä ö", "100%", "?x=1#y", "<b>", "a&b=c"]) {
    const query = { filter: `client:"${name}"`, sort: "-rate" };
    assert.deepEqual(parseAddress(addressOf("board", name, query)), { page: "board", name, query });
  }
});

test("an experiment's address has its account and its name", () => {
  for (const name of ["ga-7", "a/b", "100%", "ä ö"]) {
    const address = addressOf("experiment", `ada/${name}`, { best: "lowest" });
    assert.deepEqual(parseAddress(address), { page: "experiment", name: `ada/${name}`, query: { best: "lowest" } });
    assert.deepEqual(keyOf(`ada/${name}`), ["ada", name]);
  }
  assert.equal(addressOf("experiment", "ada/a/b"), "#/experiment/ada/a%2Fb");
  for (const hash of [
    "#/experiment",
    "#/experiment/ada",
    "#/experiment/ada/",
    "#/experiment/a/b/c",
    "#/experiment//x",
  ]) {
    assert.equal(parseAddress(hash).page, "unknown", hash);
  }
});

test("choices that are empty are not in the address", () => {
  assert.equal(addressOf("boards", null, { filter: "", sort: "" }), "#/boards");
  assert.equal(addressOf("boards", null, { filter: "a b", sort: "" }), "#/boards?filter=a+b");
});

test("an unknown address is called so, with what it is", () => {
  for (const hash of [
    "#/nothing",
    "#/board",
    "#/board/",
    "#/boards/x",
    "#/board/a/b",
    "#/board/%zz",
    "#/constructor",
  ]) {
    assert.equal(parseAddress(hash).page, "unknown", hash);
  }
  assert.equal(parseAddress("#/nothing?x=1").name, "nothing");
});

test("choices of an address without a page are read", () => {
  assert.deepEqual(parseAddress("#/?filter=x").query, { filter: "x" });
});

test("a page of one thing belongs to a part of the navigation", () => {
  assert.equal(sectionOf(parseAddress("#/board/A1")), "boards");
  assert.equal(sectionOf(parseAddress("#/worker/w")), "workers");
  assert.equal(sectionOf(parseAddress("#/queue")), "queue");
  assert.equal(sectionOf(parseAddress("#/compare?sort=offset")), "boards");
  assert.equal(sectionOf(parseAddress("#/nothing")), null);
});

test("titles name the view", () => {
  assert.equal(titleOf(parseAddress("#/board/A1")), "Board A1 · icefarm");
  assert.equal(titleOf(parseAddress("#/experiment/ada/ga-7")), "Experiment ada/ga-7 · icefarm");
  assert.equal(titleOf(parseAddress("#/events?q=x")), "Events · icefarm");
  assert.equal(titleOf(parseAddress("#/nothing")), "Not found · icefarm");
});
