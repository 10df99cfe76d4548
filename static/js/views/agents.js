// The list of all agents: search, filter, sort, and rows for those on the screen.

import { debounce, fill, h, icon, setAttribute, setHidden, setText } from "../dom.js";
import { nextStart, state, stateOf } from "../state.js";
import { mayWrite } from "../token.js";
import { VirtualRows } from "../virtual.js";
import { fillRow, makeRow, scheduleWords, tickRow } from "./agent-row.js";

const FILTERS = [
  ["all", "All"], ["running", "Running"], ["waiting", "Waiting"], ["retrying", "Retrying"], ["failed", "Failed"],
  ["paused", "Paused"], ["unscheduled", "No schedule"],
];
const COLUMNS = [
  ["name", "Agent"], ["state", "State"], ["schedule", "Schedule"], ["next", "Next run"], ["last", "Last 20 runs"],
];
const SAMPLES = ["file-inventory", "system-survey"]; // what a new installation begins with
const RESORT = 2500; // rows move no more often than this, and never under the pointer

const names = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
const SORTS = {
  name: (a, b) => names.compare(a.name, b.name),
  state: (a, b) => state(stateOf(a)).rank - state(stateOf(b)).rank,
  schedule: (a, b) => names.compare(scheduleWords(a), scheduleWords(b)),
  next: (a, b) => (nextStart(a) ?? Infinity) - (nextStart(b) ?? Infinity) || 0,
  last: (a, b) => (b.lastRunAt ?? 0) - (a.lastRunAt ?? 0),
};

export class AgentsView {
  #page;
  #rows;
  #filter = "all";
  #text = "";
  #sort = "name";
  #down = false;
  #sortedAt = 0;
  #sortedVersion = -1;
  #isPointed = false;
  #isComplete = false;
  #nodes = {};
  #onKey = (event) => this.#key(event);
  #loadStrips;

  constructor(page, _path, kept) {
    this.#page = page;
    if (kept) [this.#filter, this.#text, this.#sort, this.#down] = kept;
    this.#loadStrips = debounce(250, (items) => {
      // Beyond the screen too: a little scrolling then costs no request.
      const from = this.#rows.items.indexOf(items[0]);
      page.loader.strips(this.#rows.items.slice(Math.max(0, from), from + 100).map((item) => item.id));
    });
    this.#build();
    addEventListener("keydown", this.#onKey);
  }

  leave() {
    this.#rows.close();
    removeEventListener("keydown", this.#onKey);
    this.#loadStrips.cancel();
    return [this.#filter, this.#text, this.#sort, this.#down];
  }

  shown() {
    this.#list();
  }

  #build() {
    const nodes = this.#nodes;
    nodes.search = h("input", {
      type: "search", placeholder: "Search agents", "aria-label": "Search agents by name, id, type or schedule", value: this.#text,
      oninput: debounce(80, () => {
        this.#text = nodes.search.value;
        this.#list();
      }),
    });
    nodes.filters = FILTERS.map(([name, label]) => {
      const count = h("span", { class: "count" });
      const button = h("button", { class: "chip", "aria-pressed": String(name === this.#filter), onclick: () => this.#choose(name) }, label, count);
      return { name, button, count };
    });
    nodes.total = h("p", { class: "total", role: "status" });
    nodes.heads = COLUMNS.map(([name, label]) => {
      const arrow = icon("up");
      const head = h("div", { class: `cell c-${HEADS[name] ?? name}`, role: "columnheader" },
        h("button", { class: "sort", onclick: () => this.#sortBy(name) }, label, arrow));
      return { name, head, arrow };
    });
    nodes.box = h("div", { class: "rows", role: "rowgroup" });
    nodes.box.addEventListener("pointerenter", () => { this.#isPointed = true; });
    nodes.box.addEventListener("pointerleave", () => { this.#isPointed = false; });
    nodes.table = h("div", { class: "table", role: "table", "aria-label": "Agents" },
      h("div", { class: "heads", role: "rowgroup" }, h("div", { class: "row head", role: "row", "aria-rowindex": "1" },
        nodes.heads.map(({ head }) => head),
        h("div", { class: "cell c-actions", role: "columnheader" }, h("span", { class: "hidden-text" }, "Actions")))),
      nodes.box);
    nodes.empty = h("div", { class: "empty" });
    nodes.start = h("p", { class: "start muted", hidden: true }, "Two sample agents run every minute, so that there is something to see. ",
      h("a", { href: "#/new" }, "Create your own"), ", or read the ", h("a", { href: "/api/docs" }, "API documents"), ".");
    this.element = h("section", { class: "agents", "aria-label": "Agents" },
      h("div", { class: "toolbar" },
        h("div", { class: "search" }, icon("search"), nodes.search),
        h("div", { class: "chips", role: "group", "aria-label": "Filter by state" }, nodes.filters.map(({ button }) => button)),
        nodes.total),
      nodes.table, nodes.start, nodes.empty);
    this.#rows = new VirtualRows(nodes.box, {
      make: () => makeRow((command, id) => this.#page.commands[command](id)),
      fill: fillRow,
      onWindow: (items) => items.length && this.#loadStrips(items),
    });
    this.#markSort();
  }

  // Which agents, in which order

  #choose(name) {
    this.#filter = name;
    for (const filter of this.#nodes.filters) setAttribute(filter.button, "aria-pressed", filter.name === name);
    this.#list();
  }

  #sortBy(name) {
    this.#down = this.#sort === name ? !this.#down : false;
    this.#sort = name;
    this.#markSort();
    this.#list();
  }

  #markSort() {
    for (const { name, head, arrow } of this.#nodes.heads) {
      const isSorted = name === this.#sort;
      setAttribute(head, "aria-sort", isSorted ? (this.#down ? "descending" : "ascending") : null);
      setAttribute(arrow.firstChild, "href", this.#down ? "#i-down" : "#i-up");
    }
  }

  #list() {
    const { model } = this.#page;
    this.#sortedAt = performance.now();
    this.#sortedVersion = model.version;
    const counts = new Map();
    const wanted = this.#text.trim().toLowerCase();
    const found = [];
    for (const agent of model.agents.values()) {
      if (wanted && !matches(agent, wanted)) continue;
      const key = stateOf(agent);
      counts.set(key, (counts.get(key) ?? 0) + 1);
      if (!agent.expression) counts.set("unscheduled", (counts.get("unscheduled") ?? 0) + 1);
      counts.set("all", (counts.get("all") ?? 0) + 1);
      if (this.#filter === "all" || key === this.#filter || (this.#filter === "unscheduled" && !agent.expression)) found.push(agent);
    }
    const order = SORTS[this.#sort];
    const sign = this.#down ? -1 : 1;
    found.sort((a, b) => sign * order(a, b) || names.compare(a.name, b.name) || (a.id < b.id ? -1 : 1));
    this.#rows.show(found);
    this.#showCounts(counts, found.length);
  }

  #showCounts(counts, shown) {
    for (const { name, count, button } of this.#nodes.filters) {
      const number = counts.get(name) ?? 0;
      setText(count, String(number));
      setHidden(button, number === 0 && name !== "all" && name !== this.#filter);
    }
    const all = this.#page.model.agents.size;
    setText(this.#nodes.total, shown === all ? "" : `${shown} of ${all} shown`);
    setAttribute(this.#nodes.table, "aria-rowcount", shown + 1);
    setHidden(this.#nodes.table, shown === 0);
    setHidden(this.#nodes.empty, shown !== 0);
    if (shown === 0) this.#showEmpty(all);
    const { agents } = this.#page.model;
    setHidden(this.#nodes.start, !(mayWrite() && agents.size === SAMPLES.length && SAMPLES.every((id) => agents.has(id))));
  }

  #showEmpty(all) {
    const { model } = this.#page;
    if (!model.isLoaded) fill(this.#nodes.empty, h("p", {}, "Loading agents…"));
    else if (all) fill(this.#nodes.empty, h("p", {}, "No agent matches. "),
      h("button", { onclick: () => this.#clear() }, "Show all agents"));
    else fill(this.#nodes.empty, h("h2", {}, "No agents yet"),
      h("p", {}, "An agent is a Python function, an HTTP endpoint or a program that the scheduler runs for you."),
      mayWrite() && h("a", { class: "button primary", href: "#/new" }, "Create the first agent"));
  }

  #clear() {
    this.#text = this.#nodes.search.value = "";
    this.#choose("all");
  }

  /** After a break the strips may lack runs. */
  caughtUp() {
    this.#list();
    const shown = [...this.#rows.rows()].map((row) => row.item);
    if (shown.length) this.#loadStrips(shown);
  }

  // What changes by itself

  changed({ agents }) {
    const { model } = this.#page;
    if (model.isLoaded && !this.#isComplete) {
      this.#isComplete = true;
      this.#list();
    } else if (this.#sortedVersion !== model.version && this.#mayResort()) {
      this.#list();
    }
    this.#rows.refresh(agents);
  }

  #mayResort() {
    return !this.#rows.items.length || (performance.now() - this.#sortedAt > RESORT && !this.#isPointed);
  }

  tick() {
    const { model } = this.#page;
    if (this.#mayResort() && (this.#sortedVersion !== model.version || this.#sort === "next" || this.#sort === "state")) this.#list();
    for (const row of this.#rows.rows()) tickRow(row, row.item);
  }

  // Keys: "/" searches, arrows go from row to row

  #key(event) {
    if (event.key === "/" && !isTyping(event.target)) {
      event.preventDefault();
      this.#nodes.search.focus();
    } else if (event.key === "Escape" && event.target === this.#nodes.search) {
      this.#clear();
    } else if (["ArrowDown", "ArrowUp"].includes(event.key) && this.#mayMove(event.target)) {
      event.preventDefault();
      this.#rows.focusRow(event.key === "ArrowDown" ? 1 : -1, ".agent-name");
    }
  }

  #mayMove(target) {
    return target === this.#nodes.search || this.#nodes.box.contains(target);
  }
}

const HEADS = { last: "runs" };

function matches(agent, text) {
  return `${agent.name}\n${agent.id}\n${agent.type}\n${agent.words ?? ""}\n${agent.expression ?? ""}`.toLowerCase().includes(text);
}

function isTyping(target) {
  return target.closest("input, textarea, select, dialog") !== null;
}
