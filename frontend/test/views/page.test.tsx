// The frame of each page: navigation, signing in, what is said when the farm is away.

import assert from "node:assert/strict";
import { test } from "node:test";

import { board, reserved, snapshot } from "../made.ts";
import { refusal } from "../testfarm.ts";
import { looking, type Scene, type Shown } from "./show.tsx";

const see = (scene: Scene, look: (shown: Shown) => Promise<void> | void) =>
  looking({ ...scene, answers: { snapshot: snapshot([reserved("A", "ada")]), ...scene.answers } }, look);
const current = (shown: Shown) => shown.root.querySelector("nav [aria-current=page]")?.textContent ?? null;

const PAGES = ["boards", "experiments", "usage", "workers", "queue", "bookings", "class", "events", "plots"];

for (const page of PAGES) {
  test(`page ${page} has a heading, a title, and its place in the navigation`, () =>
    see({ at: page }, (shown) => {
      const headings = shown.see.getAllByRole("heading", { level: 1 });
      assert.equal(headings.length, 1);
      assert.equal(headings[0]?.getAttribute("tabindex"), "-1");
      assert.equal(current(shown)?.toLowerCase(), page);
      assert.match(document.title, / · icefarm$/);
    }));
}

for (const address of ["board/A", "compare", "client/ada", "account/ada"]) {
  test(`address ${address} belongs to the boards`, () =>
    see({ at: address }, (shown) => {
      assert.equal(current(shown), "Boards");
    }));
}

for (const address of ["nothing", "board", "board/%E0%A4%A", "boards/9", "experiment/ada", "<b>x</b>", "__proto__"]) {
  test(`address ${address} leads to no page, and the reader learns which there are`, () =>
    see({ at: address }, (shown) => {
      assert.match(shown.text, /There is no such page/);
      assert.equal(current(shown), null);
      assert.equal(shown.root.querySelectorAll("main li a").length, PAGES.length);
      assert.ok(shown.root.querySelector("main b") === null);
    }));
}

test("a page that is opened is at its top, and its heading has the focus", () =>
  see({}, async (shown) => {
    await shown.follow("workers");
    await shown.pass(16);
    assert.ok(document.activeElement === shown.see.getByRole("heading", { level: 1 }));
  }));

test("the link to the content leads to the heading", () =>
  see({}, async (shown) => {
    await shown.click(shown.see.getByText("Skip to content"));
    assert.ok(document.activeElement === shown.see.getByRole("heading", { level: 1 }));
    assert.equal(window.location.hash, "#/");
  }));

test("a reader signs in with an operator's token, and out again", () =>
  see({}, async (shown) => {
    shown.farm.roles = { "": "client", secret: "operator" };
    await shown.click("Sign in");
    await shown.type("Token", "  secret ");
    await shown.submit(shown.root.querySelector("dialog form") as Element);
    assert.equal(shown.root.querySelector(".role")?.textContent, "operator");
    assert.ok(shown.see.queryByRole("dialog") === null);
    await shown.click("Sign out");
    assert.equal(shown.root.querySelector(".role")?.textContent, "watching");
    assert.equal(sessionStorage.getItem("icefarm.session"), null);
  }));

test("a token that the farm does not know is refused, and the page goes on", () =>
  see({}, async (shown) => {
    await shown.click("Sign in");
    await shown.type("Token", "guessed");
    await shown.submit(shown.root.querySelector("dialog form") as Element);
    assert.match(shown.see.getByRole("dialog").textContent ?? "", /not_authorized: the farm does not know it/);
    await shown.click("Cancel");
    assert.equal(shown.rows().length, 1);
    assert.equal(shown.page.live.connected.value, true);
  }));

test("a farm of tokens asks for one, and shows its account once it has it", () =>
  see({}, async (shown) => {
    shown.farm.roles = { mine: "client" };
    await shown.when(() => shown.page.live.signOut());
    await shown.when(() => {
      shown.page.live.farm.value = { ...shown.page.live.farm.value, known: false };
    });
    assert.match(shown.text, /This farm asks for a token\. Whoever runs the farm gives you one\./);
    await shown.click("Sign in with a token");
    await shown.type("Token", "mine");
    await shown.submit(shown.root.querySelector("dialog form") as Element);
    assert.equal(shown.root.querySelector(".role a")?.getAttribute("href"), "#/account/students");
    assert.match(sessionStorage.getItem("icefarm.session") ?? "", /mine/);
  }));

test("a farm that refuses a sign-in says why by the name of its error", () =>
  see({}, async (shown) => {
    const { live } = shown.page;
    const refuse = (name: string, message: string, ticket: string) =>
      shown.when(() => {
        live.credentials.value = { ...live.credentials.value, ticket };
        live.farm.value = { ...live.farm.value, known: false };
        live.link.value = { live: false, identity: null, reason: message, refused: refusal(name, message) };
      });
    await refuse("not_authorized", "the farm does not know that token; make one with 'icefarm token add'", "old");
    assert.match(
      shown.text,
      /does not take the token of this tab: it has expired, was revoked, or is for something else/,
    );
    assert.doesNotMatch(shown.text, /icefarm token add/);
    await refuse("name_in_use", "another session is signed in as 'ada'", "old");
    assert.match(shown.text, /does not admit this page: another session is signed in as 'ada'\. Try another token\./);
  }));

test("a farm that does not answer is asked again, and the page says for how long it is away", () =>
  see({}, async (shown) => {
    shown.farm.answers.snapshot = refusal("busy", "the database is away");
    await shown.when(() => shown.farm.drop());
    await shown.pass(12_000);
    assert.match(shown.see.getByRole("alert").textContent ?? "", /the database is away\. For 12 s; trying again/);
    shown.farm.answers.snapshot = snapshot([board("B")]);
    await shown.pass(15_000);
    assert.equal(shown.see.getByRole("alert").textContent, "");
    assert.deepEqual(shown.firsts(), ["B"]);
  }));

test("a link that is lost again and again does not gather sessions", () =>
  see({}, async (shown) => {
    for (let turn = 0; turn < 5; turn += 1) {
      await shown.when(() => shown.farm.drop());
      await shown.pass(1000);
    }
    assert.equal(shown.page.live.connected.value, true);
    assert.equal(shown.farm.signedIn.length, 6);
    await shown.tell("device", board("B"));
    assert.deepEqual([...shown.firsts()].sort(), ["A", "B"]);
  }));

test("a text is copied, and the button says so for a while", () =>
  see({ at: "board/A" }, async (shown) => {
    const copied: string[] = [];
    Object.defineProperty(navigator, "clipboard", {
      value: { writeText: async (text: string) => copied.push(text) },
      configurable: true,
    });
    await shown.click("Copy the serial A");
    assert.deepEqual(copied, ["A"]);
    assert.equal(shown.button("Copy the serial A").textContent, "Copied");
    await shown.pass(2000);
    assert.equal(shown.button("Copy the serial A").textContent, "Copy");
  }));
