import assert from "node:assert/strict";
import { test } from "node:test";

process.env.TZ = "Europe/Berlin";

import { board, booking, snapshot, worker } from "../made.ts";
import { type Fields, refusal } from "../testfarm.ts";
import { looking, NOW, type Scene, type Shown } from "./show.tsx";

const at = (text: string) => new Date(text).getTime() / 1000;
/** The farm's clock is that of a Tuesday; the reader's is years behind. */
const TUESDAY = at("2026-12-01T10:20:00");
const BOOKINGS = [
  booking("mine", {
    account: "students",
    starts_at: TUESDAY,
    ends_at: TUESDAY + 7200,
    booked_by: "students/ada",
    where: "lab=3",
  }),
  booking("other", {
    account: "class-a",
    starts_at: TUESDAY + 3600,
    ends_at: TUESDAY + 10_800,
    amount: 3,
    kept: 1,
    kind: "pulsecount",
  }),
];
const FARM = snapshot([board("A")], {
  time: TUESDAY,
  bookings: BOOKINGS,
  workers: [worker("w1"), worker("w2", { kinds: ["variance", "pulsecount"] })],
});
const see = (scene: Scene, look: (shown: Shown) => Promise<void> | void) =>
  looking({ at: "bookings", ...scene, answers: { snapshot: FARM, ...scene.answers } }, look);
const form = (shown: Shown) => shown.see.getByRole("form", { name: "Book boards" });

test("the week of the farm's day is shown, with the zone of its times", () =>
  see({}, (shown) => {
    assert.match(shown.text, /2026-11-30 to 2026-12-06, times in Europe\/Berlin \(CET\)/);
    const days = [...shown.root.querySelectorAll(".day .date")].map((day) => day.textContent);
    assert.deepEqual(days, ["Mon 30", "Tue 01", "Wed 02", "Thu 03", "Fri 04", "Sat 05", "Sun 06"]);
    assert.equal(shown.root.querySelector(".day.today .date")?.textContent, "Tue 01");
  }));

test("bookings of one time stand beside one another", () =>
  see({}, (shown) => {
    const blocks = [...shown.root.querySelectorAll<HTMLElement>(".booking")];
    assert.deepEqual(
      blocks.map(({ textContent }) => textContent),
      ["students 2 boards", "class-a 3 boards"],
    );
    assert.deepEqual(
      blocks.map(({ style }) => [style.left, style.width]),
      [
        ["0%", "50%"],
        ["50%", "50%"],
      ],
    );
    assert.match(
      blocks[1]?.title ?? "",
      /^3 boards of kind pulsecount for class-a, 2026-12-01 11:20, 2 h, of which 1 is still kept$/,
    );
  }));

test("other weeks are in the address", () =>
  see({}, async (shown) => {
    await shown.click("Week after ›");
    assert.equal(window.location.hash, "#/bookings?week=2026-12-07");
    assert.equal(shown.root.querySelectorAll(".booking").length, 0);
    await shown.click("‹ Week before");
    assert.equal(shown.root.querySelectorAll(".booking").length, 2);
    await shown.click("This week");
    assert.equal(window.location.hash, "#/bookings");
  }));

for (const week of ["nonsense", "2026-99-99", "0000-00-00", "9999-12-31", "../../x"]) {
  test(`week "${week}" of an address is a week`, () =>
    see({ at: `bookings?week=${week}` }, (shown) => {
      assert.equal(shown.root.querySelectorAll(".day").length, 7);
    }));
}

test("a reader without an account may look, and not book", () =>
  see({}, (shown) => {
    assert.match(shown.text, /Sign in to book boards for your account/);
    assert.ok(shown.see.queryByRole("form") === null);
    assert.match(
      shown.text,
      /students: 2 boards where lab=3 for students, 2026-12-01 10:20, 2 h; booked by students\/ada/,
    );
  }));

test("an account books from the next whole hour on, unless it chooses another time", () => {
  const book = (fields: Fields) =>
    booking("new", {
      account: "students",
      amount: Number(fields.amount),
      starts_at: Number(fields.starts_at),
      ends_at: Number(fields.starts_at) + 7200,
      kept: 1,
    });
  return see({ as: "client", answers: { book } }, async (shown) => {
    assert.equal(shown.see.getByLabelText<HTMLInputElement>(/^From/).value, "2026-12-01T11:00");
    await shown.submit(form(shown));
    assert.deepEqual(shown.farm.asked("book"), [
      { starts_at: at("2026-12-01T11:00:00"), seconds: 7200, amount: 1, account: null, kind: null, where: null },
    ]);
    assert.match(shown.text, /Booked: 1 board for students, 2026-12-01 11:00, 2 h\./);
  });
});

test("an operator books for an account or a group", () =>
  see({ as: "operator", answers: { book: booking("new") } }, async (shown) => {
    await shown.type(/^For account/, " class-a ");
    await shown.type(/^Where/, "lab=3");
    await shown.submit(form(shown));
    const [asked] = shown.farm.asked("book");
    assert.deepEqual([asked?.account, asked?.where], ["class-a", "lab=3"]);
  }));

test("a time that does not exist is not sent", () =>
  see({ as: "client" }, async (shown) => {
    await shown.type(/^From/, "2027-03-28T02:30");
    await shown.submit(form(shown));
    assert.match(shown.text, /There is no 2027-03-28 02:30 here: clocks are put forward then/);
    assert.deepEqual(shown.farm.asked("book"), []);
  }));

test("the farm's refusal has times of the reader's zone", () =>
  see(
    { as: "client", answers: { book: refusal("invalid_argument", "booked until 2026-12-01 11:00 UTC") } },
    async (shown) => {
      await shown.submit(form(shown));
      assert.match(shown.root.querySelector("form .problem")?.textContent ?? "", /booked until 2026-12-01 12:00$/);
    },
  ));

test("an account cancels its own bookings, and those alone", () =>
  see({ as: "client", answers: { cancel_bookings: null } }, async (shown) => {
    const [own, other] = [...shown.root.querySelectorAll<HTMLButtonElement>(".booking")];
    assert.deepEqual([own?.disabled, other?.disabled], [false, true]);
    await shown.click(own as Element);
    await shown.confirm();
    assert.deepEqual(shown.farm.asked("cancel_bookings"), [{ ids: ["mine"] }]);
  }));

test("a booking that ends leaves the week", () =>
  see({}, async (shown) => {
    await shown.tell("booking", { ...BOOKINGS[0], ended_at: TUESDAY, end_reason: "cancelled" });
    await shown.tell("booking", { ...BOOKINGS[1], ended_at: TUESDAY, end_reason: "cancelled" });
    assert.match(shown.text, /Nothing is booked/);
  }));

test("a click on a day chooses its half hour", () =>
  see({ as: "client" }, async (shown) => {
    const slots = shown.root.querySelectorAll<HTMLElement>(".slots")[2] as HTMLElement;
    slots.getBoundingClientRect = () => new DOMRect(0, 100, 50, 480);
    await shown.when(() => slots.dispatchEvent(new MouseEvent("click", { clientY: 100 + 190, bubbles: true })));
    assert.equal(shown.see.getByLabelText<HTMLInputElement>(/^From/).value, "2026-12-02T09:30");
  }));

test("kinds that workers offer are proposed, each once", () =>
  see({ as: "client" }, (shown) => {
    const kinds = [...shown.root.querySelectorAll<HTMLOptionElement>("#kinds option")].map(({ value }) => value);
    assert.deepEqual(kinds, ["pulsecount", "variance"]);
  }));

test("the clock of the page goes on, and so does its day", () =>
  see({ answers: { snapshot: { ...FARM, time: at("2026-12-01T23:59:58") } } }, async (shown) => {
    await shown.pass(3000);
    assert.equal(shown.root.querySelector(".day.today .date")?.textContent, "Wed 02");
    assert.equal(Math.floor(Date.now() / 1000), NOW + 3);
  }));
