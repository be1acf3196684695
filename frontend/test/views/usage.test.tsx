// Usage, and the farm's plots.

import assert from "node:assert/strict";
import { test } from "node:test";

import { board, snapshot, used } from "../made.ts";
import { refusal } from "../testfarm.ts";
import { looking, NOW, type Scene, type Shown } from "./show.tsx";

const USAGE = {
  since: 0,
  until: NOW,
  usage: [
    used("ada", { seconds: 90, evaluations: 1500, failed: 2 }),
    used("eve", { seconds: 7200, reservations: 3 }),
    used("idle", { seconds: 0, last_at: null }),
  ],
};
const see = (scene: Scene, look: (shown: Shown) => Promise<void> | void) =>
  looking(
    { at: "usage", ...scene, answers: { snapshot: snapshot([board("A")]), usage: USAGE, ...scene.answers } },
    look,
  );

test("the longest use comes first", () =>
  see({ as: "operator" }, (shown) => {
    assert.deepEqual(shown.firsts("Usage"), ["eve", "ada", "idle"]);
    assert.deepEqual(shown.rows("Usage")[1]?.slice(0, 6), ["ada", "1 min 30 s", "1", "1", "1,500", "2"]);
    assert.match(shown.text, /All accounts, since/);
    assert.match(shown.text, /The time is that of reservations/);
  }));

test("what was never used comes last whichever way the last use is sorted", () =>
  see({ as: "operator", at: "usage?sort=-last" }, async (shown) => {
    assert.equal(shown.firsts("Usage").at(-1), "idle");
    await shown.click(/^Last used/);
    assert.equal(shown.firsts("Usage").at(-1), "idle");
  }));

test("usage is told apart as the reader wants, by one thing at least", () =>
  see({ as: "operator" }, async (shown) => {
    assert.equal(shown.see.getByLabelText<HTMLInputElement>("Account").disabled, true);
    await shown.click(shown.see.getByLabelText("Experiment"));
    assert.equal(shown.farm.asked("usage").at(-1)?.by, "account,experiment");
    assert.match(shown.text, /from the first result of each day to the last/);
    assert.ok(shown.see.queryByRole("columnheader", { name: /^Reservations/ }) === null);
    await shown.click(shown.see.getByLabelText("Account"));
    assert.equal(shown.farm.asked("usage").at(-1)?.by, "experiment");
  }));

test("the time that is asked for ends now by the farm's clock, to the minute", () => {
  const farm = snapshot([board("A")], { time: NOW + 86_400 });
  return see({ as: "operator", at: "usage?since=1d", answers: { snapshot: farm } }, async (shown) => {
    assert.deepEqual(shown.farm.asked("usage")[0], { by: "account", since: 960 });
    await shown.choose("Last", "7d");
    assert.equal(shown.farm.asked("usage").at(-1)?.since, 960 - 6 * 86_400);
  });
});

test("an account of an address is the only one, until all are chosen", () =>
  see({ as: "operator", at: "usage?account=ada" }, async (shown) => {
    assert.equal(shown.farm.asked("usage")[0]?.account, "ada");
    assert.match(shown.text, /Account ada, since/);
    await shown.click("All accounts");
    assert.equal(shown.farm.asked("usage").at(-1)?.account, undefined);
  }));

test("a client sees its own account", () =>
  see({ as: "client", answers: { usage: { ...USAGE, usage: [] } } }, (shown) => {
    assert.match(shown.text, /Your own account, since/);
    assert.match(shown.text, /Nothing was used in this time by your own account/);
  }));

test("usage is saved as a table", () =>
  see({ as: "operator" }, async (shown) => {
    const saved: { name: string; blob: Blob }[] = [];
    const made = URL.createObjectURL;
    URL.createObjectURL = (blob: Blob) => {
      saved.push({ name: "", blob });
      return "blob:x";
    };
    const click = window.HTMLAnchorElement.prototype.click;
    window.HTMLAnchorElement.prototype.click = function () {
      (saved.at(-1) as { name: string }).name = this.download;
    };
    try {
      await shown.click("CSV");
    } finally {
      URL.createObjectURL = made;
      window.HTMLAnchorElement.prototype.click = click;
    }
    assert.match(saved[0]?.name ?? "", /^icefarm-usage-1970-01-01-.*\.csv$/);
    assert.match((await saved[0]?.blob.text()) ?? "", /^account,serial,.*\r\nada,,,1,1,90,1500,2,0,1\.5\r\n/);
  }));

test("usage that one may not see is refused by name", () =>
  see({ answers: { usage: refusal("not_authorized", "sign in to see your usage") } }, (shown) => {
    assert.match(shown.text, /not_authorized: sign in to see your usage/);
    assert.equal(shown.button("CSV").disabled, true);
  }));

const STATES = {
  available: [1, 1],
  reserved: [0, 2],
  flashing: [0, 0],
  testing: [0, 0],
  broken: [0, 0],
  offline: [0, 0],
};
const HISTORY = {
  step: 10, until: NOW, time: [NOW - 10, NOW], states: STATES, rate: [0, 12.5], failures: [0, 0], waiting: [1, 0], longest_wait: [7, 0],
}; // biome-ignore format: a record in few lines
const plots = (scene: Scene, look: (shown: Shown) => Promise<void> | void) =>
  see({ at: "plots", ...scene, answers: { history: HISTORY, ...scene.answers } }, look);

test("the farm's plots say in words what they show", () =>
  plots({}, (shown) => {
    assert.deepEqual(shown.plots(), [
      "Boards by state; now: available 1, reserved 2, testing 0, flashing 0, offline 0, broken 0",
      "Evaluations/s; now: evaluations 12.5",
      "Waiting requests; now: waiting 0",
      "Longest wait; now: wait 0 s",
      "Failed evaluations/s; now: failures 0",
    ]);
  }));

test("how far back plots go is in the address", () =>
  plots({}, async (shown) => {
    assert.deepEqual(shown.farm.asked("history"), [{ seconds: 3600 }]);
    await shown.click("24 h");
    assert.deepEqual(shown.farm.asked("history").at(-1), { seconds: 86_400 });
    assert.equal(window.location.hash, "#/plots?span=86400");
    assert.equal(shown.button("24 h").getAttribute("aria-pressed"), "true");
  }));

for (const query of ["span=-5", "span=1e99", "span=x", "from=9&to=1", "from=x&to=NaN"]) {
  test(`plots of "${query}" are those of the last hour`, () =>
    plots({ at: `plots?${query}` }, (shown) => {
      assert.deepEqual(shown.farm.asked("history"), [{ seconds: 3600 }]);
    }));
}

test("a moment that the keyboard chooses is that of all plots", () =>
  plots({}, async (shown) => {
    const slider = shown.see.getByLabelText("Moment of Evaluations/s");
    await shown.type("Moment of Evaluations/s", "0");
    assert.match(slider.getAttribute("aria-valuetext") ?? "", /: evaluations 0 $/);
    assert.match(
      shown.see.getByLabelText("Moment of Longest wait").getAttribute("aria-valuetext") ?? "",
      /: wait 7 s$/,
    );
  }));

test("a farm that has recorded nothing yet has empty plots", () =>
  plots(
    {
      answers: {
        history: {
          ...HISTORY,
          time: [],
          rate: [],
          failures: [],
          waiting: [],
          longest_wait: [],
          states: Object.fromEntries(Object.keys(STATES).map((state) => [state, []])),
        },
      },
    },
    (shown) => {
      assert.equal(shown.plots()[1], "Evaluations/s; now: nothing was recorded yet");
      assert.ok(shown.see.queryByLabelText("Moment of Evaluations/s") === null);
    },
  ));
