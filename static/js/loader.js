// Decides what to ask the server for, and when: little, since a user has a hundred requests in fifteen minutes.
//
// The socket carries what changes. REST is asked for the lists at the start, after a break that could not be bridged,
// when something happened that no event tells (an agent made or rescheduled elsewhere), and every few minutes.

import { canAfford, get } from "./api.js";
import { HOUR, MINUTE, now } from "./clock.js";
import { STRIP } from "./model.js";

const PAGE = 2000;
const RELOAD_EVERY = 5 * MINUTE; // for each page of agents
const RELOAD_SOONEST = 2500;
const AT_ONCE = 8; // snapshots asked for at a time over the socket
const STRIPS_AT_ONCE = 100;

export class Loader {
  #model;
  #connection;
  #wanted = new Set(); // agents whose snapshot is to be asked for
  #asking = 0;
  #stripsAsked = new Set();
  #reloading = null;
  #reloadTimer = 0;
  #loadedAt = 0;

  constructor(model, connection) {
    this.#model = model;
    this.#connection = connection;
    setInterval(() => this.#nowAndThen(), 10_000);
    document.addEventListener("visibilitychange", () => this.#nowAndThen());
  }

  /** After a new connection: subscribe, then load everything. Resolves when the page is as fresh as the socket. */
  async fresh() {
    this.#stripsAsked.clear();
    const running = this.#connection.ask("monitoring:subscribe", "agents");
    const stats = this.#connection.ask("monitoring:subscribe", "scheduler");
    await this.#reloading?.catch(() => {}); // one that began before the break may hold what was before it
    const results = await Promise.allSettled([this.reload(), this.#loadLastHour()]);
    const [snapshot, numbers] = [await running, await stats];
    if (snapshot) this.#model.takeRunning(snapshot.sessions);
    if (numbers) this.#model.takeStats(numbers);
    const failed = results.find((result) => result.status === "rejected");
    if (failed) throw failed.reason;
    if (!snapshot || !numbers) throw new Error("The server did not answer.");
  }

  /** Load all agents anew; one reload at a time. */
  reload() {
    this.#reloading ??= this.#reload().finally(() => { this.#reloading = null; });
    return this.#reloading;
  }

  async #reload() {
    const askedAt = performance.now();
    const ids = new Set();
    for (let total = Infinity; ids.size < total;) {
      const page = await get("/api/overview", { limit: PAGE, offset: ids.size });
      for (const row of page.agents) ids.add(row.id);
      this.#model.takeOverview(page.agents, askedAt);
      total = page.agents.length ? page.pagination.total : 0;
    }
    this.#model.endOverview(ids, askedAt);
    this.#loadedAt = Date.now();
  }

  /** Something happened that no event describes: look again soon, but not all the time. */
  reloadSoon() {
    if (this.#reloadTimer) return;
    const wait = Math.max(300, this.#loadedAt + RELOAD_SOONEST - Date.now());
    this.#reloadTimer = setTimeout(() => {
      this.#reloadTimer = 0;
      if (canAfford(2)) this.reload().catch(() => {});
    }, wait);
  }

  #nowAndThen() {
    this.#model.prune();
    const every = RELOAD_EVERY * Math.max(1, this.#model.agents.size / PAGE);
    if (document.hidden || this.#connection.state !== "live" || Date.now() - this.#loadedAt < every) return;
    if (canAfford(5)) this.reload().catch(() => {});
  }

  // The history of all agents

  async #loadLastHour() {
    const since = now() - HOUR - MINUTE;
    this.#model.runsSince = Infinity;
    await this.runsSince(since, 2);
  }

  /** Load the runs of all agents back to *since*, as far as *pages* reach; `model.runsSince` tells how far that was. */
  async runsSince(since, pages) {
    let until = this.#model.runsSince === Infinity ? now() + MINUTE : this.#model.runsSince;
    for (let page = 0; page < pages && since < until; page += 1) {
      const query = { since: new Date(since).toISOString(), include: "missed", limit: 1000 };
      if (this.#model.runsSince !== Infinity) query.until = new Date(until).toISOString();
      const found = await get("/api/sessions", query);
      this.#model.takeRuns(found.sessions);
      const oldest = found.sessions.at(-1);
      const isAll = found.sessions.length >= found.pagination.total || !oldest;
      until = isAll ? since : Date.parse(oldest.startedAt ?? oldest.firstAt);
      this.#model.runsSince = Math.min(this.#model.runsSince, until);
    }
    this.#model.touch("runs");
  }

  /** Load the last runs of the agents among *ids* that have none yet. */
  async strips(ids) {
    const missing = ids.filter((id) => !this.#stripsAsked.has(id)).slice(0, STRIPS_AT_ONCE);
    if (!missing.length || !canAfford()) return;
    for (const id of missing) this.#stripsAsked.add(id);
    try {
      const found = await get("/api/sessions", { agentId: missing.join(","), perAgent: STRIP });
      this.#model.takeRecent(missing, found.sessions);
    } catch {
      for (const id of missing) this.#stripsAsked.delete(id);
    }
  }

  // Snapshots of single agents, over the socket

  /** An event moved something that it does not carry (the next run): ask for the agent as it is now. */
  refresh(id) {
    this.#wanted.add(id);
    this.#askNext();
  }

  #askNext() {
    while (this.#asking < AT_ONCE && this.#wanted.size && this.#connection.connected) {
      const [id] = this.#wanted;
      this.#wanted.delete(id);
      this.#asking += 1;
      this.#ask(id).finally(() => {
        this.#asking -= 1;
        this.#askNext();
      });
    }
  }

  async #ask(id) {
    const task = await this.#connection.ask("agent:subscribe", id);
    this.#connection.tell("agent:unsubscribe", id);
    if (task) this.#model.takeTask(task);
  }
}
