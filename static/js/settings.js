// What the viewer chose, kept in this browser: never anything about agents, never the token.

const PREFIX = "neonhub.";

export function remembered(name, otherwise) {
  try {
    return localStorage.getItem(PREFIX + name) ?? otherwise;
  } catch {
    return otherwise; // a browser may refuse to keep anything
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(PREFIX + name, value);
  } catch {
    // it lasts as long as the page then
  }
}
