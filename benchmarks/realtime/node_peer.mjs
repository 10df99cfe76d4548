// The same server on Node's socket.io: node node_peer.mjs PORT SOURCE RECOVERY_MS
// POST /run reads the agent's stream and emits what it says to the room, as ours does without the store.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../tests/js/package.json", import.meta.url));
const { Server } = require("socket.io");
const [port, source, recovery] = process.argv.slice(2);

const http = createServer((request, response) => {
  if (request.url !== "/run") return response.writeHead(404).end();
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    read(JSON.parse(Buffer.concat(parts).toString())).catch(console.error);
    response.writeHead(200, { "Content-Type": "application/json" }).end("{}");
  });
});
const io = new Server(http, { connectionStateRecovery: { maxDisconnectionDuration: Number(recovery) } });
io.on("connection", (socket) => socket.on("monitoring:subscribe", (what) => socket.join(`monitoring:${what}`)));

async function read(context) {
  const answer = await fetch(source, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ context }),
  });
  for await (const line of createInterface({ input: Readable.fromWeb(answer.body) })) {
    const told = JSON.parse(line);
    if (told.progress === undefined) continue;
    io.to("monitoring:agents").emit("agent:progress", {
      agentId: "bench",
      sessionId: "3f6f4a0e-6a2f-4f3c-9a40-111111111111",
      jobId: "bench",
      progress: told.progress,
      message: told.message,
      currentStep: told.currentStep,
      totalSteps: null,
      timestamp: new Date().toISOString(),
    });
  }
}

http.listen(Number(port), "127.0.0.1");
