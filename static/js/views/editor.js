// The editor of an agent's schedule.

import { agentPath, get } from "../api.js";
import { viewerZone } from "../clock.js";
import { fill, h } from "../dom.js";
import { check, choice, clearErrors, field, showErrors, zoneList } from "./fields.js";
import { Preview } from "./preview.js";

const PRIORITIES = [["LOW", "Low"], ["NORMAL", "Normal"], ["HIGH", "High"], ["CRITICAL", "Critical"]];
const OVERLAPS = [["SKIP", "Skip it"], ["QUEUE", "Run once afterwards"], ["REPLACE", "Stop the running one"]];
const MISSED = [["ONCE", "Run once for all"], ["SKIP", "Leave them out"]];
const EXAMPLES = ["*/5 * * * *", "0 * * * *", "0 9 * * MON-FRI", "0 9 1 * *", "0 18 L * *", "@daily", "every 30 minutes"];

export class ScheduleEditor {
  #commands;
  #agent;
  #done;
  #nodes;

  /** *done* is called when the editor is to close, after a save or without one. */
  constructor(commands, agent, done) {
    this.#commands = commands;
    this.#agent = agent;
    this.#done = done;
    this.element = h("div", {}, h("p", { class: "hint" }, "Loading the schedule…"));
    this.#load();
  }

  async #load() {
    try {
      this.#build(await get(agentPath(this.#agent.id, "/schedule")));
    } catch (error) {
      fill(this.element, h("p", { class: "field-error" }, error.message));
    }
  }

  #build(saved) {
    const nodes = scheduleFields(saved);
    this.#nodes = nodes;
    const save = h("button", { class: "primary", type: "submit" }, "Save schedule");
    nodes.save = save;
    const form = h("form", { class: "editor", novalidate: true, onsubmit: (event) => this.#save(event) },
      nodes.element, nodes.general,
      h("div", { class: "form-actions" }, save, h("button", { type: "button", onclick: () => this.#done() }, "Cancel")));
    fill(this.element, form);
    if (nodes.expression.input.value) nodes.preview.now();
    nodes.expression.input.focus();
  }

  async #save(event) {
    event.preventDefault();
    const { fields, general, save, preview, body } = this.#nodes;
    clearErrors(fields, general);
    save.disabled = true;
    try {
      const wanted = body();
      if (preview.words === null) await preview.now();
      await this.#commands.schedule(this.#agent.id, wanted, preview.words);
      this.#done();
    } catch (error) {
      showErrors(fields, error, general);
    } finally {
      save.disabled = false;
    }
  }
}

/** The fields of a schedule, filled with what is *saved*; `body()` is what to send. */
export function scheduleFields(saved = {}) {
  const expression = field("When", h("input", {
    type: "text", value: saved.scheduleExpression ?? "", list: exampleList(), spellcheck: "false", autocomplete: "off",
    autocapitalize: "off", class: "mono", placeholder: "0 9 * * MON-FRI",
  }), { name: "cronExpression" });
  const zone = field("Time zone", h("input", {
    type: "text", value: saved.scheduleTimezone ?? viewerZone, list: zoneList(), spellcheck: "false", autocomplete: "off",
  }), { name: "timezone" });
  const priority = field("Priority", choice(PRIORITIES, saved.schedulePriority ?? "NORMAL"), { name: "priority" });
  const overlap = field("If it still runs when due", choice(OVERLAPS, saved.scheduleOverlap ?? "SKIP"), { name: "overlap" });
  const missed = field("After downtime", choice(MISSED, saved.scheduleMissedRuns ?? "ONCE"), { name: "missedRuns" });
  const enabled = h("input", { type: "checkbox", checked: saved.scheduleExpression ? saved.scheduleEnabled : true });
  const preview = new Preview({ expression: expression.input, zone: zone.input });
  const element = h("div", { class: "fields" }, expression.element, zone.element, preview.element,
    h("div", { class: "form-row" }, priority.element, overlap.element, missed.element), check("Enabled", enabled));
  return {
    element, expression, preview, fields: [expression, zone, priority, overlap, missed],
    general: h("p", { class: "field-error", role: "alert" }),
    body: () => ({
      cronExpression: expression.input.value.trim(), timezone: zone.input.value.trim() || undefined,
      priority: priority.input.value, overlap: overlap.input.value, missedRuns: missed.input.value,
      enabled: enabled.checked,
    }),
  };
}

function exampleList() {
  if (!document.getElementById("expressions")) {
    document.body.append(h("datalist", { id: "expressions" }, EXAMPLES.map((value) => h("option", { value }))));
  }
  return "expressions";
}
