// Count the pulses of a circuit on one board, with Autobahn JS:
//
//     npm install && node count_autobahn.js ../circuits/square_2khz.bin
//
// ICEFARM_URL is where the farm is (http://127.0.0.1:8080), ICEFARM_TOKEN a token, where the farm wants one.
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import autobahn from "autobahn";
import WebSocket from "ws";

// Node.js has a WebSocket of its own since version 22. Before that, `ws` is one; its errors would end the process.
globalThis.WebSocket ??= class extends WebSocket {
  constructor(...given) {
    super(...given);
    this.on("error", () => {});
  }
};

const farm = process.env.ICEFARM_URL ?? "http://127.0.0.1:8080";
const bitstream = new Uint8Array(readFileSync(process.argv[2]));

// [sign-in]
const instance = randomUUID();
const connection = new autobahn.Connection({
  url: `${farm.replace(/^http/, "ws").replace(/\/$/, "")}/ws`,
  realm: "icefarm",
  authid: "count-autobahn",
  authmethods: ["ticket"],
  onchallenge: () => process.env.ICEFARM_TOKEN ?? "",
  authextra: { role: "client", instance },
  serializers: [new autobahn.serializer.CBORSerializer()],
  max_retries: 3,
});
// [/sign-in]

// [evaluate]
async function count(session) {
  const [board] = await session.call("icefarm.v1.control.reserve", [], {
    amount: 1,
    kind: "pulsecount",
    options: { window: 0.1 },
    wait: true,
    timeout: 60,
  });
  try {
    const measurement = await session.call(`icefarm.v1.device.${board.serial}.evaluate`, [], {
      reservation: board.id,
      evaluation_id: randomUUID(),
      bitstream,
    });
    console.log(`${board.serial}\t${measurement.value}`);
  } finally {
    await session.call("icefarm.v1.control.end", [[board.serial]]);
  }
}
// [/evaluate]

connection.onopen = async (session) => {
  // [heartbeat]
  const heartbeat = () => session.call("icefarm.v1.control.heartbeat", [instance]).catch(() => {});
  const timer = setInterval(heartbeat, 5000);
  // [/heartbeat]
  try {
    await count(session);
  } catch (error) {
    // [error]
    console.error(error.error, error.args?.[0]);
    // [/error]
    process.exitCode = 1;
  } finally {
    clearInterval(timer);
    connection.close();
  }
};
connection.onclose = (reason, details) => {
  if (details.reason !== "wamp.close.normal") {
    console.error(details.reason ?? `${farm}: ${reason}`, details.message ?? "");
    process.exitCode = 1;
  }
};
connection.open();
