// The live feed: filterable, and still while one reads.

import { clockTime, fullTime, zoneFor } from "../clock.js";
import { debounce, fill, h, icon, setAttribute, setIcon, setText } from "../dom.js";
import { inWords } from "../feed.js";
import { agentLink } from "../router.js";
import { VirtualRows } from "../virtual.js";

const KINDS = [
  ["runs", "Runs", new Set(["agent:started", "agent:completed", "agent:failed"]), true],
  ["lost", "Missed and skipped", new Set(["agent:missed", "agent:skipped"]), true],
  ["paused", "Paused and resumed", new Set(["agent:paused", "agent:resumed"]), true],
  ["logs", "Logs", new Set(["agent:log"]), true],
  ["progress", "Progress", new Set(["agent:progress"]), false],
  ["status", "Scheduler", new Set(["scheduler:status"]), false],
];

export class FeedView {
  #page;
  #kinds;
  #text = "";
  #isHeld = false;
  #heldAt = 0;
  #rows;
  #nodes = {};
  #unwatch;
  #isDue = false;

  constructor(page, _path, kept) {
    this.#page = page;
    this.#kinds = kept?.kinds ?? new Set(KINDS.filter(([, , , isShown]) => isShown).map(([name]) => name));
    this.#text = kept?.text ?? "";
    this.#build();
    this.#unwatch = page.feed.watch(() => { this.#isDue = true; });
  }

  leave() {
    this.#unwatch();
    this.#rows.close();
    return { kinds: this.#kinds, text: this.#text };
  }

  shown() {
    this.#list();
  }

  #build() {
    const nodes = this.#nodes;
    nodes.hold = h("button", { "aria-pressed": "false", onclick: () => this.#hold(!this.#isHeld) }, icon("paused"), h("span", {}, "Pause"));
    nodes.text = h("input", { type: "search", placeholder: "Filter events", "aria-label": "Filter events by agent or text", value: this.#text,
      oninput: debounce(80, () => { this.#text = nodes.text.value; this.#list(); }) });
    const chips = KINDS.map(([name, label]) => h("button", { class: "chip", "aria-pressed": String(this.#kinds.has(name)),
      onclick: (event) => this.#toggle(name, event.currentTarget) }, label));
    nodes.count = h("p", { class: "total" });
    nodes.box = h("div", { class: "rows feed-rows", role: "list", "aria-label": "Events, the newest first" });
    nodes.empty = h("div", { class: "empty" });
    this.element = h("section", { class: "feed", "aria-label": "Events" },
      h("div", { class: "toolbar" }, nodes.hold, h("div", { class: "search" }, icon("search"), nodes.text),
        h("div", { class: "chips", role: "group", "aria-label": "Kinds of events" }, chips), nodes.count),
      h("div", { class: "card" }, nodes.box, nodes.empty));
    this.#rows = new VirtualRows(nodes.box, { make: makeRow, fill: (row, entry) => this.#fillRow(row, entry) });
  }

  #toggle(name, button) {
    if (!this.#kinds.delete(name)) this.#kinds.add(name);
    setAttribute(button, "aria-pressed", this.#kinds.has(name));
    this.#list();
  }

  #hold(isHeld) {
    this.#isHeld = isHeld;
    this.#heldAt = this.#page.feed.added;
    setAttribute(this.#nodes.hold, "aria-pressed", isHeld);
    setText(this.#nodes.hold.lastChild, isHeld ? "Continue" : "Pause");
    setIcon(this.#nodes.hold.firstChild, isHeld ? "running" : "paused");
    if (!isHeld) this.#list();
    this.#count();
  }

  changed() {
    if (!this.#isDue) return;
    this.#isDue = false;
    if (this.#isHeld) this.#count();
    else this.#list();
  }

  tick() {
    this.changed();
  }

  #list() {
    const wanted = new Set(KINDS.filter(([name]) => this.#kinds.has(name)).flatMap(([, , events]) => [...events]));
    const text = this.#text.trim().toLowerCase();
    const found = [];
    const { entries } = this.#page.feed;
    for (let index = entries.length - 1; index >= 0; index -= 1) {
      const entry = entries[index];
      if (wanted.has(entry.name) && (!text || this.#searched(entry).includes(text))) found.push(entry);
    }
    this.#rows.show(found);
    this.#rows.refresh();
    this.#nodes.empty.hidden = found.length > 0;
    if (!found.length) fill(this.#nodes.empty, h("p", {}, entries.length ? "No event matches." : "Events appear here as they happen. Nothing is kept from before the page was opened."));
    this.#count();
  }

  #count() {
    const { feed } = this.#page;
    const fresh = feed.added - this.#heldAt;
    setText(this.#nodes.count, this.#isHeld ? `Paused. ${fresh} new since` : `${this.#rows.items.length} shown, ${feed.entries.length} kept`);
  }

  #searched(entry) {
    return `${this.#nameOf(entry)}\n${entry.payload.agentId ?? ""}\n${inWords(entry.name, entry.payload).text}`.toLowerCase();
  }

  #nameOf({ payload }) {
    return this.#page.model.agents.get(payload.agentId)?.name ?? payload.agentName ?? payload.agentId ?? "";
  }

  #fillRow(row, entry) {
    const { icon: symbol, kind, text } = inWords(entry.name, entry.payload);
    const zone = zoneFor(this.#page.model.agents.get(entry.payload.agentId)?.zone);
    setText(row.time, clockTime(entry.at, zone));
    setAttribute(row.time, "title", fullTime(entry.at, zone));
    setIcon(row.icon, symbol);
    setAttribute(row.element, "data-kind", kind);
    setText(row.agent, this.#nameOf(entry));
    setAttribute(row.agent, "href", entry.payload.agentId ? agentLink(entry.payload.agentId, entry.payload.sessionId) : null);
    setText(row.text, text);
    setAttribute(row.text, "title", text);
  }
}

function makeRow() {
  const row = { time: h("time"), icon: icon("none"), agent: h("a"), text: h("span", { class: "text" }) };
  row.element = h("div", { class: "row feed-row", role: "listitem" }, row.time, row.icon, row.agent, row.text);
  return row;
}
