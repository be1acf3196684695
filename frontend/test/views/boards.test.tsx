import assert from "node:assert/strict";
import { test } from "node:test";

import { board, reading, request, reserved, snapshot, worker } from "../made.ts";
import { looking, NOW, type Scene, type Shown } from "./show.tsx";

const BOARDS = [
  board("A1"),
  reserved("A2", "ada/night", { expires_at: NOW + 90 }),
  board("B3", { status: "broken", reason: "CDONE stayed low", worker: "w2" }),
];
const FARM = snapshot(BOARDS);
const see = (scene: Scene, look: (shown: Shown) => Promise<void> | void) =>
  looking({ ...scene, answers: { snapshot: FARM, ...scene.answers } }, look);

const HOSTILE = "<img src=x onerror=alert(1)> \"' {{7*7}}";

test("boards are listed with what needs a person first", () =>
  see({}, (shown) => {
    assert.deepEqual(shown.firsts(), ["B3", "A2", "A1"]);
    assert.match(shown.text, /3 of 3 boards/);
    assert.ok(shown.rows()[0]?.includes("CDONE stayed low"));
  }));

test("a filter is typed into the address, which a shared link carries", () =>
  see({}, async (shown) => {
    await shown.type(/^Filter/, "state:broken");
    assert.deepEqual(shown.firsts(), ["B3"]);
    assert.match(shown.text, /1 of 3 boards/);
    assert.equal(window.location.hash, "#/boards?filter=state%3Abroken");
  }));

test("a filter of an address is shown where it is typed", () =>
  see({ at: "boards?filter=worker:w2" }, (shown) => {
    assert.equal(shown.see.getByLabelText<HTMLInputElement>(/^Filter/).value, "worker:w2");
    assert.deepEqual(shown.firsts(), ["B3"]);
  }));

test("Escape empties the filter", () =>
  see({ at: "boards?filter=none-such" }, async (shown) => {
    assert.match(shown.text, /No board passes the filter/);
    await shown.press(shown.see.getByLabelText(/^Filter/), "Escape");
    assert.equal(shown.rows().length, 3);
  }));

test("a slash leads to the filter, except where a text is typed", () =>
  see({}, async (shown) => {
    const filter = shown.see.getByLabelText(/^Filter/);
    const client = shown.see.getByLabelText(/^Your client/);
    client.focus();
    await shown.press(client, "/");
    assert.ok(document.activeElement === client);
    client.blur();
    await shown.press(shown.root, "/");
    assert.ok(document.activeElement === filter);
  }));

test("a field that boards do not have is named", () =>
  see({ at: "boards?filter=colour:red" }, (shown) => {
    assert.match(shown.text, /there is no field "colour"; there are serial, worker/);
  }));

test("a head sorts, and again the other way; Back takes it back", () =>
  see({}, async (shown) => {
    const head = () => shown.see.getByRole("columnheader", { name: /^Board/ });
    await shown.click("Board");
    assert.deepEqual(shown.firsts(), ["A1", "A2", "B3"]);
    assert.equal(head().getAttribute("aria-sort"), "ascending");
    await shown.click(/^Board/);
    assert.deepEqual(shown.firsts(), ["B3", "A2", "A1"]);
    assert.equal(head().getAttribute("aria-sort"), "descending");
    assert.equal(window.location.hash, "#/boards?sort=-serial");
  }));

test("boards without a client come last whichever way clients are sorted", () =>
  see({ at: "boards?sort=-client" }, async (shown) => {
    assert.equal(shown.firsts()[0], "A2");
    await shown.follow("boards?sort=client");
    assert.equal(shown.firsts()[0], "A2");
  }));

test("the boards of the client that a reader names come first, and its name is kept", () =>
  see({}, async (shown) => {
    await shown.type(/^Your client/, "ada");
    assert.deepEqual(shown.firsts(), ["A2", "B3", "A1"]);
    assert.equal(localStorage.getItem("icefarm.owner"), "ada");
    assert.equal(shown.see.getByText("Your boards").getAttribute("href"), "#/client/ada");
  }));

test("a board that changes is drawn with the next batch of events", () =>
  see({}, async (shown) => {
    await shown.tell("device", board("A1", { status: "offline", reason: "not connected" }));
    assert.ok(shown.rows().some(([serial, state]) => serial === "A1" && state === "–offline"));
    await shown.tell("deleted", { serials: ["A1"] });
    assert.deepEqual(shown.firsts(), ["B3", "A2"]);
  }));

test("the time that is left counts down by itself", () =>
  see({}, async (shown) => {
    const left = () => shown.rows().find(([serial]) => serial === "A2");
    assert.ok(left()?.includes("1 min 30 s"));
    await shown.pass(31_000);
    assert.ok(left()?.includes("59 s"));
  }));

test("rates are those of the last heartbeats", () =>
  see({}, async (shown) => {
    await shown.tell("reading", { boards: { A1: reading({ rate: 12.34 }) } });
    assert.ok(shown.rows().some((cells) => cells[0] === "A1" && cells.includes("12.3")));
  }));

test("names are text and never markup", () =>
  see(
    { answers: { snapshot: snapshot([reserved(`s ${HOSTILE}`, `c ${HOSTILE}`, { worker: `w ${HOSTILE}` })]) } },
    async (shown) => {
      assert.equal(shown.firsts()[0], `s ${HOSTILE}`);
      assert.ok(shown.rows()[0]?.includes(`c ${HOSTILE}`));
      assert.equal(shown.root.querySelectorAll("main img").length, 0);
      await shown.follow(`board/${encodeURIComponent(`s ${HOSTILE}`)}`);
      assert.equal(shown.see.getByRole("heading", { level: 1 }).querySelector(".mono")?.textContent, `s ${HOSTILE}`);
      assert.equal(document.title, `Board s ${HOSTILE} · icefarm`);
    },
  ));

test("names of what every object has are names like others", () =>
  see(
    { answers: { snapshot: snapshot(["constructor", "__proto__", "toString"].map((name) => reserved(name, name))) } },
    (shown) => {
      assert.deepEqual([...shown.firsts()].sort(), ["__proto__", "constructor", "toString"]);
    },
  ));

test("of 30,000 boards only those in sight are drawn, and all are counted", () =>
  see(
    { answers: { snapshot: snapshot(Array.from({ length: 30_000 }, (_, index) => board(`S${index}`))) } },
    async (shown) => {
      assert.ok(shown.rows().length < 60);
      assert.match(shown.text, /30000 of 30000 boards/);
      assert.equal(shown.see.getByRole("table").getAttribute("aria-rowcount"), "30001");
      await shown.type(/^Filter/, "serial:S29999");
      assert.deepEqual(shown.firsts(), ["S29999"]);
    },
  ));

test("a narrow screen has a card for each board, with a list to sort by", () =>
  see({ width: 300 }, async (shown) => {
    assert.ok(shown.root.querySelector("table.cards"));
    assert.match(shown.rows()[0]?.[0] ?? "", /^B3✕broken/);
    await shown.choose(/^Sort by/, "serial");
    assert.match(shown.rows()[0]?.[0] ?? "", /^A1/);
    await shown.click("Ascending; sort descending");
    assert.match(shown.rows()[0]?.[0] ?? "", /^B3/);
    assert.equal(window.location.hash, "#/boards?sort=-serial");
  }));

test("arrow keys go from board to board", () =>
  see({}, async (shown) => {
    const link = (name: string) => shown.see.getByRole("link", { name });
    Object.assign(Element.prototype, { scrollIntoView: () => {} });
    link("B3").focus();
    await shown.press(link("B3"), "ArrowDown");
    assert.ok(document.activeElement === link("A2"));
    await shown.press(link("A2"), "ArrowUp");
    assert.ok(document.activeElement === link("B3"));
    await shown.press(link("B3"), "ArrowUp");
    assert.ok(document.activeElement === link("B3"));
  }));

test("a farm without boards says how they come", () =>
  see({ answers: { snapshot: snapshot([]) } }, (shown) => {
    assert.match(shown.text, /There is no board yet/);
    assert.match(shown.text, /twistd -n icefarm-worker --control http:\/\/farm:8080/);
    assert.ok(shown.root.querySelector("table") === null);
  }));

test("a farm that says its own address is joined there", () =>
  see({ answers: { snapshot: snapshot([], { farm: { url: "https://farm.example" } }) } }, (shown) => {
    assert.match(shown.text, /--control https:\/\/farm\.example/);
  }));

test("figures count boards, requests and workers, and lead to what they count", () =>
  see(
    {
      answers: {
        snapshot: snapshot(BOARDS, {
          queue: [request("eve", { since: NOW - 75 })],
          workers: [worker("w1"), worker("w2", { status: "offline" })],
          readings: { A2: reading({ rate: 20 }) },
        }),
      },
    },
    (shown) => {
      const tiles = [...shown.root.querySelectorAll(".tile")];
      assert.deepEqual(
        tiles.map((tile) => tile.querySelector(".value")?.textContent),
        ["1 / 3", "1", "1 / 2", "1", "20"],
      );
      assert.match(tiles[1]?.textContent ?? "", /the longest for 1 min 15 s/);
      assert.equal(tiles[3]?.getAttribute("href"), "#/boards?filter=state%3Abroken%2Coffline");
    },
  ));

const QUEUED = snapshot(BOARDS, { workers: [worker("w1")], queue: [request("eve")] });

for (const place of ["boards", "board/A2", "workers", "worker/w1", "queue", "client/eve", "account/ada", "class"]) {
  test(`a reader who only watches has nothing to act with on ${place}`, () =>
    see({ at: place, answers: { snapshot: QUEUED } }, async (shown) => {
      assert.equal(shown.root.querySelectorAll(".actions button, input[type=checkbox], .edit-labels").length, 0);
      shown.farm.roles = { "": "client", secret: "operator" };
      await shown.when(() => shown.page.live.signIn("secret"));
      assert.ok(shown.root.querySelectorAll(".actions button, input[type=checkbox], .edit-labels").length > 0);
    }));
}

test("an operator acts on one board, after a question that names it", () =>
  see({ as: "operator", answers: { end_any: null } }, async (shown) => {
    await shown.click("End the reservation of board A2");
    assert.match(shown.text, /End the reservation of board A2 by client ada\/night\?/);
    assert.deepEqual(shown.farm.asked("end_any"), []);
    await shown.confirm();
    assert.deepEqual(shown.farm.asked("end_any"), [{ serials: ["A2"] }]);
    assert.match(shown.text, /Board A2: the reservation of ada\/night has ended/);
  }));

test("an action that is taken back is not carried out", () =>
  see({ as: "operator" }, async (shown) => {
    await shown.click("Test board B3 again");
    await shown.click("Cancel");
    assert.ok(shown.see.queryByRole("dialog") === null);
    assert.deepEqual(shown.farm.asked("retest"), []);
  }));

test("an operator acts on the boards that are selected", () =>
  see({ as: "operator", answers: { reboot: null } }, async (shown) => {
    await shown.click(shown.see.getByLabelText("Select all that are shown"));
    const bar = () => shown.see.getByRole("toolbar").textContent ?? "";
    assert.match(bar(), /^3 boards selected/);
    await shown.click(shown.see.getByLabelText("Select B3"));
    assert.match(bar(), /^2 boards selected/);
    assert.equal(shown.see.getByLabelText<HTMLInputElement>("Select all that are shown").indeterminate, true);
    await shown.click("Reboot (2)");
    assert.match(shown.see.getByRole("dialog").textContent ?? "", /A2, A1|A1, A2/);
    await shown.click("Reboot: 2 boards");
    const [asked] = shown.farm.asked("reboot");
    assert.deepEqual((asked?.serials as string[] | undefined)?.toSorted(), ["A1", "A2"]);
    await shown.click("Select none");
    assert.ok(shown.see.queryByRole("toolbar") === null);
  }));

test("a selected board that is deleted is selected no more", () =>
  see({ as: "operator" }, async (shown) => {
    await shown.click(shown.see.getByLabelText("Select B3"));
    await shown.click(shown.see.getByLabelText("Select A1"));
    await shown.tell("deleted", { serials: ["B3"] });
    assert.match(shown.see.getByRole("toolbar").textContent ?? "", /^1 board selected/);
  }));

test("without a link, what was known stays, and nothing can be asked for", () =>
  see({ as: "operator" }, async (shown) => {
    await shown.when(() => shown.farm.drop());
    assert.match(shown.see.getByRole("alert").textContent ?? "", /Not connected to the farm: the connection was lost/);
    assert.match(shown.text, /What is shown is old; actions are off/);
    assert.equal(shown.rows().length, 3);
    assert.ok([...shown.root.querySelectorAll<HTMLButtonElement>(".actions button")].every(({ disabled }) => disabled));
    await shown.pass(1000);
    assert.equal(shown.see.getByRole("alert").textContent, "");
    assert.equal(shown.button("Reboot board A1").disabled, false);
  }));

test("what changed while the link was lost is there when it comes back", () =>
  see({}, async (shown) => {
    shown.farm.answers.snapshot = snapshot([board("A1"), board("C9")]);
    await shown.when(() => shown.farm.drop());
    await shown.pass(1000);
    assert.deepEqual(shown.firsts(), ["A1", "C9"]);
  }));
