// One agent: what it does now, why, its schedule, its history, and what can be done to it.

import { agentPath, get } from "../api.js";
import { ago, countdown, fullTime, shortTime, zoneFor, zoneName } from "../clock.js";
import { fill, h, icon, setAttribute, setHidden, setIcon, setText } from "../dom.js";
import { agentLink, go } from "../router.js";
import { nextStart, state, stateOf } from "../state.js";
import { mayWrite } from "../token.js";
import { scheduleWords } from "./agent-row.js";
import { confirmed } from "./confirm.js";
import { ScheduleEditor } from "./editor.js";
import { SessionPanel } from "./session.js";
import { Sessions } from "./sessions.js";
import { Why } from "./why.js";

export class AgentView {
  #page;
  #id;
  #sessionId;
  #nodes = {};
  #parts = null; // {why, sessions}: made when the agent is known
  #panel = null;
  #toldState = "";

  constructor(page, [id, sessionId]) {
    this.#page = page;
    this.#id = id ?? "";
    this.#sessionId = sessionId ?? null;
    this.element = h("section", { class: "agent", "aria-label": "Agent" });
    this.#nodes.side = h("div", { class: "session-place" });
    this.#build();
  }

  /** Another session of the same agent needs no new view. */
  go([id, sessionId]) {
    if (id !== this.#id || !this.#parts) return false;
    this.#sessionId = sessionId ?? null;
    this.#parts.sessions.select(this.#sessionId);
    this.#showPanel();
    return true;
  }

  leave() {
    this.#parts?.sessions.close();
    this.#parts?.why.again.cancel();
  }

  themed() {
    this.#parts?.sessions.themed();
  }

  get #agent() {
    return this.#page.model.agents.get(this.#id);
  }

  #build() {
    const agent = this.#agent;
    if (!agent) {
      const text = this.#page.model.isLoaded ? "There is no such agent. It may have been deleted." : "Loading the agent…";
      fill(this.element, back(), h("p", { class: "empty" }, text));
      return;
    }
    this.#parts = { why: new Why(this.#id, agent.zone), sessions: new Sessions(agent, this.#sessionId) };
    fill(this.element, back(), this.#head(),
      h("div", { class: "columns" },
        h("div", { class: "main" }, this.#nodes.side, this.#parts.sessions.element),
        h("div", { class: "aside" }, this.#parts.why.element, this.#schedule(), this.#about())));
    this.#fill(agent);
    this.#parts.why.load();
    this.#parts.sessions.load();
    this.#showPanel();
  }

  #head() {
    const nodes = this.#nodes;
    nodes.name = h("h1");
    nodes.icon = icon("idle");
    nodes.word = h("span");
    nodes.badge = h("span", { class: "badge" }, nodes.icon, nodes.word);
    nodes.sub = h("p", { class: "muted agent-sub" });
    nodes.bar = h("progress", { max: "100", "aria-label": "Progress" });
    nodes.message = h("span", { class: "sub" });
    nodes.follow = h("a", {}, "Follow its log");
    nodes.current = h("div", { class: "current card", hidden: true }, nodes.bar, nodes.message, nodes.follow);
    const { commands } = this.#page;
    nodes.run = h("button", { class: "primary", onclick: () => commands.run(this.#id) }, icon("running"), "Run now");
    nodes.stop = h("button", { class: "danger", onclick: () => commands.stop(this.#id) }, icon("stop"), "Stop");
    nodes.pause = h("button", { onclick: () => commands.pause(this.#id) }, icon("paused"), "Pause");
    nodes.resume = h("button", { onclick: () => commands.resume(this.#id) }, icon("retry"), "Resume");
    return h("div", { class: "agent-head" },
      h("div", {}, h("div", { class: "title" }, nodes.name, nodes.badge), nodes.sub),
      mayWrite() && h("div", { class: "form-actions" }, nodes.run, nodes.stop, nodes.pause, nodes.resume),
      nodes.current);
  }

  #schedule() {
    const nodes = this.#nodes;
    nodes.words = h("p", { class: "schedule-words" });
    nodes.next = h("p", { class: "muted" });
    nodes.place = h("div");
    nodes.edit = h("button", { onclick: () => this.#edit() }, "Edit schedule");
    nodes.unschedule = h("button", { class: "quiet", onclick: () => this.#unschedule() }, "Remove schedule");
    nodes.actions = h("div", { class: "form-actions" }, nodes.edit, nodes.unschedule);
    return h("section", { class: "card schedule", "aria-label": "Schedule" },
      h("h2", {}, "Schedule"), nodes.words, nodes.next, mayWrite() && nodes.actions, nodes.place);
  }

  #about() {
    const place = h("div", { class: "about" });
    const details = h("details", { class: "card" }, h("summary", {}, "Configuration"), place);
    details.addEventListener("toggle", async () => {
      if (!details.open || place.children.length) return;
      try {
        const agent = await get(agentPath(this.#id));
        fill(place, agent.description && h("p", {}, agent.description),
          h("pre", { tabindex: "0" }, JSON.stringify(agent.configuration, null, 2)),
          h("p", { class: "hint" }, `Id ${agent.id}. Created ${shortTime(Date.parse(agent.createdAt), zoneFor(null))}.`),
          mayWrite() && h("button", { class: "danger", onclick: () => this.#remove() }, "Delete agent"));
      } catch (error) {
        fill(place, h("p", { class: "field-error" }, error.message));
      }
    });
    return details;
  }

  #edit() {
    const { place, actions } = this.#nodes;
    setHidden(actions, true);
    const editor = new ScheduleEditor(this.#page.commands, this.#agent, () => {
      fill(place);
      setHidden(actions, false);
      this.#nodes.edit.focus();
    });
    fill(place, editor.element);
  }

  async #unschedule() {
    const details = "The schedule is forgotten. The agent and its history stay, and a run in progress goes on.";
    if (await confirmed(`Remove the schedule of ${this.#agent.name}?`, details, "Remove schedule")) {
      await this.#page.commands.unschedule(this.#id);
    }
  }

  async #remove() {
    const details = "Its whole history goes with it. This cannot be taken back.";
    if (!(await confirmed(`Delete ${this.#agent.name}?`, details, "Delete agent"))) return;
    if (await this.#page.commands.remove(this.#id)) go("#/agents");
  }

  // What changes

  changed({ agents, topics }) {
    if (!this.#parts) {
      if (this.#agent || topics.has("list")) this.#build();
      return;
    }
    if (!agents.has(this.#id) && !topics.has("list")) return;
    const agent = this.#agent;
    if (!agent) {
      this.leave();
      this.#parts = null;
      this.#build();
      return;
    }
    this.#fill(agent);
    this.#panel?.changed(agent);
    const now = `${stateOf(agent)} ${agent.nextRunAt} ${agent.expression}`;
    if (now !== this.#toldState && this.#toldState) this.#parts.why.again();
    this.#toldState = now;
  }

  caughtUp() {
    this.#parts?.why.load();
    this.#parts?.sessions.load();
    this.#panel?.load();
  }

  event(name, payload) {
    this.#panel?.event(name, payload);
    if (payload.agentId !== this.#id || !this.#parts) return;
    const run = this.#page.model.runs.get(payload.sessionId ?? `gap ${this.#id} ${payload.firstAt}`);
    if (run && name !== "agent:progress" && name !== "agent:log") this.#parts.sessions.take([run]);
  }

  tick() {
    if (!this.#parts || !this.#agent) return;
    this.#tickNext(this.#agent);
    this.#panel?.tick();
    this.#parts.sessions.tick();
  }

  #fill(agent) {
    const nodes = this.#nodes;
    const name = stateOf(agent);
    const { word, icon: symbol } = state(name);
    setText(nodes.name, agent.name);
    setAttribute(nodes.badge, "data-state", name);
    setText(nodes.word, word);
    setIcon(nodes.icon, symbol);
    setText(nodes.sub, `${agent.type} · ${agent.id} · ${(agent.priority ?? "normal").toLowerCase()} priority`);
    setText(nodes.words, scheduleWords(agent));
    setText(nodes.edit, agent.expression ? "Edit schedule" : "Add a schedule");
    setHidden(nodes.unschedule, !agent.expression);
    setHidden(nodes.run, agent.isRunning || agent.isPaused);
    setHidden(nodes.stop, !agent.isRunning);
    setHidden(nodes.pause, agent.isPaused || agent.isRunning || !agent.enabled || !agent.expression);
    setHidden(nodes.resume, !agent.isPaused);
    this.#fillCurrent(agent);
    this.#tickNext(agent);
  }

  #fillCurrent(agent) {
    const { current, bar, message, follow } = this.#nodes;
    const run = agent.run;
    setHidden(current, !run || run.id === this.#sessionId);
    if (!run) return;
    setAttribute(bar, "value", run.progress === null ? null : Math.round(run.progress));
    const steps = run.step && run.of ? `Step ${run.step} of ${run.of}. ` : "";
    setText(message, run.progress === null ? `Started ${ago(run.startedAt)}` : `${Math.round(run.progress)} %. ${steps}${run.message}`);
    setAttribute(follow, "href", agentLink(agent.id, run.id));
  }

  #tickNext(agent) {
    const at = nextStart(agent);
    const zone = zoneFor(agent.zone);
    const { next } = this.#nodes;
    if (at === null) setText(next, agent.isPaused ? "Paused: nothing fires until it is resumed." : "Nothing is due.");
    else setText(next, `Next run ${countdown(at)}, ${shortTime(at, zone)} ${zoneName(at, zone)}`);
    setAttribute(next, "title", at === null ? null : fullTime(at, zone));
  }

  #showPanel() {
    if (this.#panel?.id === this.#sessionId) return;
    this.#panel = this.#sessionId ? new SessionPanel(this.#agent, this.#sessionId) : null;
    fill(this.#nodes.side, this.#panel?.element);
    this.#panel?.load();
    this.#panel?.changed(this.#agent);
    if (this.#agent) this.#fillCurrent(this.#agent);
    if (this.#panel) this.#nodes.side.scrollIntoView({ block: "nearest" });
  }
}

function back() {
  return h("a", { class: "back", href: "#/agents" }, icon("back"), "All agents");
}
