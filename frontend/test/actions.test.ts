import assert from "node:assert/strict";
import { test } from "node:test";

import { boardActions, bulkActions, bulkWorkerActions, queueActions, workerActions } from "../src/actions.ts";
import type { BoardRecord } from "../src/records.ts";
import { board, request, reserved, worker } from "./made.ts";

const ids = (one: BoardRecord) => boardActions(one).map((action) => action.id);

test("actions fit the board", () => {
  assert.deepEqual(ids(board("A")), ["reboot"]);
  assert.deepEqual(ids(reserved("A", "ada")), ["end", "reboot"]);
  assert.deepEqual(ids(board("A", { status: "broken" })), ["retest", "reboot", "delete"]);
  assert.deepEqual(ids(board("A", { status: "offline" })), ["delete"]);
});

test("an action names the board and its client", () => {
  assert.match(boardActions(reserved("A", "ada"))[0]?.question ?? "", /board A by client ada/);
  assert.match(boardActions(board("A"))[0]?.question ?? "", /nobody has it reserved/);
});

test("draining names the clients that it concerns", () => {
  const boards = [reserved("A", "ada"), reserved("B", "ada"), reserved("C", "zoe", { worker: "w2" })];
  assert.match(workerActions(worker("w1"), boards)[0]?.question ?? "", /used by ada\)/);
  assert.match(workerActions(worker("w3"), boards)[0]?.question ?? "", /no client uses its boards/);
});

test("a draining worker can be resumed", () => {
  assert.equal(workerActions(worker("w1", { draining: true }), [])[0]?.procedure, "resume");
});

test("a request is removed by its id", () => {
  assert.deepEqual(queueActions(request("ada"))[0]?.fields, { ids: ["q-ada"] });
  assert.match(queueActions(request("ada", { serials: ["A"] }))[0]?.question ?? "", /board A/);
});

test("an action on several boards concerns those that it fits", () => {
  const actions = bulkActions([board("A"), reserved("B", "ada"), board("C", { status: "broken" })]);
  assert.deepEqual(
    actions.map(({ id, fields }) => [id, fields.serials]),
    [
      ["end", ["B"]],
      ["retest", ["C"]],
      ["reboot", ["A", "B", "C"]],
      ["delete", ["C"]],
    ],
  );
});

test("an action on several boards says how many and whose", () => {
  const [end] = bulkActions([reserved("A", "ada"), reserved("B", "zoe")]);
  assert.equal(end?.label, "End reservations (2)");
  assert.match(end?.question ?? "", /2 boards \(reserved by ada, zoe\)/);
  assert.match(end?.consequence ?? "", /^A, B\. /);
});

test("of many boards the first few are named", () => {
  const many = Array.from({ length: 30 }, (_, index) => board(`S${index}`));
  assert.match(bulkActions(many)[0]?.consequence ?? "", /^S0, S1, S2, S3, S4, S5 and 24 more\. /);
});

test("an action on several boards or workers names all who share one of them", () => {
  const shared = reserved("A", "ada", { shares: { r1: "ada", r2: "bob" } });
  assert.match(bulkActions([shared, board("B")])[0]?.question ?? "", /\(reserved by ada, bob\)\?$/);
  assert.match(
    bulkWorkerActions([worker("w1")], [shared])[0]?.question ?? "",
    /\(their boards are used by ada, bob\)\?$/,
  );
});

test("nothing can be done with no boards", () => {
  assert.deepEqual(bulkActions([]), []);
});

test("an action on several workers is one call for those that it fits", () => {
  const workers = [worker("w1"), worker("w2", { draining: true }), worker("w3")];
  const actions = bulkWorkerActions(workers, [reserved("A", "ada"), reserved("B", "zoe", { worker: "w2" })]);
  assert.deepEqual(
    actions.map(({ procedure, fields }) => [procedure, fields]),
    [
      ["drain", { workers: ["w1", "w3"] }],
      ["resume", { workers: ["w2"] }],
    ],
  );
  assert.match(actions[0]?.question ?? "", /^Drain: 2 workers \(their boards are used by ada\)/);
  assert.match(actions[1]?.consequence ?? "", /^w2\. Clients that wait/);
  assert.deepEqual(bulkWorkerActions([], []), []);
});
