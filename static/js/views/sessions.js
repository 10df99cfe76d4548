// The history of one agent: a chart of durations and pages of sessions, the newest first, kept up by events.

import { agentPath, get } from "../api.js";
import { ago, duration, fullTime, now, shortTime, zoneFor } from "../clock.js";
import { fill, h, icon, setAttribute, setText } from "../dom.js";
import { agentLink } from "../router.js";
import { outcome } from "../state.js";
import { runOf } from "../wire.js";
import { choice } from "./fields.js";
import { Durations } from "./durations.js";

const PAGE = 20;
const LOADED_AT_ONCE = 100; // five pages cost one request
const FILTERS = [["", "All"], ["completed", "Completed"], ["failed,timed_out,interrupted", "Failed"], ["stopped", "Stopped"], ["missed,skipped", "Did not run"]];

export class Sessions {
  #agent;
  #chart;
  #runs = []; // newest first, as far as loaded
  #total = 0;
  #offset = 0;
  #selected;
  #outcomes = "";
  #nodes = {};
  #isLoading = false;
  #ages = [];

  constructor(agent, selected) {
    this.#agent = agent;
    this.#selected = selected;
    this.#chart = new Durations(agent.zone);
    const nodes = this.#nodes;
    nodes.filter = choice(FILTERS, "");
    nodes.filter.setAttribute("aria-label", "Which runs");
    nodes.filter.addEventListener("change", () => {
      this.#outcomes = nodes.filter.value;
      this.load();
    });
    nodes.body = h("tbody");
    nodes.range = h("span", { class: "muted" });
    nodes.newer = h("button", { onclick: () => this.#turn(-PAGE) }, "Newer");
    nodes.older = h("button", { onclick: () => this.#turn(PAGE) }, "Older");
    nodes.empty = h("p", { class: "hint", hidden: true });
    this.element = h("section", { class: "card sessions", "aria-label": "Runs" },
      h("div", { class: "card-head" }, h("h2", {}, "Runs"), nodes.filter),
      this.#chart.element,
      h("div", { class: "scroll-x", tabindex: "0", role: "group", "aria-label": "Table of runs" }, h("table", { class: "list" },
        h("thead", {}, h("tr", {}, ["Outcome", "Started", "Duration", "Result"].map((text) => h("th", { scope: "col" }, text)))),
        nodes.body)),
      nodes.empty,
      h("div", { class: "pager" }, nodes.range, nodes.newer, nodes.older));
  }

  close() {
    this.#chart.close();
  }

  themed() {
    this.#chart.themed();
  }

  /** How long ago each began moves on, and how long one runs. */
  tick() {
    for (const { element, at, took } of this.#ages) {
      setText(element, ago(at));
      if (took) setText(took, duration(now() - at));
    }
  }

  select(sessionId) {
    this.#selected = sessionId;
    this.#render();
  }

  /** Load the first pages anew. */
  async load() {
    this.#runs = [];
    this.#offset = 0;
    await this.#more();
  }

  async #more() {
    if (this.#isLoading) return;
    this.#isLoading = true;
    try {
      const query = { limit: LOADED_AT_ONCE, offset: this.#runs.length, include: "missed", outcome: this.#outcomes };
      const found = await get(agentPath(this.#agent.id, "/sessions"), query);
      const known = new Set(this.#runs.map((run) => run.id));
      const rows = found.sessions.map((row) => ({ ...runOf({ ...row, agentId: this.#agent.id }) }));
      this.#runs.push(...rows.filter((run) => !known.has(run.id)));
      this.#total = Math.max(found.pagination.total, this.#runs.length);
      setText(this.#nodes.empty, "");
    } catch (error) {
      setText(this.#nodes.empty, error.message);
    } finally {
      this.#isLoading = false;
    }
    this.#render();
  }

  /** Runs that events told of: new ones go on top, known ones change in place. */
  take(runs) {
    if (this.#isLoading || this.#outcomes) return;
    let isOther = false;
    for (const run of runs) {
      const index = this.#runs.findIndex((known) => known.id === run.id);
      if (index < 0) {
        if (this.#runs.length && run.startedAt < this.#runs[0].startedAt) continue;
        this.#runs.unshift(run);
        this.#total += 1;
        if (this.#offset) this.#offset += 1; // who reads an older page goes on reading the same rows
        isOther = true;
      } else if (this.#runs[index].outcome !== run.outcome || this.#runs[index].count !== run.count) {
        this.#runs[index] = { ...this.#runs[index], ...run };
        isOther = true;
      }
    }
    if (isOther) this.#render();
  }

  async #turn(by) {
    const next = Math.max(0, this.#offset + by);
    if (next + PAGE > this.#runs.length && this.#runs.length < this.#total) await this.#more();
    this.#offset = Math.min(next, Math.max(0, this.#runs.length - 1));
    this.#render();
  }

  #render() {
    const { body, range, newer, older, empty } = this.#nodes;
    const shown = this.#runs.slice(this.#offset, this.#offset + PAGE);
    this.#ages = [];
    fill(body, shown.map((run) => this.#row(run)));
    const last = this.#offset + shown.length;
    setText(range, shown.length ? `${this.#offset + 1}–${last} of ${this.#total}` : "");
    newer.disabled = this.#offset === 0;
    older.disabled = last >= this.#total;
    if (!shown.length && !empty.textContent) setText(empty, this.#outcomes ? "No such runs." : "No runs yet.");
    empty.hidden = shown.length > 0;
    this.#chart.show(this.#runs.slice(0, LOADED_AT_ONCE));
  }

  #row(run) {
    const { word, icon: symbol } = outcome(run.outcome);
    const zone = zoneFor(this.#agent.zone);
    const isGap = run.count !== undefined;
    const age = { element: h("span", { class: "sub" }, ago(run.startedAt)), at: run.startedAt };
    this.#ages.push(age);
    if (run.outcome === "running") age.took = h("span", {}, duration(now() - run.startedAt));
    const badge = h("span", { class: "badge", "data-state": run.outcome }, icon(symbol), word);
    const row = h("tr", {},
      h("td", {}, isGap ? badge : h("a", { class: "session-link", href: agentLink(this.#agent.id, run.id) }, badge)),
      h("td", { title: fullTime(run.startedAt, zone) }, shortTime(run.startedAt, zone), " ", age.element),
      h("td", {}, isGap ? (run.count === 1 ? "1 occurrence" : `${run.count} occurrences`) : age.took ?? duration(run.duration)),
      h("td", { class: "result" }, run.error ?? run.summary ?? ""));
    setAttribute(row, "aria-current", run.id === this.#selected ? "true" : null);
    return row;
  }
}
