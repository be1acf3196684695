// Count the pulses of a circuit on one board, with wampy:
//
//     npm install && node count_wampy.js ../circuits/square_2khz.bin
//
// ICEFARM_URL is where the farm is (http://127.0.0.1:8080), ICEFARM_TOKEN a token, where the farm wants one.
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { Wampy } from "wampy";
import { CborSerializer } from "wampy/CborSerializer.js";
import WebSocket from "ws";

const farm = process.env.ICEFARM_URL ?? "http://127.0.0.1:8080";
const bitstream = new Uint8Array(readFileSync(process.argv[2]));

// [sign-in]
const instance = randomUUID();
const wampy = new Wampy(`${farm.replace(/^http/, "ws").replace(/\/$/, "")}/ws`, {
  realm: "icefarm",
  authid: "count-wampy",
  authmethods: ["ticket"],
  onChallenge: () => process.env.ICEFARM_TOKEN ?? "",
  authextra: { role: "client", instance },
  serializer: new CborSerializer(),
  ws: WebSocket,
});
// [/sign-in]

// [heartbeat]
const heartbeat = () => wampy.call("icefarm.v1.control.heartbeat", [instance]).catch(() => {});
// [/heartbeat]

// [evaluate]
async function count() {
  const reserved = await wampy.call("icefarm.v1.control.reserve", {
    argsDict: { amount: 1, kind: "pulsecount", options: { window: 0.1 }, wait: true, timeout: 60 },
  });
  const [board] = reserved.argsList[0];
  try {
    const evaluated = await wampy.call(`icefarm.v1.device.${board.serial}.evaluate`, {
      argsDict: { reservation: board.id, evaluation_id: randomUUID(), bitstream },
    });
    console.log(`${board.serial}\t${evaluated.argsList[0].value}`);
  } finally {
    await wampy.call("icefarm.v1.control.end", [[board.serial]]);
  }
}
// [/evaluate]

let timer;
try {
  await wampy.connect();
  timer = setInterval(heartbeat, 5000);
  await count();
} catch (error) {
  // [error]
  console.error(error.errorUri ?? `${farm}: ${error.message}`, error.argsList?.[0] ?? error.details?.message ?? "");
  // [/error]
  process.exitCode = 1;
} finally {
  clearInterval(timer);
  await wampy.disconnect().catch(() => {});
}
