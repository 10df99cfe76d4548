// The connection: one socket, and a state that never claims more than is known.

import { token } from "./token.js";

const SILENCE = 36_000; // the server pings every 25 s: after this long without a sign, the line may be dead
const GIVE_UP = 5000; // after this long without a connection it is called offline
const CROWDED_RETRY = 5000;
const TOKEN_CODES = new Set(["TOKEN_MISSING", "TOKEN_INVALID"]);

export const EVENTS = [
  "agent:started", "agent:progress", "agent:completed", "agent:failed", "agent:missed", "agent:skipped",
  "agent:paused", "agent:resumed", "agent:log", "scheduler:status",
];

/**
 * The socket and what is known of it. `on` takes callbacks:
 * event(name, payload), fresh() when the page must load anew what it shows, refused(message) when the token is no good,
 * changed() when `state` or `note` may be other ones.
 */
export class Connection {
  /** "connecting", "catching-up", "live", "reconnecting", "offline" or "signed-out". */
  state = "connecting";
  note = "";
  /** When the server was last heard, by this machine's clock; null before the first time. */
  lastHeard = null;

  #socket = null;
  #isOpening = false;
  #on;
  #downSince = Date.now();

  constructor(on) {
    this.#on = on;
    setInterval(() => this.#watch(), 1000);
  }

  /** Connect with the token that is kept now, for the first time or again. */
  async open() {
    this.#downSince = Date.now();
    this.#become("connecting");
    if (this.#socket) {
      this.#socket.disconnect().connect();
      return;
    }
    if (this.#isOpening) return;
    this.#isOpening = true;
    try {
      const { io } = await import("/socket.io/socket.io.esm.min.js");
      this.#listen(io({
        auth: (give) => give({ token: token() ?? "" }),
        transports: ["websocket", "polling"],
        tryAllTransports: true,
        reconnectionDelay: 500,
        reconnectionDelayMax: 4000,
      }));
    } catch {
      this.note = "The Socket.IO client is not installed on the server: run make setup there, then reload.";
      this.#become("offline");
    } finally {
      this.#isOpening = false;
    }
  }

  /** Hang up and stay away: there is no token. */
  close() {
    this.#socket?.disconnect();
    this.#become("signed-out");
  }

  /** Ask something with an acknowledgement; its data, or null when there is no answer in time. */
  async ask(event, argument) {
    try {
      const answer = await this.#socket.timeout(10_000).emitWithAck(event, argument);
      return answer?.success ? answer.data : null;
    } catch {
      return null;
    }
  }

  tell(event, argument) {
    if (this.#socket?.connected) this.#socket.emit(event, argument);
  }

  get connected() {
    return this.#socket?.connected ?? false;
  }

  /** The page has caught up: what it shows is as fresh as the socket. */
  caughtUp() {
    if (!this.connected) return;
    this.note = "";
    this.#become("live");
  }

  /** Why the page does not catch up, for people. */
  say(note) {
    this.note = note;
    this.#on.changed();
  }

  #listen(socket) {
    this.#socket = socket;
    for (const name of EVENTS) {
      socket.on(name, (payload) => {
        this.#heard();
        this.#on.event(name, payload);
      });
    }
    socket.on("connect", () => {
      this.#heard();
      this.note = "";
      socket.io.engine.on("packet", () => this.#heard());
      if (socket.recovered) {
        this.#become("live");
        return;
      }
      this.#become("catching-up");
      this.#on.fresh();
    });
    socket.on("disconnect", (reason) => {
      this.#downSince = Date.now();
      if (this.state !== "signed-out") this.#become("reconnecting");
      if (reason === "io server disconnect") socket.connect(); // the library leaves that to us
    });
    socket.on("connect_error", (error) => this.#refused(error));
  }

  #refused(error) {
    const code = error.data?.code;
    if (TOKEN_CODES.has(code)) {
      this.#become("signed-out");
      this.#on.refused(error.message);
    } else if (code === "TOO_MANY_CONNECTIONS") {
      this.note = "This user has too many pages open. Close one; this page tries again by itself.";
      this.#become("offline");
      setTimeout(() => this.state === "offline" && this.#socket.connect(), CROWDED_RETRY);
    } else {
      this.#become(Date.now() - this.#downSince < GIVE_UP ? "reconnecting" : "offline");
    }
  }

  #heard() {
    this.lastHeard = Date.now();
    if (this.state === "reconnecting" && this.connected) this.#become("live");
  }

  /** A connection that only looks like one: nothing was heard for longer than the server would stay silent. */
  #watch() {
    const silent = this.lastHeard !== null && Date.now() - this.lastHeard > SILENCE;
    if (this.state === "live" && silent) this.#become("reconnecting");
    if (["reconnecting", "connecting"].includes(this.state) && !this.connected) {
      if (Date.now() - this.#downSince > GIVE_UP) this.#become("offline");
    }
    this.#on.changed();
  }

  #become(state) {
    if (this.state === state) return;
    this.state = state;
    this.#on.changed();
  }
}
