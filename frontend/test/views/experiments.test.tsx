import assert from "node:assert/strict";
import { test } from "node:test";

import type { ExperimentSeries, RunRecord } from "../../src/records.ts";
import { board, experiment, snapshot, steps } from "../made.ts";
import { type Fields, refusal } from "../testfarm.ts";
import { looking, NOW, type Scene, type Shown } from "./show.tsx";

const LIST = {
  experiments: [
    experiment("ga-7", { done: 40, failed: 10, total: 200, rate: 5, last_at: NOW - 5 }),
    experiment("old", { account: "eve", done: 1234, last_at: NOW - 500 }),
    experiment("done", { account: "eve", done: 9, failed: 1, total: 10, last_at: NOW - 50 }),
  ],
  next: null,
};
const see = (scene: Scene, look: (shown: Shown) => Promise<void> | void) =>
  looking(
    { at: "experiments", ...scene, answers: { snapshot: snapshot([board("A")]), experiments: LIST, ...scene.answers } },
    look,
  );

test("experiments that run come first, each with how far it is", () =>
  see({}, (shown) => {
    const [running, done, idle] = shown.rows("Experiments");
    assert.deepEqual(running?.slice(0, 7), ["ga-7", "ada", "●running", "40 / 200", "5", "30 s", "10"]);
    assert.deepEqual(done?.slice(0, 4), ["done", "eve", "✓complete", "9 / 10"]);
    assert.deepEqual(idle?.slice(0, 4), ["old", "eve", "○idle", "1,234"]);
    assert.equal(shown.root.querySelector("progress")?.value, 0.25);
  }));

test("experiments are filtered and sorted in the address", () =>
  see({ at: "experiments?filter=account:eve&sort=-experiment" }, async (shown) => {
    assert.deepEqual(shown.firsts("Experiments"), ["old", "done"]);
    assert.match(shown.text, /2 of 3 experiments/);
    await shown.type("Filter", "state:complete");
    assert.deepEqual(shown.firsts("Experiments"), ["done"]);
    await shown.type("Filter", "board:A");
    assert.match(shown.text, /there is no field "board"; there are name, account, state/);
  }));

test("experiments that have no time left come last whichever way the time is sorted", () =>
  see({ at: "experiments?sort=-left" }, async (shown) => {
    assert.equal(shown.firsts("Experiments")[0], "ga-7");
    await shown.click(/^Time left/);
    assert.equal(shown.firsts("Experiments")[0], "ga-7");
  }));

test("an experiment that expects nothing is complete, and all of it is done", () =>
  see({ answers: { experiments: { experiments: [experiment("empty", { total: 0 })], next: null } } }, (shown) => {
    assert.deepEqual(shown.rows("Experiments")[0]?.slice(2, 4), ["✓complete", "0 / 0"]);
    assert.equal(shown.root.querySelector("progress")?.value, 1);
  }));

test("a list that is longer than the page says how much of it there is", () =>
  see({ answers: { experiments: { ...LIST, next: "x" } } }, (shown) => {
    assert.match(shown.text, /3 of the last 3 experiments/);
  }));

test("a farm without experiments says how a script names one", () =>
  see({ answers: { experiments: { experiments: [], next: null } } }, (shown) => {
    assert.match(shown.text, /Farm\(experiment="ga-7"\)/);
  }));

test("a farm that keeps no measurements says so", () =>
  see({ answers: { experiments: refusal("unavailable", "this farm has no archive") } }, (shown) => {
    assert.match(shown.text, /This farm keeps no measurements/);
  }));

const SERIES: ExperimentSeries = {
  step: 10,
  board_step: 10,
  together: steps([NOW - 40, NOW - 30, NOW - 20], [[2, 6], [10], [4]]),
  boards: { A: steps([NOW - 40], [[2, 6]]), constructor: steps([NOW - 30], [[10]]) },
  next: "7",
};
const NO_MORE = { ...SERIES, together: steps([]), boards: {} };
const part = (serial: string, done: number) => ({ serial, done, failed: 0, first_at: NOW - 40, last_at: NOW - 20 });
const RUN: RunRecord = {
  id: "0123456789abcdef", number: "1", client: "ada", state: "closed", labels: { seed: 4 }, begun_at: NOW - 40,
  results: 50, failed: 10, boards: 2, dropped_at: null,
}; // biome-ignore format: a record in few lines
const ONE = {
  experiment: {
    experiment: LIST.experiments[0],
    boards: [part("A", 2), part("constructor", 1), part("Z", 0)],
    failures: { device_failed: 3, timed_out: 7 },
    time: NOW,
  },
  experiment_series: ({ after }: Fields) => (after === undefined ? SERIES : NO_MORE),
  experiment_figures: { figures: [{ id: 1, time: NOW - 30, figures: { loss: 0.5 } }], next: "1", more: false },
  experiment_runs: {
    runs: [
      RUN,
      { ...RUN, id: null, number: "2", state: "running" },
      { ...RUN, id: "fedc", number: "3", dropped_at: NOW },
    ],
    next: null,
  },
};
const one = (scene: Scene, look: (shown: Shown) => Promise<void> | void) =>
  see({ at: "experiment/ada/ga-7", ...scene, answers: { ...ONE, ...scene.answers } }, look);

test("an experiment says how far it is, and who may read it", () =>
  one({}, (shown) => {
    const facts = shown.root.querySelector(".facts")?.textContent ?? "";
    assert.match(facts, /Done40 \/ 200 \(25 %\)/);
    assert.match(facts, /Time left30 s \(until \d\d:\d\d:\d\d\)/);
    assert.match(facts, /Failures10/);
    assert.match(facts, /Readerseverybody on the farm/);
    assert.equal(document.title, "Experiment ada/ga-7 · icefarm");
  }));

test("values are plotted over time, and so is what the client reported", () =>
  one({}, (shown) => {
    assert.deepEqual(shown.plots(), [
      "Values; now: mean 4, highest 4, lowest 4",
      "Best so far; now: best 10",
      "Values by board; now: A 4, constructor 10",
      "Evaluations/s; now: evaluations 0.1",
      "loss; now: loss 0.5",
    ]);
  }));

test("what is the best is the reader's choice", () =>
  one({}, async (shown) => {
    await shown.choose("Best is the", "lowest");
    assert.equal(shown.plots()[1], "Best so far; now: best 2");
    assert.equal(window.location.hash, "#/experiment/ada/ga-7?best=lowest");
  }));

test("boards are listed with the one first that is farthest from all, and are drawn once they are selected", () =>
  one({}, async (shown) => {
    assert.deepEqual(
      shown.rows("Boards of the experiment").map((cells) => cells.slice(1, 5)),
      [
        ["constructor", "1", "10", "+4.5"],
        ["A", "2", "4", "-1.5"],
        ["Z", "0", "", ""],
      ],
    );
    await shown.click(shown.see.getByLabelText("Select A"));
    assert.equal(shown.plots()[2], "Values by board; now: A 4");
    assert.equal(window.location.hash, "#/experiment/ada/ga-7?boards=A");
    await shown.follow("experiment/ada/ga-7");
    assert.equal(shown.see.getByLabelText<HTMLInputElement>("Select A").checked, false);
    assert.equal(shown.plots()[2], "Values by board; now: A 4, constructor 10");
  }));

test("failures are counted by their reason, the most frequent first", () =>
  one({}, (shown) => {
    assert.deepEqual(shown.rows("Failures by reason"), [
      ["timed_out", "7"],
      ["device_failed", "3"],
    ]);
  }));

test("only what arrived since is asked for, and added to what is shown", () =>
  one({}, async (shown) => {
    shown.farm.answers.experiment_series = { ...SERIES, together: steps([NOW], [[20]]), boards: {}, next: "8" };
    await shown.pass(5000);
    assert.equal(shown.farm.asked("experiment_series").at(-1)?.after, "7");
    assert.equal(shown.plots()[0], "Values; now: mean 20, highest 20, lowest 20");
  }));

test("another experiment is drawn as if it had begun with this one", () =>
  one({}, async (shown) => {
    shown.farm.answers.experiment_series = ({ name }: Fields) =>
      name === "old" ? { ...SERIES, together: steps([0, 10], [[1], [3]]) } : SERIES;
    await shown.choose("Compare with", "eve/old");
    assert.equal(shown.plots()[0], "Values; now: mean 4, mean of eve/old 3, highest 4, lowest 4");
    assert.equal(shown.plots()[1], "Best so far; now: best 10, best of eve/old 3");
  }));

test("values that are tiny are written as they are", () =>
  one({ answers: { experiment_series: { ...SERIES, together: steps([NOW], [[3e-200]]) } } }, (shown) => {
    assert.equal(shown.plots()[0], "Values; now: mean 3e-200, highest 3e-200, lowest 3e-200");
  }));

test("runs are listed with the ids by which they are cited, and their files", () =>
  one({}, (shown) => {
    assert.deepEqual(
      shown.rows("Runs of the experiment").map((cells) => [cells[0], cells[1], cells[3], cells.at(-1)]),
      [
        ["0123456789ab", "closed", "50", "Download"],
        ["2", "running", "", ""],
        ["fedc", "closed", "50", "dropped"],
      ],
    );
    const link = shown.see.getByRole("link", { name: "Download" });
    assert.equal(link.getAttribute("href"), "http://farm:8080/api/runs/0123456789abcdef/file");
  }));

test("without a token a link brings all results; with one the page fetches them", () =>
  one({ as: "client" }, async (shown) => {
    const asked: unknown[] = [];
    const real = globalThis.fetch;
    globalThis.fetch = (async (url: string, options: unknown) => {
      asked.push(url, options);
      return new Response(JSON.stringify({ message: "that is too much" }), { status: 429 });
    }) as never;
    try {
      await shown.click(shown.see.getByRole("link", { name: "CSV" }));
    } finally {
      globalThis.fetch = real;
    }
    assert.deepEqual(asked, [
      "http://farm:8080/api/experiments/ga-7/results?account=ada&format=csv",
      { headers: { Authorization: "Bearer token" } },
    ]);
    assert.match(shown.text, /Download: that is too much/);
  }));

test("an experiment that one may not read is said to be so", () =>
  one({ answers: { experiment: refusal("not_authorized", "it is not yours") } }, (shown) => {
    assert.match(shown.text, /not_authorized: it is not yours/);
    assert.ok(shown.root.querySelector(".plot") === null);
  }));

test("an experiment without results has nothing to plot", () =>
  one(
    {
      answers: {
        experiment_series: { ...SERIES, together: steps([]), boards: {} },
        experiment_figures: { figures: [], next: "0", more: false },
        experiment_runs: { runs: [], next: null },
      },
    },
    (shown) => {
      assert.equal(shown.plots()[0], "Values; now: nothing was recorded yet");
      assert.ok(shown.see.queryByRole("table", { name: "Runs of the experiment" }) === null);
    },
  ));

test("reports are asked for until there are no more", () => {
  const figures = ({ after }: Fields) => ({
    figures: [{ id: 1, time: NOW, figures: { constructor: Number(after) } }],
    next: String(Number(after) + 1),
    more: Number(after) < 2,
  });
  return one({ answers: { experiment_figures: figures } }, (shown) => {
    assert.deepEqual(
      shown.farm.asked("experiment_figures").map(({ after }) => after),
      ["0", "1", "2"],
    );
    assert.equal(shown.plots().at(-1), "constructor; now: constructor 2");
  });
});

test("a zoom that is in the address is what is asked for, and can be left", () =>
  one({ at: "experiment/ada/ga-7?from=900.0&to=950.0" }, async (shown) => {
    const [first] = shown.farm.asked("experiment_series");
    assert.deepEqual([first?.since, first?.until], [900, 950]);
    await shown.click("Zoom out");
    assert.equal(window.location.hash, "#/experiment/ada/ga-7");
  }));
