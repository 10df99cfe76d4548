// Real socket.io clients that count what reaches them: node clients.mjs '{"urls": [...], "transports": [...], "token": "..."}'
// Commands on stdin, a line each: "cut" resets every connection, "report" answers with what each client has.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../tests/js/package.json", import.meta.url));
const { io } = require("socket.io-client");
const { urls, transports, token } = JSON.parse(process.argv[2]);
const say = (line) => console.log(JSON.stringify(line));

let connected = 0;
const clients = urls.map((url) => {
  const socket = io(url, { transports, auth: token ? { token } : {}, forceNew: true, reconnectionDelay: 100, reconnectionDelayMax: 4000 });
  const client = { socket, last: -1, count: 0, doubled: 0, disordered: 0, connects: 0, recovered: 0, levelAt: 0 };
  socket.on("connect", () => {
    client.connects += 1;
    if (socket.recovered) client.recovered += 1;
    else socket.emit("monitoring:subscribe", "agents");
    connected += client.connects === 1;
    if (client.connects === 1 && connected === urls.length) say({ connected });
  });
  const seen = new Set();
  socket.on("agent:progress", ({ currentStep: step }) => {
    if (seen.has(step)) client.doubled += 1;
    else {
      seen.add(step);
      client.count += 1;
      if (step < client.last) client.disordered += 1;
    }
    client.last = Math.max(client.last, step);
    client.levelAt = Date.now();
  });
  return client;
});

createInterface({ input: process.stdin }).on("line", (line) => {
  if (line === "cut") {
    for (const { socket } of clients) socket.io.engine?.transport?.ws?._socket?.resetAndDestroy();
    say({ cutAt: Date.now() });
  } else if (line === "report") {
    say(clients.map(({ socket, ...counts }) => ({ ...counts, live: socket.connected })));
  }
}).on("close", () => process.exit(0));
