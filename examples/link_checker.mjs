// An agent behind HTTP, in plain Node.js (18 or newer, no packages): checks links, and tells how far it is.
//
// Run it, then make an agent that calls it, and run that one:
//
//   node examples/link_checker.mjs
//   curl localhost:5000/api/agents -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d '{
//     "id": "links", "name": "Link checker", "agentType": "LINK_CHECKER",
//     "configuration": {"url": "http://127.0.0.1:8090/", "links": ["https://example.com/", "http://localhost:5000/health"]}}'
//   curl -X POST localhost:5000/api/agents/links/run -H "Authorization: Bearer $TOKEN"
//
// The server posts {agentId, sessionId, attempt, configuration, context}. Each line of the answer is one JSON object:
// {progress, message, currentStep, totalSteps}, {log: {level, message}}, and last {result} or {error}.

import { createServer } from "node:http";
import { once } from "node:events";
import { json } from "node:stream/consumers";

async function check(link) {
  try {
    const answer = await fetch(link, { signal: AbortSignal.timeout(10_000) });
    await answer.body?.cancel();
    return answer.ok ? null : `answers ${answer.status}`;
  } catch (error) {
    return error.cause?.code ?? error.name;
  }
}

const server = createServer(async (request, response) => {
  const { configuration, context } = await json(request);
  const links = context.links ?? configuration.links ?? [];
  let stopped = false;
  response.on("close", () => (stopped = true)); // the run was stopped, or took too long

  response.writeHead(200, { "Content-Type": "application/x-ndjson" });
  const say = (line) => response.write(JSON.stringify(line) + "\n");
  let broken = 0;
  for (const [at, link] of links.entries()) {
    const fault = await check(link);
    if (stopped) return;
    if (fault !== null) {
      broken += 1;
      say({ log: { level: "warning", message: `${link} ${fault}` } });
    }
    const step = at + 1;
    say({ progress: (100 * step) / links.length, message: link, currentStep: step, totalSteps: links.length });
  }
  say(links.length ? { result: `${links.length} links checked, ${broken} broken` } : { error: "no links were given" });
  response.end();
});

server.listen(Number(process.env.PORT ?? 8090), "127.0.0.1");
await once(server, "listening");
console.log(`Link checker on http://127.0.0.1:${server.address().port}/`);
