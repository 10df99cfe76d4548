// Form fields with a label, help, and room for what the server says is wrong with them.

import { h, setAttribute, setText } from "../dom.js";

let made = 0;

/** {element, input, error}: a labelled *input*, under the *name* that the API gives it. */
export function field(label, input, { name, hint } = {}) {
  made += 1;
  const id = `field-${made}`;
  input.id = id;
  if (name) input.name = name;
  const error = h("p", { class: "field-error", id: `${id}-error` });
  const help = hint ? h("p", { class: "hint", id: `${id}-hint` }, hint) : null;
  setAttribute(input, "aria-describedby", [help && `${id}-hint`, `${id}-error`].filter(Boolean).join(" "));
  return { element: h("div", { class: "field" }, h("label", { for: id }, label), input, help, error), input, error };
}

/** A select of [value, text] pairs. */
export function choice(options, value) {
  const select = h("select", {}, options.map(([key, text]) => h("option", { value: key }, text)));
  select.value = value;
  return select;
}

/** A checkbox with its label behind it. */
export function check(label, input) {
  return h("label", { class: "check" }, input, label);
}

/** Show what an ApiError says beside the fields it names, the rest in *general*. */
export function showErrors(fields, error, general) {
  clearErrors(fields, general);
  const rest = [];
  let first = null;
  for (const { field: name, message } of error.errors.length ? error.errors : [{ field: null, message: error.message }]) {
    const found = fields.find(({ input }) => name && (input.name === name || name.startsWith(`${input.name}.`)));
    if (!found) {
      rest.push(message.startsWith(name ?? "\0") || !name ? message : `${name} ${message}`);
      continue;
    }
    setText(found.error, `${found.error.textContent} ${message}`.trim());
    setAttribute(found.input, "aria-invalid", "true");
    first ??= found.input;
  }
  setText(general, rest.join(" "));
  first?.focus();
}

export function clearErrors(fields, general) {
  for (const { input, error } of fields) {
    setText(error, "");
    setAttribute(input, "aria-invalid", null);
  }
  setText(general, "");
}

/** All zones this browser knows, for the suggestions of a field; made once. */
export function zoneList() {
  if (!document.getElementById("zones")) {
    const names = Intl.supportedValuesOf?.("timeZone") ?? [];
    document.body.append(h("datalist", { id: "zones" }, ["UTC", ...names].map((name) => h("option", { value: name }))));
  }
  return "zones";
}
