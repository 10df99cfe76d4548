// Why an agent does not run, or did not, and when it will: the server's own words.

import { agentPath, canAfford, get } from "../api.js";
import { debounce, fill, h, icon } from "../dom.js";

const ICONS = {
  "running": "running", "starting": "running", "stopping": "stop", "paused": "paused", "disabled": "none",
  "no-schedule": "none", "next": "waiting", "due": "waiting", "waiting-for-slot": "waiting", "backoff": "retry",
  "owed": "waiting", "failed": "failed", "lease-expired": "missed", "missed": "missed", "skipped": "missed",
  "scheduler-stopped": "missed",
};

export class Why {
  #id;
  #list = h("ul", { class: "reasons" });
  #asked = 0;
  /** Ask again after something changed; not for every change, and not with the last requests. */
  again = debounce(1200, () => canAfford(5) && this.load());

  constructor(id) {
    this.#id = id;
    this.element = h("section", { class: "card why", "aria-label": "Why and when" },
      h("h2", {}, "Why and when"), this.#list);
  }

  async load() {
    const asked = (this.#asked += 1);
    try {
      const found = await get(agentPath(this.#id, "/schedule/explain"));
      if (asked !== this.#asked) return;
      fill(this.#list, found.reasons.map(({ code, message }) => h("li", { "data-code": code }, icon(ICONS[code] ?? "none"), h("span", {}, message))));
      if (!found.reasons.length) fill(this.#list, h("li", {}, "Nothing stands in its way."));
    } catch (error) {
      if (asked === this.#asked) fill(this.#list, h("li", { class: "field-error" }, error.message));
    }
  }
}
