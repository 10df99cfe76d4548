// A form for a new agent, which knows what runners the server has.

import { get } from "../api.js";
import { fill, h } from "../dom.js";
import { agentLink, go } from "../router.js";
import { mayWrite } from "../token.js";
import { scheduleFields } from "./editor.js";
import { check, clearErrors, field, showErrors } from "./fields.js";

const KINDS = [
  ["python", "A Python function", "Registered on the server for an agent type."],
  ["http", "An HTTP endpoint", "Called with POST; may stream its progress."],
  ["command", "A program", "One that the server's operator listed."],
];

export class CreateView {
  #page;
  #runners = null;
  #kind = "python";
  #place = h("div", { class: "fields" });
  #general = h("p", { class: "field-error", role: "alert" });
  #nodes = {};

  constructor(page) {
    this.#page = page;
    this.element = h("section", { class: "create card", "aria-label": "New agent" }, h("h1", {}, "New agent"));
    if (mayWrite()) this.#load();
    else this.element.append(h("p", {}, "Your token may only read. To create agents, sign in with the role USER."));
  }

  async #load() {
    try {
      this.#runners = await get("/api/runners");
      this.#build();
    } catch (error) {
      fill(this.element, h("h1", {}, "New agent"), h("p", { class: "field-error" }, error.message));
    }
  }

  #build() {
    const nodes = this.#nodes;
    this.#kind = this.#runners.agentTypes.length ? "python" : "http";
    nodes.name = field("Name", h("input", { type: "text", required: true, maxlength: "200" }), { name: "name" });
    nodes.id = field("Id", h("input", { type: "text", maxlength: "64", spellcheck: "false" }), { name: "id", hint: "Chosen by the server when left empty. Letters, digits, dot, hyphen, underscore." });
    nodes.description = field("Description", h("input", { type: "text", maxlength: "2000" }), { name: "description" });
    nodes.kinds = KINDS.map(([kind, label, hint]) => this.#kindChoice(kind, label, hint));
    nodes.hasSchedule = h("input", { type: "checkbox", onchange: () => this.#toggleSchedule() });
    nodes.schedulePlace = h("div");
    nodes.submit = h("button", { class: "primary", type: "submit" }, "Create agent");
    fill(this.element, h("h1", {}, "New agent"),
      h("form", { class: "fields", novalidate: true, onsubmit: (event) => this.#submit(event) },
        h("div", { class: "form-row" }, nodes.name.element, nodes.id.element), nodes.description.element,
        h("fieldset", {}, h("legend", {}, "What runs"), h("div", { class: "kinds" }, nodes.kinds), this.#place),
        check("Run it on a schedule", nodes.hasSchedule), nodes.schedulePlace, this.#general,
        h("div", { class: "form-actions" }, nodes.submit, h("a", { class: "button", href: "#/agents" }, "Cancel"))));
    this.#choose(this.#kind);
    nodes.name.input.focus();
  }

  #kindChoice(kind, label, hint) {
    const radio = h("input", { type: "radio", name: "kind", value: kind, checked: kind === this.#kind, onchange: () => this.#choose(kind) });
    const isMissing = (kind === "python" && !this.#runners.agentTypes.length) || (kind === "command" && !this.#runners.commands.length);
    radio.disabled = isMissing;
    return h("label", { class: "kind" }, radio, h("span", {}, label, h("span", { class: "hint" }, isMissing ? MISSING[kind] : hint)));
  }

  #choose(kind) {
    const nodes = this.#nodes;
    this.#kind = kind;
    const types = h("datalist", { id: "agent-types" }, this.#runners.agentTypes.map((value) => h("option", { value })));
    nodes.type = kind === "python"
      ? field("Agent type", h("select", {}, this.#runners.agentTypes.map((type) => h("option", { value: type }, type))), { name: "agentType" })
      : field("Agent type", h("input", { type: "text", value: kind === "http" ? "HTTP_AGENT" : "PROGRAM", maxlength: "64", spellcheck: "false" }),
        { name: "agentType", hint: "A name for its kind, in upper snake case." });
    nodes.url = field("URL", h("input", { type: "url", placeholder: "https://example.org/agent", spellcheck: "false" }), { name: "configuration.url" });
    nodes.command = field("Program", h("select", {}, this.#runners.commands.map((name) => h("option", { value: name }, name))), { name: "configuration.command" });
    nodes.configuration = field("Configuration (JSON)", h("textarea", { rows: "4", spellcheck: "false", placeholder: "{}" }), {
      name: "configuration", hint: "Handed to every run. Values of keys that name a secret are never shown again.",
    });
    fill(this.#place, types, kind === "http" && nodes.url.element, kind === "command" && nodes.command.element, nodes.type.element, nodes.configuration.element);
  }

  #toggleSchedule() {
    const { hasSchedule, schedulePlace } = this.#nodes;
    this.#nodes.schedule = hasSchedule.checked ? scheduleFields() : null;
    fill(schedulePlace, this.#nodes.schedule?.element);
    this.#nodes.schedule?.expression.input.focus();
  }

  get #fields() {
    const { name, id, description, type, url, command, configuration, schedule } = this.#nodes;
    return [name, id, description, type, url, command, configuration, ...(schedule?.fields ?? [])];
  }

  async #submit(event) {
    event.preventDefault();
    const { submit, schedule } = this.#nodes;
    clearErrors(this.#fields, this.#general);
    submit.disabled = true;
    try {
      const made = this.#made ?? await this.#page.commands.create(this.#body());
      this.#made = made; // should the schedule be refused, the agent is there already
      if (schedule) await this.#page.commands.schedule(made.id, schedule.body(), schedule.preview.words);
      go(agentLink(made.id));
    } catch (error) {
      showErrors(this.#fields, error.errors ? error : { errors: [], message: error.message }, this.#general);
    } finally {
      submit.disabled = false;
    }
  }

  #made = null;

  #body() {
    const { name, id, description, type, url, command, configuration } = this.#nodes;
    const body = {
      name: name.input.value.trim(), agentType: type.input.value.trim(), id: id.input.value.trim() || undefined,
      description: description.input.value.trim() || undefined, configuration: parsed(configuration.input.value),
    };
    if (this.#kind === "http") body.configuration.url = url.input.value.trim();
    if (this.#kind === "command") body.configuration.command = command.input.value;
    return body;
  }
}

const MISSING = {
  python: "None is registered: AGENT_MODULES names the modules that do.",
  command: "None is listed: COMMANDS_FILE names the file that does.",
};

/** The configuration typed; an error in it is shown like one that the server found. */
function parsed(text) {
  try {
    const value = JSON.parse(text.trim() || "{}");
    if (value !== null && typeof value === "object" && !Array.isArray(value)) return value;
    throw new Error("It must be an object, {...}.");
  } catch (error) {
    throw Object.assign(new Error(error.message), { errors: [{ field: "configuration", message: `This is not a JSON object: ${error.message}` }] });
  }
}
