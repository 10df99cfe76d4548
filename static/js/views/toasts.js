// Short messages at the edge of the page: what the server said to a command. They are read out, and they go by.

import { span } from "../clock.js";
import { h, icon } from "../dom.js";

const SHOWN = { ok: 4000, failed: 9000 };
const MOST = 4;

let box = null;

function place() {
  if (!box) {
    box = h("div", { class: "toasts", role: "status", "aria-live": "polite" });
    document.body.append(box);
  }
  return box;
}

/** Show *text*; *kind* is "ok" or "failed". */
export function toast(text, kind = "ok") {
  const close = h("button", { class: "quiet", "aria-label": "Dismiss", onclick: () => shown.remove() }, icon("failed"));
  const shown = h("div", { class: `toast ${kind}` }, icon(kind === "ok" ? "ok" : "missed"), h("span", {}, text), close);
  place().append(shown);
  while (box.children.length > MOST) box.firstChild.remove();
  setTimeout(() => shown.remove(), SHOWN[kind]);
}

let limitShownUntil = 0;

/** The rate limit was met: say so once, and until when. */
export function limited(retryAt) {
  if (Date.now() < limitShownUntil) return;
  limitShownUntil = retryAt ?? Date.now() + 10_000;
  const wait = retryAt ? ` Try again in ${span(retryAt - Date.now())}.` : "";
  toast(`The server's rate limit for your user is used up.${wait} Live events go on.`, "failed");
}
