import assert from "node:assert/strict";
import { test } from "node:test";

import { Navigation } from "../src/navigation.ts";
import { openWindow } from "./browser.ts";

function opened(hash = "") {
  const window = openWindow(hash);
  const navigation = new Navigation();
  navigation.start();
  return { window, navigation };
}

test("it begins at the address of the window, and names the view in its title", () => {
  const { navigation } = opened("#/board/A1");
  assert.equal(navigation.address.value.name, "A1");
  assert.equal(document.title, "Board A1 · icefarm");
  navigation.stop();
});

test("a link that is followed changes the address and goes to the top", () => {
  const { window, navigation } = opened("#/boards");
  window.scrollY = 500;
  window.follow("#/queue");
  assert.equal(navigation.address.value.page, "queue");
  assert.equal(window.scrollY, 0);
  navigation.stop();
});

test("Back returns to where the reader had scrolled", () => {
  const { window, navigation } = opened("#/boards");
  window.history.replaceState({ scroll: 700 }, "");
  window.follow("#/queue");
  window.back();
  assert.equal(navigation.address.value.page, "boards");
  assert.equal(window.scrollY, 700);
  navigation.stop();
});

test("a choice that is a step can be taken back, and one that is typed is not a step", () => {
  const { window, navigation } = opened("#/boards");
  navigation.choose({ sort: "rate" }, "step");
  navigation.choose({ filter: "a" }, "same");
  navigation.choose({ filter: "ab" }, "same");
  assert.equal(window.location.hash, "#/boards?sort=rate&filter=ab");
  assert.equal(window.entries.length, 2);
  window.back();
  assert.equal(navigation.chosen("sort"), "");
  navigation.stop();
});

test("a choice that is empty leaves the address", () => {
  const { window, navigation } = opened("#/events?q=x&level=warn");
  navigation.choose({ q: "" }, "same");
  assert.equal(window.location.hash, "#/events?level=warn");
  assert.equal(navigation.chosen("q"), "");
  navigation.stop();
});

test("on a page that there is not, nothing is chosen", () => {
  const { window, navigation } = opened("#/nothing");
  navigation.choose({ q: "x" }, "same");
  assert.equal(window.location.hash, "#/nothing");
  navigation.stop();
});

test("a step on one page leaves the reader where he is", () => {
  const { window, navigation } = opened("#/plots");
  window.scrollY = 300;
  navigation.choose({ span: "900" }, "step");
  assert.equal(window.scrollY, 300);
  assert.equal(navigation.place.value, "plots/");
  navigation.stop();
});

test("once stopped, it follows no more links", () => {
  const { window, navigation } = opened("#/plots");
  navigation.stop();
  window.follow("#/queue");
  assert.equal(navigation.address.value.page, "plots");
});
