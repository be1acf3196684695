// Pure: what a person may ask of the farm here: the question to confirm, the call, and the words for its success.

import type { Member } from "./classroom.ts";
import { accountOf } from "./identity.ts";
import type { BoardRecord, BookingRecord, QueueRecord, WorkerRecord } from "./records.ts";
import { clientsOf, count } from "./wording.ts";

export interface Action {
  readonly id: string;
  /** On its button. */
  readonly label: string;
  /** The whole of it, naming the thing. */
  readonly about: string;
  readonly question: string;
  readonly consequence: string;
  readonly procedure: string;
  readonly fields: Record<string, unknown>;
  readonly done: string;
}

function whose(board: BoardRecord): string {
  return board.client === null ? "nobody has it reserved" : `reserved by ${clientsOf(board).join(", ")}`;
}

/** What can be done with a board as it is; operators only. */
export function boardActions(board: BoardRecord): readonly Action[] {
  const { serial } = board;
  const actions: Action[] = [];
  if (board.reservation !== null) {
    const holders = clientsOf(board).join(", ");
    actions.push({
      id: "end",
      label: "End",
      about: `End the reservation of board ${serial}`,
      question: `End the reservation of board ${serial} by client ${holders}?`,
      consequence: "Its running evaluations fail, and the board is free for others.",
      procedure: "end_any",
      fields: { serials: [serial] },
      done: `Board ${serial}: the reservation of ${holders} has ended.`,
    });
  }
  if (board.status === "broken") {
    actions.push({
      id: "retest",
      label: "Test",
      about: `Test board ${serial} again`,
      question: `Test board ${serial} again (${whose(board)})?`,
      consequence: "If it passes, it returns to service.",
      procedure: "retest",
      fields: { serials: [serial] },
      done: `Board ${serial} is being tested.`,
    });
  }
  if (board.status !== "offline") {
    actions.push({
      id: "reboot",
      label: "Reboot",
      about: `Reboot board ${serial}`,
      question: `Reboot board ${serial} (${whose(board)})?`,
      consequence: "It is flashed and tested again. A reservation stays; interrupted evaluations are repeated.",
      procedure: "reboot",
      fields: { serials: [serial] },
      done: `Board ${serial} is being rebooted.`,
    });
  }
  if (board.reservation === null && (board.status === "broken" || board.status === "offline")) {
    actions.push({
      id: "delete",
      label: "Delete",
      about: `Delete board ${serial}`,
      question: `Delete board ${serial} from the farm (${whose(board)})?`,
      consequence: "It is removed from the farm, and comes back when it is plugged in again.",
      procedure: "delete",
      fields: { serials: [serial] },
      done: `Board ${serial} was deleted.`,
    });
  }
  return actions;
}

const BULK: Readonly<Record<string, { label: string; consequence: string; done: string }>> = {
  end: {
    label: "End reservations",
    consequence: "Running evaluations on these boards fail, and the boards are free for others.",
    done: "Reservations ended",
  },
  retest: { label: "Test", consequence: "Boards that pass return to service.", done: "Being tested" },
  reboot: {
    label: "Reboot",
    consequence: "They are flashed and tested again. Reservations stay; interrupted evaluations are repeated.",
    done: "Being rebooted",
  },
  delete: {
    label: "Delete",
    consequence: "They are removed from the farm, and come back when they are plugged in again.",
    done: "Deleted",
  },
};

/** What can be done with several boards at once, each action with the boards that it fits. */
export function bulkActions(boards: readonly BoardRecord[]): readonly Action[] {
  const fitting = new Map<string, { action: Action; serials: string[]; clients: Set<string> }>();
  for (const board of boards) {
    for (const action of boardActions(board)) {
      const known = fitting.get(action.id) ?? { action, serials: [], clients: new Set<string>() };
      known.serials.push(board.serial);
      for (const client of clientsOf(board)) known.clients.add(client);
      fitting.set(action.id, known);
    }
  }
  return Object.entries(BULK).flatMap(([id, { label, consequence, done }]) => {
    const found = fitting.get(id);
    if (found === undefined) return [];
    const { action, serials, clients } = found;
    const amount = count(serials.length, "board");
    const whom = clients.size === 0 ? "nobody has them reserved" : `reserved by ${[...clients].join(", ")}`;
    const about = `${label}: ${amount}`;
    const question = `${label}: ${amount} (${whom})?`;
    return [
      {
        ...action,
        label: `${label} (${serials.length})`,
        about,
        question,
        consequence: `${listed(serials)}. ${consequence}`,
        fields: { serials },
        done: `${done}: ${amount}.`,
      },
    ];
  });
}

/** What can be done with a worker: the clients that it concerns are named. */
export function workerActions(worker: WorkerRecord, boards: readonly BoardRecord[]): readonly Action[] {
  const { name } = worker;
  const clients = [...new Set(boards.filter((each) => each.worker === name).flatMap(clientsOf))];
  const whom = clients.length === 0 ? "no client uses its boards" : `its boards are used by ${clients.join(", ")}`;
  if (worker.draining) {
    return [
      {
        id: "resume",
        label: "Resume",
        about: `Resume worker ${name}`,
        question: `Let the boards of worker ${name} be reserved again (${whom})?`,
        consequence: "A client that waits for boards may get them at once.",
        procedure: "resume",
        fields: { worker: name },
        done: `Worker ${name}: its boards can be reserved again.`,
      },
    ];
  }
  return [
    {
      id: "drain",
      label: "Drain",
      about: `Drain worker ${name}`,
      question: `Drain worker ${name} (${whom})?`,
      consequence: "Its boards get no new reservations; existing ones go on until they end.",
      procedure: "drain",
      fields: { worker: name },
      done: `Worker ${name} is being drained.`,
    },
  ];
}

/** What can be done with several workers at once: one call for all that an action fits. */
export function bulkWorkerActions(workers: readonly WorkerRecord[], boards: readonly BoardRecord[]): readonly Action[] {
  const fitting = [
    { id: "drain", label: "Drain", of: workers.filter(({ draining }) => !draining) },
    { id: "resume", label: "Resume", of: workers.filter(({ draining }) => draining) },
  ];
  return fitting.flatMap(({ id, label, of }) => {
    const [first] = of;
    if (first === undefined) return [];
    const names = of.map(({ name }) => name);
    const clients = new Set(boards.filter(({ worker }) => names.includes(worker)).flatMap(clientsOf));
    const whom =
      clients.size === 0 ? "no client uses their boards" : `their boards are used by ${[...clients].join(", ")}`;
    const amount = count(names.length, "worker");
    const drains = id === "drain";
    return [
      {
        id,
        label: `${label} (${names.length})`,
        about: `${label}: ${amount}`,
        question: `${label}: ${amount} (${whom})?`,
        consequence: `${listed(names)}. ${
          drains
            ? "Their boards get no new reservations; existing ones go on until they end."
            : "Clients that wait for boards may get them at once."
        }`,
        procedure: id,
        fields: { workers: names },
        done: `${drains ? "Being drained" : "Boards can be reserved again"}: ${amount}.`,
      },
    ];
  });
}

/** The first few of some names, and how many more there are. */
function listed(names: readonly string[]): string {
  return names.length > 6 ? `${names.slice(0, 6).join(", ")} and ${names.length - 6} more` : names.join(", ");
}

/** What can be done with a request that waits. */
export function queueActions(waiting: QueueRecord): readonly Action[] {
  const wants =
    waiting.serials.length > 0 ? `board ${waiting.serials.join(", ")}` : `${waiting.amount} of kind ${waiting.kind}`;
  return [
    {
      id: "dismiss",
      label: "Remove",
      about: `Remove the request of ${waiting.client}`,
      question: `Remove the request of client ${waiting.client} (${wants}) from the queue?`,
      consequence: "The client gets the error that an operator removed it.",
      procedure: "dismiss",
      fields: { ids: [waiting.id] },
      done: `The request of ${waiting.client} was removed.`,
    },
  ];
}

/** What a reader can do with a booking: cancel it, if it is of the reader's account, or if the reader is an operator. */
export function bookingActions(booking: BookingRecord, operator: boolean, account: string): readonly Action[] {
  const own = account !== "" && (booking.account === account || accountOf(booking.booked_by) === account);
  if (!operator && !own) return [];
  const what = count(booking.amount, "board");
  return [
    {
      id: "cancel",
      label: "Cancel",
      about: `Cancel the booking of ${booking.account}`,
      question: `Cancel the booking of ${what} for ${booking.account}?`,
      consequence: "Everybody may then use its boards. Reservations under it go on.",
      procedure: "cancel_bookings",
      fields: { ids: [booking.id] },
      done: `The booking of ${what} for ${booking.account} is cancelled.`,
    },
  ];
}

/** End all that accounts have, and what they wait for; operators only. */
export function accountsAction(members: readonly Member[]): Action {
  const accounts = members.map(({ account }) => account);
  const boards = members.reduce((sum, member) => sum + member.boards.length, 0);
  const whom = accounts.length === 1 ? `account ${accounts[0]}` : count(accounts.length, "account");
  const waits = accounts.length === 1 ? "it waits" : "they wait";
  return {
    id: "end-accounts",
    label: "End all",
    about: `End all of ${whom}`,
    question: `End all of ${whom}: ${count(boards, "board")}, and what ${waits} for?`,
    consequence: `${listed(accounts)}. Running evaluations fail, and the boards are free for others.`,
    procedure: "end_accounts",
    fields: { accounts },
    done: `All of ${whom} has ended.`,
  };
}
