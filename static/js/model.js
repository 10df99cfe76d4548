// What the page knows: agents, their runs, the scheduler in numbers. Changed by snapshots and events; watched by views.
//
// Changes are gathered and told once per animation frame, and ten times a second at most: two hundred progress events
// a second cost the views no more than ten.

import { HOUR, DAY, moment, now } from "./clock.js";
import { agentOf, FAILURES, OF_EVENTS, outcomeOf, runOf, takeProgress } from "./wire.js";

const FRAME = 100; // the shortest time between two tellings
export const STRIP = 20; // runs of an agent that its row shows
const MOST_RUNS = 8000; // sessions and gaps of all agents that are remembered

export class Model {
  /** By id. See `agentOf` for their members. */
  agents = new Map();
  /** Whether all agents have been loaded once. */
  isLoaded = false;
  stats = null;
  /** Sessions and gaps of all agents by id, as far as they were seen or loaded. */
  runs = new Map();
  /** Since when `runs` is complete; Infinity until the first load. */
  runsSince = Infinity;
  /** Changes with every change of `agents` as a whole or of a member that lists sort or filter by. */
  version = 0;

  #dirty = new Set();
  #topics = new Set();
  #watchers = new Set();
  #waiting = false;
  #lastTold = 0;
  #seen = new Map(); // agent id -> when an event last spoke of it, to tell what a slow answer must not overwrite
  #counts = { at: 0, value: null };
  #early = []; // events that came while the agents they speak of were still being loaded
  #ended = new Set(); // sessions whose end was told: a snapshot that shows them running is older than that

  /** Call *watcher* with {agents: Set of ids, topics: Set} after changes; returns what ends that. */
  watch(watcher) {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Tell the watchers of a topic: "list", "stats" or "runs". */
  touch(topic) {
    this.#topics.add(topic);
    this.#tellSoon();
  }

  #touchAgent(id) {
    this.#dirty.add(id);
    this.#tellSoon();
  }

  #tellSoon() {
    if (this.#waiting) return;
    this.#waiting = true;
    const wait = Math.max(0, FRAME - (performance.now() - this.#lastTold));
    setTimeout(() => requestAnimationFrame(() => this.#tell()), wait);
  }

  #tell() {
    this.#waiting = false;
    this.#lastTold = performance.now();
    const changes = { agents: this.#dirty, topics: this.#topics };
    this.#dirty = new Set();
    this.#topics = new Set();
    for (const watcher of this.#watchers) watcher(changes);
  }

  #listChanged() {
    this.version += 1;
    this.touch("list");
  }

  // Snapshots

  /** Take over the rows of /api/overview. What events told since *askedAt* is newer than they are. */
  takeOverview(rows, askedAt) {
    for (const row of rows) {
      const known = this.agents.get(row.id);
      const isNewer = known && (this.#seen.get(row.id) ?? 0) > askedAt;
      const next = agentOf(row);
      if (isNewer) for (const name of OF_EVENTS) next[name] = known[name];
      this.agents.set(row.id, Object.assign(known ?? { run: null, recent: null }, next));
      if (!this.agents.get(row.id).isRunning) this.agents.get(row.id).run = null;
      this.#touchAgent(row.id);
    }
    this.#listChanged();
  }

  /** All pages have come: what was in none of them is gone. */
  endOverview(ids, askedAt) {
    for (const id of [...this.agents.keys()]) {
      if (!ids.has(id) && (this.#seen.get(id) ?? 0) <= askedAt) this.agents.delete(id);
    }
    this.isLoaded = true;
    for (const [name, event] of this.#early.splice(0)) this.apply(name, event);
    this.#listChanged();
  }

  /** The agent as REST shows it after a command: all of it that rows show. */
  takeAgent(row) {
    const known = this.agents.get(row.id) ?? { run: null, recent: [] };
    const given = agentOf(row);
    for (const name of Object.keys(given)) if (given[name] !== undefined) known[name] = given[name];
    this.agents.set(row.id, known);
    this.#touchAgent(row.id);
    this.#listChanged();
  }

  remove(id) {
    if (this.agents.delete(id)) this.#listChanged();
  }

  takeStats(stats) {
    this.stats = stats;
    this.touch("stats");
  }

  /** The sessions that run now, all of them: whoever else was taken for running is not. */
  takeRunning(sessions) {
    const running = new Set(sessions.map((session) => session.agentId));
    for (const session of sessions) {
      if (this.#ended.has(session.id)) continue;
      const agent = this.agents.get(session.agentId);
      if (agent) this.#begin(agent, session);
      this.#keepRun(runOf(session));
    }
    for (const agent of this.agents.values()) {
      if (agent.run && !running.has(agent.id)) this.#end(agent);
    }
    this.#listChanged();
  }

  /** Task details of one agent with its running session, as the socket gives them. */
  takeTask(task) {
    const agent = this.agents.get(task.agentId);
    if (!agent) return;
    Object.assign(agent, {
      name: task.agentName,
      nextRunAt: moment(task.nextRunTime),
      retryCount: task.retryCount,
      lastError: task.lastError,
      backoffUntil: moment(task.backoffUntil),
      isPaused: task.isPaused,
      isRunning: task.isRunning,
    });
    if (task.session && !this.#ended.has(task.session.id)) this.#begin(agent, task.session);
    else if (agent.run) this.#end(agent);
    this.#changed(agent);
  }

  /** Sessions and gaps of /api/sessions, in any order. */
  takeRuns(rows) {
    for (const row of rows) this.#keepRun(runOf(row));
    this.touch("runs");
  }

  /** The newest sessions of these agents: their strips are complete now. */
  takeRecent(ids, rows) {
    const found = new Map(ids.map((id) => [id, []]));
    for (const row of rows) found.get(row.agentId)?.push(runOf(row));
    for (const [id, runs] of found) {
      const agent = this.agents.get(id);
      if (!agent) continue;
      const ended = new Map(runs.filter((run) => run.outcome !== "running").map((run) => [run.id, run]));
      for (const run of agent.recent ?? []) if (!ended.has(run.id)) ended.set(run.id, run);
      agent.recent = [...ended.values()].sort((a, b) => a.startedAt - b.startedAt).slice(-STRIP);
      this.#touchAgent(id);
    }
  }

  // Events

  /** Apply one event of the socket; false when it speaks of an agent that is not known yet. */
  apply(name, event) {
    if (name === "scheduler:status") {
      this.takeStats(event.stats);
      return true;
    }
    this.#seen.set(event.agentId, performance.now());
    if (name === "agent:completed" || name === "agent:failed") this.#noteEnd(event.sessionId);
    const agent = this.agents.get(event.agentId);
    if (!agent) {
      if (!this.isLoaded && this.#early.length < MOST_RUNS) this.#early.push([name, event]);
      return !this.isLoaded;
    }
    APPLY[name]?.(this, agent, event);
    return true;
  }

  #noteEnd(sessionId) {
    this.#ended.add(sessionId);
    if (this.#ended.size > MOST_RUNS) this.#ended = new Set([...this.#ended].slice(MOST_RUNS / 2));
  }

  started(agent, event) {
    if (this.#ended.has(event.sessionId)) return;
    this.#begin(agent, { id: event.sessionId, startedAt: event.timestamp });
    Object.assign(agent, { name: event.agentName, lastRunAt: agent.run.startedAt, backoffUntil: null });
    this.#keepRun({ id: event.sessionId, agentId: agent.id, startedAt: agent.run.startedAt, outcome: "running" });
    this.#changed(agent);
  }

  progress(agent, event) {
    if (this.#ended.has(event.sessionId)) return;
    if (agent.run?.id !== event.sessionId) this.#begin(agent, { id: event.sessionId, startedAt: event.timestamp });
    takeProgress(agent.run, event);
    this.#touchAgent(agent.id);
  }

  ended(agent, event, outcome) {
    const endedAt = moment(event.timestamp);
    const known = this.runs.get(event.sessionId);
    const startedAt = known?.startedAt ?? agent.run?.startedAt ?? endedAt - (event.duration ?? 0);
    const run = {
      id: event.sessionId, agentId: agent.id, outcome, startedAt, completedAt: endedAt,
      duration: event.duration ?? endedAt - startedAt, error: event.error ?? null, trigger: known?.trigger,
    };
    this.#keepRun(run);
    if (agent.recent) agent.recent = [...agent.recent.filter((other) => other.id !== run.id), run].slice(-STRIP);
    this.#end(agent);
    Object.assign(agent, {
      status: outcome === "completed" ? "COMPLETED" : outcome === "stopped" ? "IDLE" : "ERROR",
      retryCount: event.willRetry || outcome !== "completed" ? event.retryCount ?? 0 : 0,
      lastError: outcome === "completed" ? null : outcome === "stopped" ? agent.lastError : event.error,
      backoffUntil: moment(event.nextRetryAt),
    });
    this.#changed(agent);
  }

  lost(agent, event, outcome) {
    this.#keepRun({
      id: `gap ${agent.id} ${event.firstAt}`, agentId: agent.id, outcome, startedAt: moment(event.firstAt),
      completedAt: moment(event.lastAt), count: event.count, error: event.reason,
    });
    this.#touchAgent(agent.id);
  }

  logged(agent) {
    this.#touchAgent(agent.id); // the line itself goes to the view that shows the session's log
  }

  paused(agent, isPaused) {
    Object.assign(agent, { isPaused, status: isPaused ? "PAUSED" : "IDLE" });
    this.#changed(agent);
  }

  #begin(agent, session) {
    if (agent.run?.id !== session.id) {
      agent.run = { id: session.id, startedAt: moment(session.startedAt), progress: null, message: "" };
    }
    if (session.progress) takeProgress(agent.run, session.progress);
    Object.assign(agent, { isRunning: true, status: "RUNNING" });
    this.#touchAgent(agent.id);
  }

  #end(agent) {
    agent.run = null;
    agent.isRunning = false;
    if (agent.status === "RUNNING") agent.status = "IDLE";
    this.#touchAgent(agent.id);
  }

  #changed(agent) {
    this.#touchAgent(agent.id);
    this.#listChanged();
  }

  // Runs

  #keepRun(run) {
    this.runs.set(run.id, { ...this.runs.get(run.id), ...run });
    if (this.runs.size > MOST_RUNS) this.#forgetOldRuns();
    this.#counts.at = 0;
    this.touch("runs");
  }

  #forgetOldRuns() {
    const kept = [...this.runs.values()].sort((a, b) => b.startedAt - a.startedAt).slice(0, MOST_RUNS * 0.75);
    this.runsSince = Math.max(this.runsSince, kept.at(-1).startedAt);
    this.runs = new Map(kept.reverse().map((run) => [run.id, run]));
  }

  /** What went wrong in the last hour: {failed, missed, skipped}, in runs and in occurrences. */
  lastHour() {
    const at = now();
    if (at - this.#counts.at < 5000) return this.#counts.value;
    const value = { failed: 0, missed: 0, skipped: 0 };
    for (const run of this.runs.values()) {
      if ((run.completedAt ?? 0) < at - HOUR) continue;
      if (FAILURES.has(run.outcome)) value.failed += 1;
      else if (run.outcome === "missed" || run.outcome === "skipped") value[run.outcome] += run.count;
    }
    this.#counts = { at, value };
    return value;
  }

  /** Forget runs that no view can show any more. */
  prune() {
    for (const [id, run] of this.runs) {
      if (run.outcome !== "running" && run.startedAt < now() - 2 * DAY) this.runs.delete(id);
    }
  }
}

const APPLY = {
  "agent:started": (model, agent, event) => model.started(agent, event),
  "agent:progress": (model, agent, event) => model.progress(agent, event),
  "agent:completed": (model, agent, event) => model.ended(agent, event, "completed"),
  "agent:failed": (model, agent, event) => model.ended(agent, event, outcomeOf(event.error)),
  "agent:missed": (model, agent, event) => model.lost(agent, event, "missed"),
  "agent:skipped": (model, agent, event) => model.lost(agent, event, "skipped"),
  "agent:log": (model, agent) => model.logged(agent),
  "agent:paused": (model, agent) => model.paused(agent, true),
  "agent:resumed": (model, agent) => model.paused(agent, false),
};
