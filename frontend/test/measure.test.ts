import "./dom.ts";

import assert from "node:assert/strict";
import { test } from "node:test";

import { TextMeasure } from "../src/measure.ts";

const style = { fontSize: "14px", fontFamily: "sans-serif" };
let asked: string[] = [];

/** A measure whose canvas says that each character is as wide as the font is high. */
function measure(): TextMeasure {
  asked = [];
  globalThis.getComputedStyle = (() => style) as never;
  const context = {
    font: "",
    measureText(text: string) {
      asked.push(`${this.font}: ${text}`);
      return { width: text.length * Number.parseFloat(this.font.split(" ")[1] ?? "0") };
    },
  };
  const canvas = { getContext: () => context };
  const make = document.createElement;
  document.createElement = (() => canvas) as never;
  try {
    return new TextMeasure();
  } finally {
    document.createElement = make;
  }
}

test("a text is as wide as its font makes it, in whole pixels", () => {
  const one = measure();
  assert.equal(one.width("ABC", "text"), 42);
  assert.equal(one.width("ABC", "mono"), Math.ceil(3 * 14 * 0.92));
  assert.match(asked[1] ?? "", /^600 12\.88px ui-monospace/);
});

test("a text is measured once for each font", () => {
  const one = measure();
  for (let turn = 0; turn < 3; turn += 1) {
    one.width("ABC", "text");
    one.width("ABC", "head");
  }
  assert.equal(asked.length, 2);
});

test("another size of the page's font is measured again", () => {
  const one = measure();
  assert.equal(one.width("AB", "text"), 28);
  style.fontSize = "20px";
  try {
    assert.equal(one.width("AB", "text"), 40);
  } finally {
    style.fontSize = "14px";
  }
});

test("what is remembered of widths is bounded", () => {
  const one = measure();
  for (let index = 0; index < 6000; index += 1) one.width(`text ${index}`, "text");
  const before = asked.length;
  one.width("text 5999", "text");
  assert.equal(asked.length, before);
  one.width("text 0", "text");
  assert.equal(asked.length, before + 1);
});

test("the empty text has no width", () => {
  assert.equal(measure().width("", "head"), 0);
});
