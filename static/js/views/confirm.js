// Asks before something that cannot be taken back.

import { fill, h } from "../dom.js";

/** Resolves to true when the user agrees. */
export function confirmed(question, details, agree) {
  return new Promise((resolve) => {
    const dialog = document.body.appendChild(h("dialog", { "aria-labelledby": "confirm-title" }));
    const close = (value) => {
      dialog.close();
      dialog.remove();
      resolve(value);
    };
    dialog.oncancel = () => close(false);
    const cancel = h("button", { type: "button", onclick: () => close(false) }, "Cancel");
    fill(dialog, h("form", { onsubmit: (event) => { event.preventDefault(); close(true); } },
      h("h1", { id: "confirm-title" }, question), h("p", {}, details),
      h("div", { class: "form-actions" }, h("button", { class: "danger", type: "submit" }, agree), cancel)));
    dialog.showModal();
    cancel.focus();
  });
}
