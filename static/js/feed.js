// The live feed: the newest events, bounded in memory. Progress of one run is one entry, however often it is told.

import { duration } from "./clock.js";

const MOST = 1000;

export class Feed {
  /** Oldest first; each {id, name, at (this machine's clock), payload}. */
  entries = [];
  /** Counts every entry ever added, so that views can tell what is new. */
  added = 0;

  #progress = new Map(); // session id -> its entry
  #watchers = new Set();

  watch(watcher) {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  add(name, payload) {
    if (name === "agent:progress" && this.#updated(payload)) return;
    this.added += 1;
    const entry = { id: `event-${this.added}`, name, at: Date.now(), payload };
    if (name === "agent:progress") this.#progress.set(payload.sessionId, entry);
    this.entries.push(entry);
    if (this.entries.length > MOST * 1.2) this.#trim();
    this.#tell();
  }

  #updated(payload) {
    const entry = this.#progress.get(payload.sessionId);
    if (!entry) return false;
    entry.payload = payload;
    this.#tell();
    return true;
  }

  #trim() {
    this.entries = this.entries.slice(-MOST);
    const kept = new Set(this.entries);
    for (const [id, entry] of this.#progress) if (!kept.has(entry)) this.#progress.delete(id);
  }

  #tell() {
    for (const watcher of this.#watchers) watcher();
  }
}

/** An event as one line: {icon, kind, text}. */
export function inWords(name, payload) {
  switch (name) {
    case "agent:started": return { icon: "running", kind: "running", text: "started" };
    case "agent:progress": return { icon: "running", kind: "running", text: progressWords(payload) };
    case "agent:completed": return { icon: "ok", kind: "completed", text: `completed in ${duration(payload.duration)}` };
    case "agent:failed": return { icon: "failed", kind: "failed", text: `failed: ${payload.error}` };
    case "agent:missed": return { icon: "missed", kind: "missed", text: lostWords("missed", payload) };
    case "agent:skipped": return { icon: "missed", kind: "missed", text: lostWords("skipped", payload) };
    case "agent:paused": return { icon: "paused", kind: "paused", text: "paused" };
    case "agent:resumed": return { icon: "running", kind: "paused", text: "resumed" };
    case "agent:log": return { icon: "none", kind: payload.log.level, text: `${payload.log.level}: ${payload.log.message}` };
    default: return { icon: "none", kind: "status", text: statusWords(payload) };
  }
}

function progressWords(payload) {
  const step = payload.currentStep && payload.totalSteps ? ` (step ${payload.currentStep} of ${payload.totalSteps})` : "";
  return `${Math.round(payload.progress)} % ${payload.message}${step}`;
}

function lostWords(verb, payload) {
  const runs = payload.count === 1 ? "one occurrence" : `${payload.count} occurrences`;
  return `${verb} ${runs}: ${payload.reason}`;
}

function statusWords(payload) {
  return `scheduler: ${payload.runningAgentsCount} running, ${payload.queuedTasksCount} queued, ${payload.pausedJobsCount} paused`;
}
