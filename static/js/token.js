// The token: where it comes from, what it says, and where it is kept: in this tab, as long as the tab is open.

const KEY = "neonhub.token";

/**
 * Take the token out of the address (#token=...), so that neither history nor a glance at the screen shows it.
 * True when there was one that looks like a token.
 */
export function takeFromAddress() {
  const match = /^#(?:.*&)?token=([^&]+)/.exec(location.hash);
  if (!match) return false;
  history.replaceState(null, "", location.pathname + location.search + "#/");
  const isToken = claims(match[1]) !== null;
  if (isToken) keep(match[1]);
  return isToken;
}

export function token() {
  return sessionStorage.getItem(KEY);
}

export function keep(text) {
  sessionStorage.setItem(KEY, text);
}

export function forget() {
  sessionStorage.removeItem(KEY);
}

/** What a token says: {user, role, expiresAt (ms or null)}; null if it is no token. The server alone verifies it. */
export function claims(text) {
  try {
    const payload = text.trim().split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(payload), (character) => character.charCodeAt(0));
    const said = JSON.parse(new TextDecoder().decode(bytes));
    if (said === null || typeof said !== "object") return null;
    return {
      user: String(said.id ?? said.sub ?? "?"),
      role: String(said.role ?? "USER"),
      expiresAt: Number.isFinite(said.exp) ? said.exp * 1000 : null,
    };
  } catch {
    return null;
  }
}

/** Whether the present token lets its bearer change things. */
export function mayWrite() {
  const said = claims(token() ?? "");
  return said !== null && said.role !== "VIEWER";
}
