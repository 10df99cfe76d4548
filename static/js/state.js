// Where an agent stands, in one word, one symbol and an order: the same in every view.

import { now } from "./clock.js";

const STATES = {
  running: { rank: 0, word: "Running", icon: "running" },
  waiting: { rank: 1, word: "Waiting", icon: "waiting" },
  retrying: { rank: 2, word: "Retrying", icon: "retry" },
  failed: { rank: 3, word: "Failed", icon: "failed" },
  paused: { rank: 4, word: "Paused", icon: "paused" },
  completed: { rank: 5, word: "Completed", icon: "ok" },
  idle: { rank: 6, word: "Idle", icon: "idle" },
};

const OUTCOMES = {
  running: { word: "running", icon: "running" },
  completed: { word: "completed", icon: "ok" },
  failed: { word: "failed", icon: "failed" },
  timed_out: { word: "timed out", icon: "failed" },
  interrupted: { word: "interrupted", icon: "failed" },
  stopped: { word: "stopped", icon: "stop" },
  missed: { word: "missed", icon: "missed" },
  skipped: { word: "skipped", icon: "missed" },
};

const LATE = 2000; // due for longer than this and not running: it waits for a slot

/** The name of the state: "running", "waiting", "retrying", "failed", "paused", "completed" or "idle". */
export function stateOf(agent) {
  if (agent.isRunning) return "running";
  if (agent.isPaused) return "paused";
  if (agent.backoffUntil) return "retrying";
  if (agent.enabled && agent.nextRunAt !== null && agent.nextRunAt < now() - LATE) return "waiting";
  if (agent.status === "ERROR") return "failed";
  return agent.status === "COMPLETED" ? "completed" : "idle";
}

/** {rank, word, icon} of a state's name. */
export function state(name) {
  return STATES[name];
}

/** {word, icon} of a session's or gap's outcome. */
export function outcome(name) {
  return OUTCOMES[name] ?? { word: String(name), icon: "none" };
}

/** The next moment at which the agent starts by itself, or null. */
export function nextStart(agent) {
  if (agent.isPaused) return null;
  if (agent.backoffUntil && !agent.isRunning) {
    return agent.nextRunAt === null ? agent.backoffUntil : Math.min(agent.backoffUntil, agent.nextRunAt);
  }
  return agent.nextRunAt ?? null;
}
