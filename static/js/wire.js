// What the wire says in the words of the page: rows, snapshots and events become agents and runs. Moments become numbers.

import { moment } from "./clock.js";

const STOPPED = /^(Agent execution manually stopped|Replaced:)/;

/** Outcomes that count as failures; what was stopped on purpose is none. */
export const FAILURES = new Set(["failed", "timed_out", "interrupted"]);

/** The event does not carry the outcome; its sentence tells. */
export function outcomeOf(error) {
  if (STOPPED.test(error)) return "stopped";
  if (error.startsWith("Timed out")) return "timed_out";
  return /^(Interrupted|Handed back):/.test(error) ? "interrupted" : "failed";
}

/** What events tell of an agent: a list that was asked for before them must not undo it. */
export const OF_EVENTS = ["status", "isPaused", "isRunning", "lastRunAt", "retryCount", "lastError", "backoffUntil"];

/** A row of /api/overview, or an agent as REST shows it, as it is kept. What a row does not say is undefined. */
export function agentOf(row) {
  return {
    id: row.id,
    name: row.name,
    type: row.agentType,
    status: row.status,
    priority: row.schedulePriority,
    expression: row.scheduleExpression,
    zone: row.scheduleTimezone,
    enabled: row.scheduleEnabled,
    words: row.scheduleWords,
    isPaused: row.isPaused,
    isRunning: row.isRunning ?? row.status === "RUNNING",
    nextRunAt: row.nextRunAt === undefined ? undefined : moment(row.nextRunAt),
    lastRunAt: row.lastRunAt === undefined ? undefined : moment(row.lastRunAt),
    retryCount: row.retryCount ?? 0,
    lastError: row.lastError ?? null,
    backoffUntil: moment(row.backoffUntil),
  };
}

/** A row of /api/sessions, or of a snapshot, as it is kept. */
export function runOf(row) {
  const isGap = row.count !== undefined;
  return {
    // A gap may be told by an event before it is read: both must have one id.
    id: isGap ? `gap ${row.agentId} ${row.firstAt}` : row.id,
    agentId: row.agentId,
    outcome: row.outcome,
    startedAt: moment(isGap ? row.firstAt : row.startedAt),
    completedAt: moment(isGap ? row.lastAt : row.completedAt),
    duration: row.duration,
    error: isGap ? row.reason : row.errorMessage,
    summary: row.outputSummary,
    count: row.count,
    trigger: row.trigger,
  };
}

/** Note how far a run is, from an event or a snapshot. */
export function takeProgress(run, told) {
  run.progress = told.progress;
  run.message = told.message ?? "";
  run.step = told.currentStep ?? null;
  run.of = told.totalSteps ?? null;
}
