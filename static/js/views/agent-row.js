// One row of the list of agents.

import { ago, countdown, duration, fullTime, shortTime, zoneFor, zoneName } from "../clock.js";
import { h, icon, setAttribute, setHidden, setIcon, setText } from "../dom.js";
import { agentLink } from "../router.js";
import { nextStart, outcome, state, stateOf } from "../state.js";
import { mayWrite } from "../token.js";
import { Strip } from "./strip.js";

/** Makes an empty row; `act(command, id)` is called by its buttons. */
export function makeRow(act) {
  const row = { id: "" };
  row.name = h("a", { class: "agent-name" });
  row.type = h("span", { class: "sub" });
  row.icon = icon("idle");
  row.word = h("span");
  row.badge = h("span", { class: "badge" }, row.icon, row.word);
  row.bar = h("progress", { max: "100", "aria-label": "Progress" });
  row.message = h("span", { class: "sub" });
  row.words = h("span", { class: "words" });
  row.expression = h("span", { class: "sub mono" });
  row.countdown = h("span", { class: "countdown" });
  row.at = h("span", { class: "sub" });
  row.strip = new Strip();
  row.last = h("span", { class: "sub" });
  row.run = button("running", "Run now", () => act(row.item.isRunning ? "stop" : "run", row.item.id));
  row.pause = button("paused", "Pause", () => act(row.item.isPaused ? "resume" : "pause", row.item.id));
  row.element = h("div", { class: "row", role: "row" },
    cell("c-name", row.name, row.type),
    cell("c-state", h("span", { class: "state-line" }, row.badge, row.bar), row.message),
    cell("c-schedule", row.words, row.expression),
    cell("c-next", row.countdown, row.at),
    cell("c-runs", row.strip.element, row.last),
    cell("c-actions", mayWrite() && row.run.element, mayWrite() && row.pause.element));
  return row;
}

function cell(name, ...children) {
  return h("div", { class: `cell ${name}`, role: "cell" }, children);
}

function button(name, label, onclick) {
  const symbol = icon(name);
  const element = h("button", { class: "quiet", onclick, "aria-label": label, title: label }, symbol);
  return { element, symbol };
}

/** Put *agent* into a row. */
export function fillRow(row, agent, index) {
  setAttribute(row.element, "aria-rowindex", index + 2);
  setText(row.name, agent.name);
  setAttribute(row.name, "href", agentLink(agent.id));
  const priority = agent.priority && agent.priority !== "NORMAL" ? ` · ${agent.priority.toLowerCase()} priority` : "";
  setText(row.type, `${agent.type}${priority}`);
  setText(row.words, scheduleWords(agent));
  setAttribute(row.words, "title", agent.words);
  setText(row.expression, agent.expression ?? "");
  row.strip.show(agent.recent);
  fillState(row, agent);
  fillButtons(row, agent);
  tickRow(row, agent);
}

export function scheduleWords(agent) {
  if (!agent.expression) return "No schedule";
  const words = agent.words ?? agent.expression;
  return agent.enabled ? words : `${words} (disabled)`;
}

function fillState(row, agent) {
  const name = stateOf(agent);
  const { word, icon: symbol } = state(name);
  setAttribute(row.badge, "data-state", name);
  setIcon(row.icon, symbol);
  const percent = agent.run?.progress ?? null;
  setText(row.word, name === "running" && percent !== null ? `${Math.round(percent)} %` : word);
  setHidden(row.bar, name !== "running");
  if (percent === null) setAttribute(row.bar, "value", null);
  else setAttribute(row.bar, "value", Math.round(percent));
  setText(row.message, messageOf(name, agent));
  setAttribute(row.message, "title", row.message.textContent || null);
}

function messageOf(name, agent) {
  if (name === "running") {
    const run = agent.run;
    if (!run) return "";
    const steps = run.step && run.of ? `${run.step}/${run.of} ` : "";
    return `${steps}${run.message}`;
  }
  if (name === "retrying") return `${agent.retryCount} failed in a row: ${agent.lastError ?? ""}`;
  if (name === "waiting") return "for a free slot";
  return name === "failed" ? agent.lastError ?? "" : "";
}

function fillButtons(row, agent) {
  const isRunning = agent.isRunning;
  label(row.run, isRunning ? "stop" : "running", `${isRunning ? "Stop" : "Run"} ${agent.name}${isRunning ? "" : " now"}`);
  row.run.element.disabled = agent.isPaused;
  label(row.pause, agent.isPaused ? "retry" : "paused", `${agent.isPaused ? "Resume" : "Pause"} ${agent.name}`);
  row.pause.element.disabled = !agent.expression || !agent.enabled || isRunning;
}

function label({ element, symbol }, name, text) {
  setIcon(symbol, name);
  setAttribute(element, "aria-label", text);
  setAttribute(element, "title", text);
}

/** What of a row changes with time alone. */
export function tickRow(row, agent) {
  const at = nextStart(agent);
  const zone = zoneFor(agent.zone);
  setText(row.countdown, at === null ? (agent.isPaused ? "paused" : "–") : countdown(at));
  setText(row.at, at === null ? "" : `${shortTime(at, zone)} ${zoneName(at, zone)}`);
  setAttribute(row.at, "title", at === null ? null : fullTime(at, zone));
  const last = agent.recent?.at(-1);
  setText(row.last, last ? `${outcome(last.outcome).word} ${ago(last.completedAt ?? last.startedAt)}` : agent.recent ? "never ran" : "");
  setAttribute(row.last, "title", last ? `${fullTime(last.startedAt, zone)}, took ${duration(last.duration)}` : null);
}
