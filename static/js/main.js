// Puts the page together: token, connection, model, and the view that the address names.

import { hooks } from "./api.js";
import { setZoneMode, span } from "./clock.js";
import { Commands } from "./commands.js";
import { Feed } from "./feed.js";
import { Loader } from "./loader.js";
import { Model } from "./model.js";
import { route } from "./router.js";
import { remembered } from "./settings.js";
import { Connection } from "./socket.js";
import { takeFromAddress, token } from "./token.js";
import { Shell } from "./views/shell.js";
import { askForToken, closeSignIn } from "./views/signin.js";
import { limited } from "./views/toasts.js";

takeFromAddress();
setZoneMode(remembered("zone", "viewer"));

// Events after which something of the agent is another one that no event carries, above all its next run.
const MOVING = new Set(["agent:started", "agent:completed", "agent:failed", "agent:skipped", "agent:missed",
  "agent:resumed", "agent:paused"]);

const model = new Model();
const feed = new Feed();
const connection = new Connection({ event, fresh, refused: signIn, changed: () => shell.connectionChanged() });
const loader = new Loader(model, connection);
const commands = new Commands(model, loader);
const page = { model, feed, connection, loader, commands };
const shell = new Shell(document.getElementById("app"), page, { signIn, signOut });

hooks.unauthorised = () => signIn("The token is not valid any more.");
hooks.limited = (error) => limited(error.retryAt);

let turn = 0;

function event(name, payload) {
  const wasScheduled = model.stats?.scheduledTasksCount;
  const isKnown = model.apply(name, payload);
  feed.add(name, payload);
  shell.event(name, payload);
  if (name === "scheduler:status") {
    const differs = wasScheduled !== undefined && wasScheduled !== payload.stats.scheduledTasksCount;
    if (differs && !commands.explains()) loader.reloadSoon();
  } else if (!isKnown) {
    loader.reloadSoon();
  } else if (MOVING.has(name)) {
    loader.refresh(payload.agentId);
  }
}

async function fresh() {
  const mine = (turn += 1);
  try {
    await loader.fresh();
  } catch (error) {
    if (mine === turn && error.status !== 401) freshLater(error);
    return; // what is shown stays marked as old
  }
  if (mine !== turn) return; // the connection broke meanwhile, and the next turn is at work
  connection.caughtUp();
  shell.caughtUp();
}

function freshLater(error) {
  const wait = error.retryAt ? Math.max(1000, error.retryAt - Date.now()) : 3000;
  connection.say(`${error.message} What you see may be old; it is loaded again in ${span(wait)}.`);
  setTimeout(() => connection.connected && connection.state === "catching-up" && fresh(), wait);
}

function signIn(message) {
  askForToken({ message, done: signedIn });
}

function signedIn() {
  closeSignIn();
  shell.signedIn();
  connection.open();
}

function signOut() {
  location.reload(); // nothing of what was shown stays in memory
}

addEventListener("hashchange", () => {
  if (takeFromAddress()) signedIn(); // the printed link, opened where the page was open already
});
route((path) => shell.show(path));
if (token()) {
  connection.open();
} else {
  connection.close();
  signIn("");
}
