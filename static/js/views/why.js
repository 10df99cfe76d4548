// Why an agent does not run, or did not, and when it will: the server's own words.

import { agentPath, canAfford, get } from "../api.js";
import { moment, shortTime, zoneFor, zoneName } from "../clock.js";
import { debounce, fill, h, icon } from "../dom.js";

const ICONS = {
  "running": "running", "starting": "running", "stopping": "stop", "paused": "paused", "disabled": "none",
  "no-schedule": "none", "next": "waiting", "due": "waiting", "waiting-for-slot": "waiting", "backoff": "retry",
  "owed": "waiting", "failed": "failed", "lease-expired": "missed", "missed": "missed", "skipped": "missed",
  "scheduler-stopped": "missed",
};

export class Why {
  #id;
  #zone;
  #list = h("ul", { class: "reasons" });
  #asked = 0;
  /** Ask again after something changed; not for every change, and not with the last requests. */
  again = debounce(1200, () => canAfford(5) && this.load());

  constructor(id, zone) {
    this.#id = id;
    this.#zone = zone;
    this.element = h("section", { class: "card why", "aria-label": "Why and when" },
      h("h2", {}, "Why and when"), this.#list);
  }

  /** The words are in the schedule's zone: the same moment in the viewer's, where that is another one. */
  #elsewhere(at) {
    const zone = zoneFor(this.#zone);
    const own = this.#zone ?? "UTC";
    if (!at || zone === own || zoneName(moment(at), zone) === zoneName(moment(at), own)) return null;
    return h("span", { class: "sub" }, ` ${shortTime(moment(at), zone)} ${zoneName(moment(at), zone)}`);
  }

  async load() {
    const asked = (this.#asked += 1);
    try {
      const found = await get(agentPath(this.#id, "/schedule/explain"));
      if (asked !== this.#asked) return;
      fill(this.#list, found.reasons.map(({ code, message, at }) => h("li", { "data-code": code }, icon(ICONS[code] ?? "none"), h("span", {}, message, this.#elsewhere(at)))));
      if (!found.reasons.length) fill(this.#list, h("li", {}, "Nothing stands in its way."));
    } catch (error) {
      if (asked === this.#asked) fill(this.#list, h("li", { class: "field-error" }, error.message));
    }
  }
}
