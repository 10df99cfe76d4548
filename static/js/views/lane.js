// One agent's lane in the timeline. Runs too close to be told apart are one bar that says how many it stands for.

import { clockTime, duration, now, zoneFor } from "../clock.js";
import { h, setAttribute, setText } from "../dom.js";
import { FAILURES } from "../wire.js";
import { agentLink } from "../router.js";
import { outcome } from "../state.js";

const NARROWEST = 4; // pixels of the smallest bar
const APART = 1;

export class Lane {
  #made = new Map(); // a bar's key -> its element

  constructor() {
    this.name = h("a", { class: "lane-name" });
    this.track = h("div", { class: "track" });
    this.element = h("div", { class: "row lane", role: "listitem" }, this.name, this.track);
  }

  fill({ agent, runs, coming }, view) {
    setText(this.name, agent.name);
    setAttribute(this.name, "href", agentLink(agent.id));
    setAttribute(this.name, "title", agent.name);
    const width = this.track.clientWidth || 800;
    const bars = [...merged(bounds(runs, view, width)), ...merged(comingBounds(agent, coming, view, width))];
    const kept = new Set(bars.map((bar) => bar.key));
    for (const [key, element] of this.#made) {
      if (kept.has(key)) continue;
      element.remove();
      this.#made.delete(key);
    }
    const zone = zoneFor(agent.zone);
    for (const bar of bars) this.#draw(bar, agent, zone);
  }

  #draw(bar, agent, zone) {
    let element = this.#made.get(bar.key);
    if (!element) {
      element = bar.kind === "coming" ? h("span") : h("a", { tabindex: "-1" });
      this.#made.set(bar.key, element);
      this.track.append(element);
    }
    setAttribute(element, "class", `bar ${bar.kind}${bar.count > 1 ? " many" : ""}`);
    element.style.left = `${bar.from.toFixed(1)}px`;
    element.style.width = `${(bar.to - bar.from).toFixed(1)}px`;
    const label = labelOf(bar, zone);
    setAttribute(element, "title", label);
    if (bar.kind === "coming") return;
    setAttribute(element, "aria-label", `${agent.name}: ${label}`);
    setAttribute(element, "href", agentLink(agent.id, bar.count === 1 && bar.last.count === undefined ? bar.last.id : undefined));
  }
}

/** Where each run lies, oldest first: {key, kind, from, to (pixels), first, last (runs), count}. */
function bounds(runs, { since, until, at }, width) {
  const scale = width / (until - since);
  return runs.toSorted((a, b) => a.startedAt - b.startedAt).map((run) => {
    const from = Math.max(0, (run.startedAt - since) * scale);
    const to = ((run.completedAt ?? at) - since) * scale;
    return { key: run.id, kind: kindOf(run.outcome), from, to: Math.max(to, from + NARROWEST), first: run, last: run, count: 1 };
  });
}

function comingBounds(agent, coming, { since, until, at }, width) {
  if (!coming) return [];
  const scale = width / (until - since);
  const fires = coming.fires.filter((fire) => fire > at && fire <= until);
  const bars = fires.map((fire) => {
    const from = (fire - since) * scale;
    return { key: `coming ${fire}`, kind: "coming", from, to: from + 6, first: { startedAt: fire }, last: { startedAt: fire }, count: 1 };
  });
  const lastListed = fires.at(-1);
  const isCut = coming.count > coming.fires.length && lastListed < Math.min(until, coming.lastAt);
  if (isCut) { // more than were listed: a band to where they end
    const from = (lastListed - since) * scale;
    const end = { startedAt: Math.min(until, coming.lastAt) };
    bars.push({ key: "coming more", kind: "coming", from, to: (end.startedAt - since) * scale, first: { startedAt: lastListed }, last: end, count: 2 });
  }
  return bars;
}

/** Neighbours of one kind that touch become one bar. */
function merged(bars) {
  const found = [];
  for (const bar of bars) {
    const before = found.at(-1);
    if (before && before.kind === bar.kind && bar.kind !== "running" && bar.from < before.to + APART) {
      before.to = Math.max(before.to, bar.to);
      before.last = bar.last;
      before.count += bar.count;
    } else {
      found.push(bar);
    }
  }
  return found;
}

function kindOf(name) {
  if (FAILURES.has(name)) return "failed";
  return name;
}

function labelOf({ kind, first, last, count }, zone) {
  const since = clockTime(first.startedAt, zone);
  if (kind === "coming") return count === 1 ? `due ${since}` : `due again and again, ${since} to ${clockTime(last.startedAt, zone)}`;
  if (count > 1) return `${count} ${outcome(kind).word}, ${since} to ${clockTime(last.startedAt, zone)}`;
  if (first.count !== undefined) return `${first.count} ${outcome(kind).word}, ${since} to ${clockTime(first.completedAt, zone)}: ${first.error}`;
  const took = duration(first.duration ?? now() - first.startedAt);
  return `${outcome(first.outcome).word}, ${since}, ${took}${first.error ? `: ${first.error}` : ""}`;
}
