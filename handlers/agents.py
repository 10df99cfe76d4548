"""Agents over REST: make, list, read, change and delete them, run and stop them."""

from __future__ import annotations

from typing import Protocol

from aiohttp import web

from handlers.answer_schemas import (
    AgentPart,
    DeletedPart,
    EarlierAgentPart,
    PaginationPart,
    RunPart,
    StopPart,
    many,
    nested,
    success,
    text,
)
from handlers.answers import ok
from handlers.json import agent_json, pagination_json, time_json
from handlers.operations import BODY, QUERY, Answer, operation
from handlers.paths import agent_id
from handlers.schemas import AgentPatchBody, AgentsQuery, AgentsWanted, EarlierRunBody, NewAgentBody, RunBody
from scheduler.requests import AgentPatch, NewAgent, RunAccepted, StopAccepted
from store.base import Store
from store.records import JSON, Agent, JSONObject

ONE_AGENT = success("AgentAnswer", nested(AgentPart))
QUEUED = success("RunAnswer", nested(RunPart))


class AgentCommands(Protocol):
    """What these handlers ask of the service."""

    async def create(self, new: NewAgent) -> Agent: ...
    async def update(self, agent_id: str, patch: AgentPatch) -> Agent: ...
    async def delete(self, agent_id: str) -> None: ...
    async def run(self, agent_id: str, context: JSONObject) -> RunAccepted: ...
    async def stop(self, agent_id: str) -> StopAccepted: ...


class AgentHandlers:
    def __init__(self, store: Store, service: AgentCommands) -> None:
        self._store = store
        self._service = service

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/agents", self.create),
            web.get("/api/agents", self.list),
            web.post("/api/agents/run", self.run_named),
            web.get("/api/agents/{id}", self.read),
            web.patch("/api/agents/{id}", self.update),
            web.delete("/api/agents/{id}", self.delete),
            web.post("/api/agents/{id}/run", self.run),
            web.post("/api/agents/{id}/stop", self.stop),
        ]

    @operation(
        "Make an agent",
        tag="Agents",
        body=NewAgentBody(),
        answers={201: Answer("The agent, as it was made.", ONE_AGENT)},
        errors=(409,),
    )
    async def create(self, request: web.Request) -> web.Response:
        """Its agentType must have a runner. 409 when the id is taken."""
        agent = await self._service.create(request[BODY])
        return ok(agent_json(agent), status=201, headers={"Location": f"/api/agents/{agent.id}"})

    @operation(
        "List agents",
        tag="Agents",
        query=AgentsQuery(),
        answers={
            200: Answer(
                "A page of the agents, the newest first; `agents` is the same list for earlier clients.",
                success("AgentsAnswer", many(AgentPart), agents=many(AgentPart), pagination=nested(PaginationPart)),
            )
        },
    )
    async def list(self, request: web.Request) -> web.Response:
        """Those that match all filters."""
        wanted: AgentsWanted = request[QUERY]
        window = wanted.window
        page = await self._store.list_agents(wanted.filter, limit=window.limit, offset=window.offset)
        agents: list[JSON] = [agent_json(agent) for agent in page.items]
        return ok(agents, agents=agents, pagination=pagination_json(page.total, window.limit, window.offset))

    @operation(
        "Read an agent",
        tag="Agents",
        answers={
            200: Answer(
                "The agent; `agent` is the same with `type`, for earlier clients.",
                success("AgentReadAnswer", nested(AgentPart), agent=nested(EarlierAgentPart)),
            )
        },
        errors=(404,),
    )
    async def read(self, request: web.Request) -> web.Response:
        """As it is now, secrets in its configuration masked."""
        agent = await self._store.get_agent(agent_id(request))
        shown = agent_json(agent)
        return ok(shown, agent=shown | {"type": agent.agent_type})

    @operation(
        "Change an agent",
        tag="Agents",
        body=AgentPatchBody(),
        answers={200: Answer("The agent, as it is now.", ONE_AGENT)},
        errors=(404, 409),
    )
    async def update(self, request: web.Request) -> web.Response:
        """Only what is named changes. `configuration` is replaced as a whole; a `***` in it keeps what is stored."""
        return ok(agent_json(await self._service.update(agent_id(request), request[BODY])))

    @operation(
        "Delete an agent",
        tag="Agents",
        answers={200: Answer("It is gone.", success("DeletedAnswer", nested(DeletedPart), message=text()))},
        errors=(404, 409),
    )
    async def delete(self, request: web.Request) -> web.Response:
        """Its sessions go with it. 409 while it runs."""
        wanted = agent_id(request)
        await self._service.delete(wanted)
        return ok({"id": wanted}, message="Agent deleted successfully")

    @operation(
        "Run an agent now",
        tag="Agents",
        body=RunBody(),
        body_required=False,
        answers={202: Answer("The run is kept and starts as soon as a slot is free.", QUEUED)},
        errors=(404, 409),
    )
    async def run(self, request: web.Request) -> web.Response:
        """Its schedule is not moved by it. 409 while it runs."""
        return await self._run(agent_id(request), request[BODY])

    @operation(
        "Run an agent now (earlier clients)",
        tag="Agents",
        body=EarlierRunBody(),
        answers={202: Answer("The run is kept and starts as soon as a slot is free.", QUEUED)},
        errors=(404, 409),
    )
    async def run_named(self, request: web.Request) -> web.Response:
        """The same as `POST /api/agents/{id}/run`, with the agent named in the body."""
        return await self._run(request[BODY]["agentId"], request[BODY])

    @operation(
        "Stop a running agent",
        tag="Agents",
        answers={
            200: Answer(
                "`stopped` when the run has ended, `stopping` when its end is on the way.",
                success("StopAnswer", nested(StopPart), message=text()),
            )
        },
        errors=(404, 409),
    )
    async def stop(self, request: web.Request) -> web.Response:
        """Cancels the run, whichever server runs it; the schedule stays. 409 when it does not run."""
        stopped = await self._service.stop(agent_id(request))
        data: JSONObject = {
            "agentId": stopped.agent_id,
            "sessionId": stopped.session_id,
            "jobId": stopped.agent_id,
            "status": "stopped" if stopped.ended else "stopping",
        }
        return ok(data, message="Agent stopped successfully" if stopped.ended else "Agent is being stopped")

    async def _run(self, wanted: str, body: JSONObject) -> web.Response:
        context = body.get("context")
        accepted = await self._service.run(wanted, context if isinstance(context, dict) else {})
        data: JSONObject = {
            "agentId": accepted.agent_id,
            "sessionId": accepted.session_id,
            "jobId": accepted.agent_id,
            "status": "queued",
            "acceptedAt": time_json(accepted.accepted_at),
        }
        return ok(data, status=202)
