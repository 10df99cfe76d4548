// The address names the view: #/agents, #/timeline, #/events, #/new, #/agent/<id>, #/agent/<id>/<session id>.

/** Call *show* with the parts of the path, now and whenever it changes. */
export function route(show) {
  const follow = () => show(pathOf(location.hash));
  addEventListener("hashchange", follow);
  follow();
}

function pathOf(hash) {
  const parts = hash.replace(/^#\/?/, "").split("?")[0].split("/").filter(Boolean).map(decoded);
  return parts.length ? parts : ["agents"];
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function agentLink(id, sessionId) {
  const path = `#/agent/${encodeURIComponent(id)}`;
  return sessionId ? `${path}/${encodeURIComponent(sessionId)}` : path;
}

export function go(hash) {
  location.hash = hash;
}
