// Makes elements. All text goes in as text nodes: nothing here, or anywhere in this page, parses markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element: `h("a", { class: "name", href, onclick }, "text", child)`. A property that is null or false is left out. */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) set(element, name, value);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function set(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "class") element.className = value;
  else if (name === "value" || name === "checked") element[name] = value;
  else element.setAttribute(name, value === true ? "" : String(value));
}

/** An SVG element. */
export function svg(tag, props, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(props ?? {})) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** One of the symbols in index.html; hidden from screen readers, since a word always stands beside it. */
export function icon(name) {
  return svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `#i-${name}` }));
}

/** Show another symbol in an element that `icon` made. */
export function setIcon(element, name) {
  const href = `#i-${name}`;
  const use = element.firstChild;
  if (use.getAttribute("href") !== href) use.setAttribute("href", href);
}

/** Set an element's text, touching the page only when it is another one. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set or take away an attribute, touching the page only when it changes. */
export function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value)) {
    element.setAttribute(name, String(value));
  }
}

/** Show or hide an element. */
export function setHidden(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

/** Put other children into an element. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
}

/** Say something to screen readers, without showing it. */
export function announce(text) {
  setText(document.getElementById("announcer"), text);
}

/** Call `task` with the newest arguments once things have been quiet for `ms`. */
export function debounce(ms, task) {
  let timer = 0;
  const debounced = (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => task(...args), ms);
  };
  debounced.cancel = () => clearTimeout(timer);
  return debounced;
}
