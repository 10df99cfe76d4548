// The numbers at the top: how the scheduler stands, and what went wrong in the last hour.

import { clockTime, HOUR, MINUTE, now, zoneFor } from "../clock.js";
import { h, setAttribute, setText } from "../dom.js";

const TILES = [
  ["scheduler", "Scheduler", "Whether this server's scheduler starts runs"],
  ["running", "Running", "Runs in progress, of those allowed at a time"],
  ["queued", "Queued", "Scheduled agents that are not running"],
  ["paused", "Paused", "Schedules that are kept but do not fire"],
  ["failed", "Failed, last hour", "Runs that failed, timed out or were interrupted"],
  ["missed", "Missed, last hour", "Occurrences that did not run: the server was down, or the agent could not run"],
];

export class Numbers {
  #model;
  #tiles = new Map();

  constructor(model) {
    this.#model = model;
    const tiles = TILES.map(([name, label, title]) => {
      const value = h("dd", { class: "value" }, "–");
      const more = h("dd", { class: "more" });
      const tile = h("div", { class: "tile", "data-tile": name, title }, h("dt", {}, label), value, more);
      this.#tiles.set(name, { tile, value, more });
      return tile;
    });
    this.element = h("dl", { class: "numbers", "aria-label": "The scheduler now" }, tiles);
    this.update();
  }

  update() {
    const stats = this.#model.stats;
    if (!stats) return;
    const { failed, missed, skipped } = this.#model.lastHour();
    this.#set("scheduler", stats.isRunning ? "Running" : "Stopped", "", stats.isRunning ? "ok" : "bad");
    this.#set("running", stats.runningAgentsCount, `of ${stats.maxConcurrentAgents}`,
      stats.runningAgentsCount ? "busy" : "");
    this.#set("queued", stats.queuedTasksCount);
    this.#set("paused", stats.pausedJobsCount);
    const since = this.#model.runsSince;
    const isKnown = since !== Infinity;
    // So many runs that not all of the hour were loaded: say since when they are counted.
    const part = isKnown && since > now() - HOUR + MINUTE ? `since ${clockTime(since, zoneFor(null), { seconds: false })}` : "";
    this.#set("failed", isKnown ? failed : "–", part, failed ? "bad" : "");
    this.#set("missed", isKnown ? missed : "–", part || (skipped ? `and ${skipped} skipped` : ""), missed ? "warn" : "");
  }

  #set(name, value, more = "", mood = "") {
    const tile = this.#tiles.get(name);
    setText(tile.value, String(value));
    setText(tile.more, more);
    setAttribute(tile.tile, "data-mood", mood || null);
  }
}
