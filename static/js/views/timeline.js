// The timeline: what ran in the last hour and what is coming in the next, agent by agent.

import { get } from "../api.js";
import { clockTime, DAY, HOUR, marks, moment, now, zoneFor } from "../clock.js";
import { fill, h, setAttribute, setHidden, setText } from "../dom.js";
import { agentLink } from "../router.js";
import { VirtualRows } from "../virtual.js";
import { Lane } from "./lane.js";

const SPANS = [["2h", "2 hours", HOUR, 8], ["6h", "6 hours", 3 * HOUR, 10], ["day", "A day", DAY / 2, 12]];
const PAGES = 3; // requests that one look at a longer span may cost
const RETRY = 30_000;
const FIRES_AHEAD = 2; // how many half-windows of coming fires are loaded, so that time can pass before the next request
const LEGEND = [["completed", "completed"], ["failed", "failed"], ["running", "running"], ["stopped", "stopped"], ["missed", "missed or skipped"], ["coming", "coming"]];
const names = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

export class TimelineView {
  #page;
  #half = HOUR;
  #most = 8;
  #coming = new Map(); // agent id -> {fires, count, lastAt}
  #comingUntil = 0;
  #comingVersion = -1;
  #isLoading = false;
  #lacksRuns = true;
  #isCut = false;
  #notBefore = 0; // after a failure, when to ask again
  #rows;
  #nodes = {};
  #note = "";

  constructor(page, _path, kept) {
    this.#page = page;
    if (kept) [this.#half, this.#most] = kept;
    this.#build();
  }

  leave() {
    this.#rows.close();
    return [this.#half, this.#most];
  }

  shown() {
    this.#load();
    this.#list();
  }

  caughtUp() {
    this.#comingUntil = 0;
    this.#lacksRuns = true;
    this.#load();
  }

  #build() {
    const nodes = this.#nodes;
    nodes.spans = SPANS.map(([name, label, half, most]) => h("button", {
      class: "chip", "aria-pressed": String(half === this.#half), "data-span": name, onclick: () => this.#zoom(half, most),
    }, label));
    nodes.note = h("p", { class: "total", role: "status" });
    nodes.older = h("button", { hidden: true, onclick: () => {
      this.#lacksRuns = true;
      this.#load();
    } }, "Load older runs");
    nodes.axis = h("div", { class: "axis", "aria-hidden": "true" });
    nodes.box = h("div", { class: "rows lanes", role: "list", "aria-label": "Agents and their runs. Right arrow goes to an agent's runs." });
    nodes.empty = h("div", { class: "empty" });
    this.element = h("section", { class: "timeline", "aria-label": "Timeline" },
      h("div", { class: "toolbar" }, h("div", { class: "chips", role: "group", "aria-label": "Span" }, nodes.spans), nodes.note, nodes.older),
      h("div", { class: "card" },
        h("div", { class: "timeline-head" }, h("span", { class: "total" }, "Agent"), nodes.axis),
        nodes.box, nodes.empty,
        h("ul", { class: "legend", "aria-label": "Legend" }, LEGEND.map(([kind, label]) => h("li", {}, h("span", { class: `bar ${kind}` }), label)))));
    this.#rows = new VirtualRows(nodes.box, {
      make: () => new Lane(),
      fill: (lane, item) => lane.fill(item, this.#window()),
    });
    nodes.box.addEventListener("keydown", (event) => this.#key(event));
  }

  #window() {
    const at = now();
    return { at, since: at - this.#half, until: at + this.#half };
  }

  #zoom(half, most) {
    [this.#half, this.#most] = [half, most];
    for (const button of this.#nodes.spans) {
      setAttribute(button, "aria-pressed", SPANS.find(([name]) => name === button.dataset.span)[2] === half);
    }
    this.#comingUntil = 0;
    this.#lacksRuns = true;
    this.#load();
    this.#list();
  }

  // Loading: little, and only what the span lacks

  async #load() {
    const { model, loader } = this.#page;
    if (this.#isLoading || !model.isLoaded || Date.now() < this.#notBefore) return;
    this.#isLoading = true;
    const { at, since, until } = this.#window();
    try {
      if (this.#lacksRuns && model.runsSince > since) await loader.runsSince(since, PAGES);
      this.#lacksRuns = false; // what three pages do not hold is loaded when it is asked for
      if (this.#comingUntil < until || this.#comingVersion !== schedulesOf(model)) await this.#loadComing(at);
      this.#isCut = model.runsSince > this.#window().since;
      this.#note = this.#isCut ? `Runs are loaded back to ${clockTime(model.runsSince, zoneFor(null), { seconds: false })}` : "";
    } catch (error) {
      this.#note = error.message;
      this.#notBefore = error.retryAt ?? Date.now() + RETRY;
    } finally {
      this.#isLoading = false;
    }
    this.#list();
  }

  async #loadComing(at) {
    const until = at + FIRES_AHEAD * this.#half;
    this.#comingVersion = schedulesOf(this.#page.model);
    const found = await get("/api/schedule/upcoming", { until: new Date(until).toISOString(), limit: 500, perAgent: 130 });
    this.#coming = new Map(found.agents.map((row) => [row.agentId, {
      fires: row.fires.map(moment), lastAt: moment(row.lastAt), count: row.count,
    }]));
    this.#comingUntil = until;
  }

  // Drawing

  #list() {
    const { since, until } = this.#window();
    const { model } = this.#page;
    const runs = new Map();
    for (const run of model.runs.values()) {
      if ((run.completedAt ?? now()) < since || run.startedAt > until) continue;
      if (!runs.has(run.agentId)) runs.set(run.agentId, []);
      runs.get(run.agentId).push(run);
    }
    const items = [];
    for (const agent of model.agents.values()) {
      const coming = this.#coming.get(agent.id);
      const isComing = coming && !agent.isPaused && agent.enabled && coming.fires[0] <= until;
      if (!runs.has(agent.id) && !isComing) continue;
      items.push({ id: agent.id, agent, runs: runs.get(agent.id) ?? [], coming: isComing ? coming : null });
    }
    items.sort((a, b) => names.compare(a.agent.name, b.agent.name) || (a.id < b.id ? -1 : 1));
    this.#rows.show(items);
    this.#rows.refresh();
    this.#drawAxis();
    setText(this.#nodes.note, this.#note);
    setHidden(this.#nodes.older, !this.#isCut);
    setHidden(this.#nodes.empty, items.length > 0);
    if (!items.length) {
      const text = model.isLoaded ? "Nothing ran in this span, and nothing is due in it." : "Loading…";
      fill(this.#nodes.empty, h("p", {}, text));
    }
  }

  #drawAxis() {
    const { at, since, until } = this.#window();
    const zone = zoneFor(null);
    const most = this.#nodes.axis.clientWidth < 500 ? Math.ceil(this.#most / 3) : this.#most;
    const line = h("div", { class: "now" }, h("span", {}, clockTime(at, zone, { seconds: false })));
    const width = this.#nodes.axis.clientWidth || 800;
    const isCovered = (mark) => Math.abs((mark - at) / (until - since)) * width < 48 && mark !== at; // by the time now
    fill(this.#nodes.axis, line, marks(since, until, zone, most).filter((mark) => !isCovered(mark)).map((mark) => {
      const element = h("div", { class: "mark" }, clockTime(mark, zone, { seconds: false }));
      element.style.left = `${((mark - since) / (until - since)) * 100}%`;
      return element;
    }));
  }

  changed({ topics }) {
    if (topics.has("runs") || topics.has("list")) this.#isDue = true;
  }

  #isDue = false;
  #ticks = 0;

  tick() {
    this.#ticks += 1;
    // A pixel of the hour's view is some seconds: to draw each second would show nothing more.
    if (!this.#isDue && this.#ticks % 5) return;
    this.#isDue = false;
    this.#list();
    if (this.#ticks % 5 === 0) this.#load();
  }

  /** Up and down go between agents, right and left along the runs of one. */
  #key(event) {
    const lane = event.target.closest(".lane");
    if (!lane) return;
    const stops = [...lane.querySelectorAll("a")];
    const index = stops.indexOf(event.target);
    if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      event.preventDefault();
      stops[index + (event.key === "ArrowRight" ? 1 : -1)]?.focus({ preventScroll: true });
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      this.#rows.focusRow(event.key === "ArrowDown" ? 1 : -1, ".lane-name");
    }
  }
}

/** Changes when a schedule does: what is coming must be asked for anew then. */
function schedulesOf(model) {
  let sum = 0;
  for (const agent of model.agents.values()) {
    if (agent.enabled && !agent.isPaused) sum = (sum * 31 + (agent.expression?.length ?? 0) + agent.id.length + codes(agent.expression) + codes(agent.zone)) | 0;
  }
  return sum;
}

function codes(text) {
  let sum = 0;
  for (let index = 0; index < (text?.length ?? 0); index += 1) sum = (sum * 31 + text.charCodeAt(index)) | 0;
  return sum;
}
