// Pure: what a person may ask of the farm here: the question to confirm, the call, and the words for its success.

const whose = (device) => (device.client === null ? "nobody has it reserved" : `reserved by ${device.client}`);

/** What can be done with a board as it is; operators only. */
export function boardActions(device) {
  const { serial } = device;
  const actions = [];
  if (device.reservation !== null) {
    actions.push({
      id: "end",
      label: "End",
      about: `End the reservation of board ${serial}`,
      question: `End the reservation of board ${serial} by client ${device.client}?`,
      consequence: "Its running evaluations fail, and the board is free for others.",
      procedure: "end_any",
      fields: { serials: [serial] },
      done: `Board ${serial}: the reservation of ${device.client} has ended.`,
    });
  }
  if (device.status === "broken") {
    actions.push({
      id: "retest",
      label: "Test",
      about: `Test board ${serial} again`,
      question: `Test board ${serial} again (${whose(device)})?`,
      consequence: "If it passes, it is taken back into the farm.",
      procedure: "retest",
      fields: { serials: [serial] },
      done: `Board ${serial} is being tested.`,
    });
  }
  if (device.status !== "offline") {
    actions.push({
      id: "reboot",
      label: "Reboot",
      about: `Reboot board ${serial}`,
      question: `Reboot board ${serial} (${whose(device)})?`,
      consequence: "It is flashed and tested anew. A reservation stays; interrupted evaluations are carried out again.",
      procedure: "reboot",
      fields: { serials: [serial] },
      done: `Board ${serial} is being rebooted.`,
    });
  }
  if (device.reservation === null && (device.status === "broken" || device.status === "offline")) {
    actions.push({
      id: "delete",
      label: "Delete",
      about: `Delete board ${serial}`,
      question: `Delete board ${serial} from the farm (${whose(device)})?`,
      consequence: "It is forgotten, and comes back when it is plugged in again.",
      procedure: "delete",
      fields: { serials: [serial] },
      done: `Board ${serial} was deleted.`,
    });
  }
  return actions;
}

/** What can be done with a worker: the clients that it concerns are named. */
export function workerActions(worker, devices) {
  const { name } = worker;
  const clients = [...new Set(devices.filter((each) => each.worker === name && each.client).map((each) => each.client))];
  const whom = clients.length === 0 ? "no client uses its boards" : `its boards are used by ${clients.join(", ")}`;
  if (worker.draining) {
    return [
      {
        id: "resume",
        label: "Resume",
        about: `Resume worker ${name}`,
        question: `Let the boards of worker ${name} be reserved again (${whom})?`,
        consequence: "Whoever waits for boards may get them at once.",
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
      consequence: "Its boards get no new reservations; those that there are go on until they end.",
      procedure: "drain",
      fields: { worker: name },
      done: `Worker ${name} is being drained.`,
    },
  ];
}

/** What can be done with a request that waits. */
export function queueActions(waiting) {
  const wants = waiting.serials.length > 0 ? `board ${waiting.serials.join(", ")}` : `${waiting.amount} of kind ${waiting.kind}`;
  return [
    {
      id: "dismiss",
      label: "Remove",
      about: `Remove the request of ${waiting.client}`,
      question: `Remove the request of client ${waiting.client} (${wants}) from the queue?`,
      consequence: "The client is told that an operator removed it.",
      procedure: "dismiss",
      fields: { ids: [waiting.id] },
      done: `The request of ${waiting.client} was removed.`,
    },
  ];
}
