// One session: how it stands, what it was given, what it measured, and its log, live while it runs.

import { agentPath, get } from "../api.js";
import { clockTime, duration, fullTime, moment, now, shortTime, zoneFor, zoneName } from "../clock.js";
import { fill, h, icon, setAttribute, setIcon, setText } from "../dom.js";
import { agentLink } from "../router.js";
import { outcome } from "../state.js";

const MOST_LINES = 2000;
const TRIGGERS = { cron: "by its schedule", manual: "by hand", retry: "as a retry" };

export class SessionPanel {
  #agent;
  #id;
  #session = null;
  #early = []; // log lines told before the session was read
  #late = []; // log lines told since, not shown yet
  #nodes = {};
  #asked = 0;

  constructor(agent, sessionId) {
    this.#agent = agent;
    this.#id = sessionId;
    const nodes = this.#nodes;
    nodes.icon = icon("idle");
    nodes.word = h("span");
    nodes.badge = h("span", { class: "badge" }, nodes.icon, nodes.word);
    nodes.progress = h("div", { class: "session-progress", hidden: true });
    nodes.bar = h("progress", { max: "100", "aria-label": "Progress" });
    nodes.message = h("p", { class: "sub" });
    nodes.progress.append(nodes.bar, nodes.message);
    nodes.facts = h("dl", { class: "facts" });
    nodes.more = h("div", { class: "session-more" });
    nodes.log = h("div", { class: "log", role: "log", tabindex: "0", "aria-label": "Log", "aria-live": "off" });
    nodes.error = h("p", { class: "field-error" });
    this.element = h("section", { class: "card session", "aria-label": "Session" },
      h("div", { class: "card-head" }, h("h2", {}, "Session"), nodes.badge, h("code", { class: "session-id muted" }, sessionId),
        h("a", { class: "button quiet", href: agentLink(agent.id), "aria-label": "Close the session", title: "Close" }, icon("failed"))),
      nodes.error, nodes.progress, nodes.facts, nodes.more, h("h3", {}, "Log"), nodes.log);
  }

  get id() {
    return this.#id;
  }

  async load() {
    const asked = (this.#asked += 1);
    this.#session ??= null;
    try {
      const session = await get(agentPath(this.#agent.id, `/sessions/${encodeURIComponent(this.#id)}`));
      if (asked !== this.#asked) return;
      const early = this.#session === null ? this.#early : [];
      this.#session = session;
      setText(this.#nodes.error, "");
      this.#showAll(early);
    } catch (error) {
      if (asked === this.#asked) setText(this.#nodes.error, error.message);
    }
  }

  /** An event; those of other sessions are left alone. */
  event(name, payload) {
    if (payload.sessionId !== this.#id) return;
    if (name === "agent:log") (this.#session ? this.#late : this.#early).push(payload.log);
    else if (name === "agent:completed" || name === "agent:failed") this.load(); // its result and metrics
  }

  /** Once a frame at most: show what was told since. */
  changed(agent) {
    if (this.#late.length) this.#append(this.#late.splice(0));
    const run = agent?.run?.id === this.#id ? agent.run : null;
    this.#nodes.progress.hidden = run === null;
    if (run) {
      setAttribute(this.#nodes.bar, "value", run.progress === null ? null : Math.round(run.progress));
      const steps = run.step && run.of ? `Step ${run.step} of ${run.of}. ` : "";
      setText(this.#nodes.message, run.progress === null ? "No progress told yet" : `${Math.round(run.progress)} %. ${steps}${run.message}`);
    }
    this.tick();
  }

  tick() {
    if (this.#session?.outcome === "running" && this.#nodes.took) {
      setText(this.#nodes.took, duration(now() - moment(this.#session.startedAt)));
    }
  }

  #showAll(early) {
    const { session, nodes } = { session: this.#session, nodes: this.#nodes };
    const { word, icon: symbol } = outcome(session.outcome);
    setAttribute(nodes.badge, "data-state", session.outcome);
    setText(nodes.word, word);
    setIcon(nodes.icon, symbol);
    this.#showFacts(session);
    fill(nodes.more,
      session.errorMessage && block("Error", session.errorMessage, "error-text"),
      session.outputSummary && block("Result", session.outputSummary),
      Object.keys(session.metrics).length > 0 && metrics(session.metrics),
      session.context.input && block("Context", JSON.stringify(session.context.input, null, 2)));
    fill(nodes.log);
    this.#append([...session.logs, ...unseen(session.logs, early)]);
    if (!nodes.log.children.length) fill(nodes.log, h("p", { class: "hint" }, "Nothing was logged."));
  }

  #showFacts(session) {
    const zone = zoneFor(this.#agent.zone);
    const { context } = session;
    this.#nodes.took = h("span", {}, duration(session.duration));
    const attempt = context.attempt > 1 ? `, attempt ${context.attempt}` : "";
    const missed = context.missed ? `, for ${context.missed} more that did not run` : "";
    fill(this.#nodes.facts,
      fact("Started", time(moment(session.startedAt), zone)),
      fact("Took", this.#nodes.took),
      fact("Trigger", `${TRIGGERS[context.trigger] ?? context.trigger}${attempt}${missed}`),
      fact("Due", time(moment(context.scheduledFor), zone)));
    this.tick();
  }

  #append(lines) {
    if (!lines.length) return;
    const { log } = this.#nodes;
    if (log.firstElementChild?.matches(".hint")) fill(log);
    const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 30;
    const zone = zoneFor(this.#agent.zone);
    log.append(...lines.slice(-MOST_LINES).map(({ timestamp, level, message }) => h("div", { class: `line ${LEVELS.has(level) ? level : "info"}` },
      h("time", { datetime: timestamp }, clockTime(moment(timestamp), zone)), h("span", { class: "level" }, level), h("span", { class: "text" }, message))));
    while (log.children.length > MOST_LINES) log.firstChild.remove();
    if (isAtEnd) log.scrollTop = log.scrollHeight;
  }
}

const LEVELS = new Set(["debug", "info", "warning", "error"]);

function time(at, zone) {
  return h("span", { title: fullTime(at, zone) }, `${shortTime(at, zone)} ${zoneName(at, zone)}`);
}

function fact(name, value) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}

function block(title, text, kind = "") {
  return h("div", { class: "block" }, h("h3", {}, title), h("pre", { class: kind, tabindex: "0" }, text));
}

function metrics(values) {
  const shown = (value) => (value !== null && typeof value === "object" ? JSON.stringify(value) : String(value));
  return h("div", { class: "block" }, h("h3", {}, "Metrics"),
    h("dl", { class: "facts" }, Object.entries(values).map(([name, value]) => fact(name, shown(value)))));
}

/** Of the lines told while the session was read, those that its log does not hold yet: both are in order. */
function unseen(read, told) {
  for (let count = Math.min(read.length, told.length); count > 0; count -= 1) {
    const tail = read.slice(-count);
    if (tail.every((line, index) => same(line, told[index]))) return told.slice(count);
  }
  const lastRead = read.at(-1)?.timestamp ?? "";
  return told.filter((line) => line.timestamp > lastRead);
}

function same(a, b) {
  return a.timestamp === b.timestamp && a.message === b.message && a.level === b.level;
}
