// What a user can have done to an agent. Each says what the server answered, and shows its answer at once.

import { agentPath, call } from "./api.js";
import { toast } from "./views/toasts.js";

const OURS = 3000; // for so long after a command, a change of the numbers is its doing

export class Commands {
  #model;
  #loader;
  #lastAt = 0;

  constructor(model, loader) {
    this.#model = model;
    this.#loader = loader;
  }

  /** Whether something this page just did explains a change of the scheduler's numbers. */
  explains() {
    return Date.now() - this.#lastAt < OURS;
  }

  run(id) {
    return this.#do(id, "POST", "/run", () => "The run is queued and starts as soon as a slot is free.");
  }

  stop(id) {
    return this.#do(id, "POST", "/stop");
  }

  pause(id) {
    return this.#do(id, "PATCH", `/schedule/${encodeURIComponent(id)}/pause`);
  }

  resume(id) {
    return this.#do(id, "PATCH", `/schedule/${encodeURIComponent(id)}/resume`);
  }

  async unschedule(id) {
    const answer = await this.#do(id, "DELETE", "/schedule");
    if (answer) {
      const agent = this.#model.agents.get(id);
      if (agent) Object.assign(agent, { expression: null, words: null, zone: null, enabled: false, nextRunAt: null });
      this.#loader.refresh(id);
    }
    return answer;
  }

  async remove(id) {
    const answer = await this.#do(id, "DELETE", "");
    if (answer) this.#model.remove(id);
    return answer;
  }

  /** Save a schedule; throws ApiError, whose `errors` belong to the fields of the form. */
  async schedule(id, body, words) {
    this.#lastAt = Date.now();
    const { data } = await call("POST", agentPath(id, "/schedule"), { body });
    const agent = this.#model.agents.get(id);
    if (agent) {
      this.#model.takeAgent({ ...rowOf(agent), ...data, agentType: agent.type, scheduleWords: words ?? agent.words });
    }
    this.#loader.refresh(id);
    toast(data.scheduleEnabled ? "The schedule is saved." : "The schedule is saved, and disabled.", "ok");
    return data;
  }

  /** Make an agent; throws ApiError. */
  async create(body) {
    this.#lastAt = Date.now();
    const { data } = await call("POST", "/api/agents", { body });
    this.#model.takeAgent(data);
    toast(`${data.name} is created.`, "ok");
    return data;
  }

  async #do(id, method, rest, words = (answer) => answer.message) {
    this.#lastAt = Date.now();
    try {
      const answer = await call(method, agentPath(id, rest));
      toast(`${this.#model.agents.get(id)?.name ?? id}: ${words(answer) ?? "done"}`, "ok");
      if (method !== "DELETE") this.#loader.refresh(id);
      return answer;
    } catch (error) {
      toast(error.message, "failed");
      return null;
    }
  }
}

function rowOf(agent) {
  return { status: agent.status, isPaused: agent.isPaused, isRunning: agent.isRunning, retryCount: agent.retryCount,
    lastError: agent.lastError };
}
