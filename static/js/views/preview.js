// What an expression means while it is typed: words, the next fires in its zone and the viewer's, warnings, refusals.

import { get } from "../api.js";
import { clockTime, dayOf, fullTime, moment, now, shortTime, span, viewerZone, zoneName } from "../clock.js";
import { debounce, fill, h, icon, setAttribute } from "../dom.js";

const TYPING = 450;
const KEPT = 50;

export class Preview {
  /** The words of what was previewed last; null while there are none. */
  words = null;

  #fields;
  #asked = 0;
  #answers = new Map();
  #ask = debounce(TYPING, () => this.#preview());

  /** *fields*: the inputs {expression, zone}. */
  constructor(fields) {
    this.#fields = fields;
    this.element = h("div", { class: "preview", id: "preview", "aria-live": "polite" });
    fields.expression.addEventListener("input", () => this.#typed());
    fields.zone.addEventListener("input", () => this.#typed());
  }

  /** Preview what the fields hold now, without waiting for more to be typed. */
  now() {
    this.#ask.cancel();
    return this.#preview();
  }

  #typed() {
    this.#asked += 1; // an answer under way is to something else
    this.words = null;
    const unfinished = notYet(this.#fields.expression.value);
    this.#mark(null);
    this.#busy(unfinished === null); // what is shown is the answer to what stood there before
    if (unfinished !== null) {
      this.#ask.cancel();
      fill(this.element, h("p", { class: "hint" }, unfinished));
    } else {
      this.#ask();
    }
  }

  async #preview() {
    const query = { cronExpression: this.#fields.expression.value.trim(), timezone: this.#fields.zone.value.trim(), count: 5 };
    if (notYet(query.cronExpression) !== null) return;
    const asked = (this.#asked += 1);
    try {
      const found = await this.#answer(query);
      if (asked === this.#asked) this.#show(found);
    } catch (error) {
      if (asked === this.#asked) this.#refuse(error);
    }
  }

  async #answer(query) {
    const key = JSON.stringify(query);
    const known = this.#answers.get(key);
    if (known && moment(known.fires[0]) > now()) return known;
    const found = await get("/api/schedule/preview", query);
    if (this.#answers.size > KEPT) this.#answers.clear();
    this.#answers.set(key, found);
    return found;
  }

  #busy(isBusy) {
    setAttribute(this.element, "aria-busy", isBusy ? "true" : null);
  }

  #show(found) {
    this.words = found.words;
    this.#busy(false);
    this.#mark(null);
    const zone = found.timezone;
    const isOther = zone !== viewerZone;
    const rows = found.fires.map(moment).map((at) => h("tr", {},
      h("td", { title: fullTime(at, zone) }, fireTime(at, zone)),
      isOther && h("td", { title: fullTime(at, viewerZone) }, fireTime(at, viewerZone)),
      h("td", { class: "muted" }, `in ${span(at - now())}`)));
    fill(this.element,
      h("p", { class: "preview-words" }, icon("ok"), capitalised(found.words)),
      found.warnings.map((text) => h("p", { class: "warning" }, icon("missed"), text)),
      h("table", { class: "fires" },
        h("caption", {}, "Next fires"),
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, zone),
          isOther && h("th", { scope: "col" }, `Your time (${zoneName(now(), viewerZone)})`), h("th", { scope: "col" }, h("span", { class: "hidden-text" }, "From now")))),
        h("tbody", {}, rows)));
  }

  #refuse(error) {
    this.#busy(false);
    const field = error.errors[0]?.field;
    this.#mark(field === "timezone" ? "zone" : error.status === 400 ? "expression" : null);
    fill(this.element, h("p", { class: "field-error" }, icon("failed"), " ", error.message));
  }

  #mark(wrong) {
    for (const [name, input] of Object.entries(this.#fields)) setAttribute(input, "aria-invalid", name === wrong ? "true" : null);
  }
}

/** What is missing before it is worth asking the server, or null. */
function notYet(text) {
  const words = text.trim().split(/\s+/).filter(Boolean);
  if (!words.length) return "Five cron fields (minute, hour, day, month, weekday), @daily, or: every 30 minutes.";
  if (words[0].startsWith("@")) return null;
  if (words[0].toLowerCase() === "every") return words.length < 3 && !/^(second|minute|hour|day)s?$/.test(words[1] ?? "") ? "Such as: every 30 minutes." : null;
  if (words.length < 5) return `Five fields: minute, hour, day of month, month, weekday. ${words.length} so far.`;
  return null;
}

function fireTime(at, zone) {
  const time = dayOf(at, zone) === dayOf(now(), zone) ? clockTime(at, zone) : shortTime(at, zone);
  return `${time} ${zoneName(at, zone)}`;
}

function capitalised(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
