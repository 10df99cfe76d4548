// Asks for a token, in front of whatever is shown: the view behind it stays.

import { fill, h } from "../dom.js";
import { claims, keep } from "../token.js";

let dialog = null;

export function closeSignIn() {
  dialog?.close();
}

/** Show the sign-in with *message*; *done* is called when a token was given that looks like one. */
export function askForToken({ message, done }) {
  if (dialog?.open) {
    dialog.querySelector("#token-message").textContent = message;
    return;
  }
  const field = h("textarea", {
    id: "token", rows: "4", required: true, spellcheck: "false", autocomplete: "off", autocapitalize: "off",
    "aria-describedby": "token-message token-help",
  });
  const wrong = h("p", { class: "field-error", id: "token-message", role: "alert" }, message);
  const submit = (event) => {
    event.preventDefault();
    const text = field.value.trim().replace(/^.*#token=/, "");
    const said = claims(text);
    if (!said) wrong.textContent = "This is not a token: it has three parts, separated by dots.";
    else if (said.expiresAt !== null && said.expiresAt < Date.now()) wrong.textContent = "This token has expired.";
    else {
      keep(text);
      done();
    }
  };
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey) submit(event);
  });
  dialog ??= document.body.appendChild(h("dialog", { class: "signin", "aria-labelledby": "signin-title" }));
  dialog.oncancel = (event) => event.preventDefault();
  fill(
    dialog,
    h("form", { onsubmit: submit },
      h("h1", { id: "signin-title" }, "Sign in"),
      h("p", {}, "Open the link that the server printed when it started, or paste a token."),
      h("label", { for: "token" }, "Token"),
      field,
      wrong,
      h("p", { class: "hint", id: "token-help" }, "A new one, on the server's machine: ",
        h("code", {}, ".venv/bin/python -m server token --user me --ttl 1d")),
      h("button", { class: "primary", type: "submit" }, "Sign in")),
  );
  dialog.showModal();
}
