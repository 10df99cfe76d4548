// The frame of the page: header, navigation, the numbers, and the view below them.

import { clockTime, setZoneMode, span, everySecond, viewerZone, zoneFor, zoneMode } from "../clock.js";
import { announce, fill, h, icon, setAttribute, setHidden, setText } from "../dom.js";
import { remember, remembered } from "../settings.js";
import { claims, forget, mayWrite, token } from "../token.js";
import { AgentView } from "./agent.js";
import { AgentsView } from "./agents.js";
import { CreateView } from "./create.js";
import { FeedView } from "./events.js";
import { Numbers } from "./numbers.js";
import { TimelineView } from "./timeline.js";

const VIEWS = { agents: AgentsView, timeline: TimelineView, events: FeedView, new: CreateView, agent: AgentView };
const TITLES = { agents: "Agents", timeline: "Timeline", events: "Events", new: "New agent", agent: "Agent" };
const THEMES = ["auto", "light", "dark"];
const WORDS = {
  "connecting": "Connecting", "catching-up": "Catching up", "live": "Live",
  "reconnecting": "Reconnecting", "offline": "Offline", "signed-out": "Signed out",
};

export class Shell {
  #page;
  #view = null;
  #path = [];
  #told = "";
  #nodes = {};

  constructor(root, page, { signIn, signOut }) {
    this.#page = page;
    this.#page.redraw = () => this.show(this.#path, { again: true });
    this.#theme(remembered("theme", "auto"));
    this.#build(root, signIn, signOut);
    page.model.watch((changes) => {
      this.#numbers.update();
      this.#view?.changed?.(changes);
    });
    everySecond(() => {
      if (document.hidden) return;
      this.connectionChanged();
      this.#numbers.update();
      this.#view?.tick?.();
    });
  }

  #numbers;
  #couldWrite = false;

  #build(root, signIn, signOut) {
    const nodes = this.#nodes;
    nodes.state = h("span", { class: "state-word" });
    nodes.age = h("span", { class: "state-age" });
    nodes.connection = h("div", { class: "connection", "data-state": "connecting" },
      h("span", { class: "lamp", "aria-hidden": "true" }), nodes.state, nodes.age);
    nodes.links = ["agents", "timeline", "events"].map((name) => h("a", { href: `#/${name}`, "data-view": name }, TITLES[name]));
    nodes.create = h("a", { class: "button primary", href: "#/new", hidden: true }, icon("plus"), h("span", {}, "New agent"));
    nodes.user = h("span", { class: "user" });
    nodes.out = h("button", { class: "quiet", title: "Sign out", "aria-label": "Sign out", hidden: true, onclick: () => {
      forget();
      signOut();
    } }, icon("out"));
    nodes.theme = h("button", { class: "quiet", onclick: () => this.#nextTheme() }, icon("theme"));
    nodes.banner = h("div", { class: "banner", role: "alert", hidden: true });
    nodes.view = h("main", { id: "view", tabindex: "-1" });
    this.#numbers = new Numbers(this.#page.model);
    fill(root,
      h("header", { class: "top" },
        h("a", { class: "brand", href: "#/agents" }, h("img", { src: "/static/icon.svg", alt: "", width: "22", height: "22" }), "Agent scheduler"),
        h("nav", { "aria-label": "Views" }, nodes.links),
        h("div", { class: "tools" }, nodes.connection, this.#zones(), nodes.theme, nodes.user, nodes.out, nodes.create)),
      nodes.banner, this.#numbers.element, nodes.view);
    this.#labelTheme();
    this.#who();
    this.connectionChanged();
  }

  #zones() {
    const choice = (value, text) => h("option", { value }, text);
    const select = h("select", { class: "zone", "aria-label": "Time zone of all times" },
      choice("viewer", "Your time"), choice("utc", "UTC"), choice("schedule", "Schedules' time"));
    select.title = `Your time is ${viewerZone}; schedules' time is that of each schedule's own zone`;
    select.value = zoneMode();
    select.addEventListener("change", () => {
      setZoneMode(select.value);
      remember("zone", select.value);
      this.show(this.#path, { again: true });
    });
    return select;
  }

  // What is shown

  /** Show the view that *path* names. *again*: it is shown already, but must be made anew. */
  show(path, { again = false } = {}) {
    const [name, ...rest] = path;
    const View = VIEWS[name] ?? AgentsView;
    this.#path = path;
    if (!again && this.#view instanceof View && this.#view.go?.(rest)) return;
    const kept = this.#view?.leave?.();
    const again_ = again ? kept : undefined;
    this.#view = new View(this.#page, rest, again_);
    fill(this.#nodes.view, this.#view.element);
    this.#view.shown?.();
    for (const link of this.#nodes.links) setAttribute(link, "aria-current", link.dataset.view === name ? "page" : null);
    this.#title();
    if (!again) {
      scrollTo(0, 0);
      announce(TITLES[name] ?? "");
    }
  }

  /** What a tab says of itself that is not looked at. */
  #title() {
    const { state } = this.#page.connection;
    const lost = ["offline", "reconnecting", "signed-out"].includes(state) ? `${WORDS[state]} – ` : "";
    const title = `${lost}${TITLES[this.#path[0]] ?? "Agents"} – Agent scheduler`;
    if (document.title !== title) document.title = title;
  }

  event(name, payload) {
    this.#view?.event?.(name, payload);
  }

  caughtUp() {
    this.#view?.caughtUp?.();
  }

  /** There is a token. Who may do more or less than before gets the view anew; else it stays as it is. */
  signedIn() {
    const could = this.#couldWrite;
    this.#who();
    if (could !== mayWrite()) this.show(this.#path, { again: true });
  }

  #who() {
    const said = claims(token() ?? "");
    document.documentElement.dataset.role = said?.role ?? "";
    setText(this.#nodes.user, said ? `${said.user} · ${said.role.toLowerCase()}` : "");
    this.#couldWrite = mayWrite();
    setHidden(this.#nodes.create, !this.#couldWrite);
    setHidden(this.#nodes.out, !said);
  }

  // The connection

  connectionChanged() {
    const { connection, model } = this.#page;
    const { state } = connection;
    const isOld = state !== "live";
    const nodes = this.#nodes;
    if (!nodes.connection) return;
    const age = connection.lastHeard === null ? null : Date.now() - connection.lastHeard;
    setAttribute(nodes.connection, "data-state", state);
    setText(nodes.state, WORDS[state]);
    setText(nodes.age, isOld && age !== null ? `data ${span(age)} old` : "");
    setAttribute(document.documentElement, "data-stale", isOld && model.isLoaded ? "true" : null);
    setHidden(nodes.banner, !this.#bannerText(connection, age));
    setText(nodes.banner, this.#bannerText(connection, age));
    this.#title();
    if (this.#told !== state) {
      if (this.#told) announce(`Connection: ${WORDS[state]}`);
      this.#told = state;
    }
  }

  #bannerText({ state, note, lastHeard }, age) {
    if (note) return note;
    if (state !== "offline") return "";
    if (lastHeard === null) return "The server cannot be reached. This page goes on trying.";
    const zone = zoneFor(null);
    return `No connection to the server. What you see is from ${clockTime(lastHeard, zone)}, ${span(age)} ago. This page goes on trying.`;
  }

  // Light and dark

  #theme(name) {
    this.#nodes.themeName = name;
    document.documentElement.dataset.theme = name;
  }

  #nextTheme() {
    this.#theme(THEMES[(THEMES.indexOf(this.#nodes.themeName) + 1) % THEMES.length]);
    remember("theme", this.#nodes.themeName);
    this.#labelTheme();
    this.#view?.themed?.();
  }

  #labelTheme() {
    const label = `Colours: ${this.#nodes.themeName}`;
    setAttribute(this.#nodes.theme, "aria-label", label);
    setAttribute(this.#nodes.theme, "title", label);
  }
}
