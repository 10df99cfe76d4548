// The last runs of an agent as a strip of small bars: upwards from the line what completed, as tall as it took long;
// below the line what failed. So it reads without colour, too.

import { duration } from "../clock.js";
import { h, setAttribute, svg } from "../dom.js";
import { STRIP } from "../model.js";
import { outcome } from "../state.js";

const STEP = 6;
const WIDTH = 4;
const LINE = 16;
const DEPTH = 7;
const TALLEST = 15;
const SHORTEST = 3;
const CLASSES = ["completed", "failed", "stopped"];

export class Strip {
  #paths = new Map();
  #shown = undefined; // null is to be shown, too

  constructor() {
    const line = svg("path", { class: "line", d: `M0 ${LINE + 0.5}H${STRIP * STEP}` });
    const picture = svg("svg", { viewBox: `0 0 ${STRIP * STEP} 25`, width: STRIP * STEP, height: 25, "aria-hidden": "true" }, line);
    for (const name of CLASSES) {
      const path = svg("path", { class: name });
      this.#paths.set(name, path);
      picture.append(path);
    }
    this.element = h("div", { class: "strip", role: "img" }, picture);
  }

  /** Show *runs*, oldest first; null while they are not known. */
  show(runs) {
    if (runs === this.#shown) return;
    this.#shown = runs;
    const label = wordsOf(runs);
    setAttribute(this.element, "aria-label", label);
    setAttribute(this.element, "title", label);
    setAttribute(this.element, "data-unknown", runs === null ? "true" : null);
    const drawn = { completed: "", failed: "", stopped: "" };
    const longest = Math.max(1, ...(runs ?? []).map((run) => run.duration ?? 0));
    (runs ?? []).forEach((run, index) => {
      const x = (STRIP - runs.length + index) * STEP + 1;
      const kind = run.outcome === "completed" ? "completed" : run.outcome === "stopped" ? "stopped" : "failed";
      drawn[kind] += kind === "completed" ? bar(x, tall(run.duration ?? 0, longest)) : below(x, kind);
    });
    for (const [name, path] of this.#paths) setAttribute(path, "d", drawn[name]);
  }
}

/** The root keeps short runs visible beside long ones. */
function tall(took, longest) {
  return SHORTEST + Math.sqrt(took / longest) * (TALLEST - SHORTEST);
}

function bar(x, height) {
  return `M${x} ${LINE}v${-height.toFixed(1)}h${WIDTH}v${height.toFixed(1)}z`;
}

function below(x, kind) {
  const depth = kind === "failed" ? DEPTH : 3;
  return `M${x} ${LINE + 1}v${depth}h${WIDTH}v${-depth}z`;
}

function wordsOf(runs) {
  if (runs === null) return "The last runs are not loaded yet";
  if (!runs.length) return "No runs yet";
  const counts = new Map();
  for (const run of runs) counts.set(run.outcome, (counts.get(run.outcome) ?? 0) + 1);
  const parts = [...counts].map(([name, count]) => `${count} ${outcome(name).word}`);
  const last = runs.at(-1);
  const took = last.duration === null || last.duration === undefined ? "" : ` in ${duration(last.duration)}`;
  return `Last ${runs.length} runs: ${parts.join(", ")}. The latest ${outcome(last.outcome).word}${took}.`;
}
