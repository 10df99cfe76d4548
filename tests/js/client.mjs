// Real Socket.IO clients, driven from Python over stdin and stdout, one JSON object a line (tests/support/js_client.py).
//
// In:  {id, do: "connect", socket, url, version, namespace, auth, options}   version: a package name of package.json
//      {id, do: "emit" | "call", socket, event, args}      call waits for the acknowledgement
//      {id, do: "auth", socket, auth}                      what the auth function returns from now on
//      {id, do: "open" | "leave" | "cut", socket}          connect(), disconnect(), and the loss of the connection
//      {id, do: "exit"}
// Out: {id, ok: value} or {id, error} for each command, and for each socket as it happens
//      {socket, type: "connect", sid, recovered, transport} | "disconnect" {reason} | "connect_error" {message, data}
//      | "event" {event, args} | "upgrade" {transport}
// Bytes travel as {"$bytes": base64}. An event with an acknowledgement is acknowledged with its own arguments.

import { createInterface } from "node:readline";

const sockets = new Map();

const out = (line) => process.stdout.write(JSON.stringify(line, packBytes) + "\n");

function packBytes(key, value) {
  if (value?.type === "Buffer" && Array.isArray(value.data)) {
    return { $bytes: Buffer.from(value.data).toString("base64") };
  }
  return value instanceof ArrayBuffer ? { $bytes: Buffer.from(value).toString("base64") } : value;
}

const unpackBytes = (key, value) => (value?.$bytes === undefined ? value : Buffer.from(value.$bytes, "base64"));

async function connect({ socket: name, url, version, namespace, auth, options }) {
  const { io } = await import(version);
  const state = { auth };
  const client = io(url + namespace, {
    forceNew: true,
    reconnectionDelay: 20,
    reconnectionDelayMax: 100,
    randomizationFactor: 0.1,
    ...options,
    auth: (give) => give(state.auth),
    autoConnect: false,
  });
  sockets.set(name, Object.assign(state, { client }));
  const tell = (type, more = {}) => out({ socket: name, type, ...more });
  client.io.on("open", () =>
    client.io.engine.on("upgrade", (transport) => tell("upgrade", { transport: transport.name })),
  );
  client.on("connect", () =>
    tell("connect", {
      sid: client.id,
      recovered: client.recovered ?? false,
      transport: client.io.engine.transport.name,
    }),
  );
  client.on("disconnect", (reason) => tell("disconnect", { reason }));
  client.on("connect_error", ({ message, data }) => tell("connect_error", { message, data: data ?? null }));
  client.onAny((event, ...args) => {
    const acknowledge = typeof args.at(-1) === "function" ? args.pop() : null;
    tell("event", { event, args });
    acknowledge?.(...args);
  });
  client.connect();
}

const commands = {
  connect,
  emit: ({ socket, event, args }) => void sockets.get(socket).client.emit(event, ...args),
  call: ({ socket, event, args }) =>
    new Promise((resolve) => sockets.get(socket).client.emit(event, ...args, (...answer) => resolve(answer))),
  auth: ({ socket, auth }) => void (sockets.get(socket).auth = auth),
  open: ({ socket }) => void sockets.get(socket).client.connect(),
  leave: ({ socket }) => void sockets.get(socket).client.disconnect(),
  cut: ({ socket }) => void sockets.get(socket).client.io.engine.close(),
  exit: () => process.exit(0),
};

createInterface({ input: process.stdin })
  .on("line", async (line) => {
    const command = JSON.parse(line, unpackBytes);
    try {
      out({ id: command.id, ok: (await commands[command.do](command)) ?? null });
    } catch (error) {
      out({ id: command.id, error: String(error) });
    }
  })
  .on("close", () => process.exit(0));
