"""Schedules over REST: save, read and remove an agent's schedule, pause and resume it."""

from __future__ import annotations

from typing import Protocol

from aiohttp import web

from handlers.answer_schemas import (
    JobPart,
    PausedPart,
    ResumedPart,
    ScheduleDetailsPart,
    SchedulePart,
    StatisticsPart,
    many,
    nested,
    success,
    text,
)
from handlers.answers import done, ok
from handlers.json import schedule_details_json, schedule_json, statistics_json
from handlers.operations import BODY, Answer, operation
from handlers.paths import agent_id, job_id
from handlers.schemas import ScheduleBody
from scheduler.events import Statistics
from scheduler.requests import ScheduleRequest
from store.base import Store
from store.errors import NotFound
from store.records import JSON, Agent, AgentFilter

PAUSED_AT_MOST = 1000
"""Rows read at a time for the list of paused jobs, which is not paged."""

PAUSED_JOBS = {200: Answer("All paused jobs.", success("PausedJobsAnswer", many(JobPart)))}


class ScheduleCommands(Protocol):
    """What these handlers ask of the service."""

    async def save_schedule(self, agent_id: str, wanted: ScheduleRequest) -> Agent: ...
    async def unschedule(self, agent_id: str) -> Agent: ...
    async def pause(self, agent_id: str) -> Agent: ...
    async def resume(self, agent_id: str) -> Agent: ...
    async def statistics(self) -> Statistics: ...


class ScheduleHandlers:
    def __init__(self, store: Store, service: ScheduleCommands) -> None:
        self._store = store
        self._service = service

    def routes(self) -> list[web.RouteDef]:
        one = "/api/agents/{id}/schedule"
        return [
            web.get("/api/agents/schedule/paused", self.all_paused),
            web.post(one, self.save),
            web.get(one, self.read),
            web.delete(one, self.remove),
            web.get(f"{one}/status", self.status),
            web.get(f"{one}/paused", self.paused),
            web.patch(one + "/{jobId}/pause", self.pause),
            web.patch(one + "/{jobId}/resume", self.resume),
        ]

    @operation(
        "Save a schedule",
        tag="Schedules",
        body=ScheduleBody(),
        answers={200: Answer("The schedule, as it was saved.", success("ScheduleAnswer", nested(SchedulePart)))},
        errors=(404,),
    )
    async def save(self, request: web.Request) -> web.Response:
        """Creates or replaces it. Saving the same schedule again moves nothing."""
        return ok(schedule_json(await self._service.save_schedule(agent_id(request), request[BODY])))

    @operation(
        "Read a schedule",
        tag="Schedules",
        answers={
            200: Answer(
                "The schedule and where the agent stands; `taskDetails` is null when nothing is scheduled.",
                success("ScheduleReadAnswer", nested(ScheduleDetailsPart)),
            )
        },
        errors=(404,),
    )
    async def read(self, request: web.Request) -> web.Response:
        """Of an agent that has none, with nulls."""
        return ok(schedule_details_json(await self._store.get_agent(agent_id(request))))

    @operation(
        "Remove a schedule",
        tag="Schedules",
        answers={200: Answer("Nothing is scheduled any more.", success("UnscheduledAnswer", message=text()))},
        errors=(404,),
    )
    async def remove(self, request: web.Request) -> web.Response:
        """A run in progress goes on."""
        await self._service.unschedule(agent_id(request))
        return done("Agent unscheduled successfully")

    @operation(
        "Read the scheduler's statistics (by way of an agent)",
        tag="Scheduler",
        answers={200: Answer("The scheduler in numbers.", success("StatisticsAnswer", nested(StatisticsPart)))},
        errors=(404,),
    )
    async def status(self, request: web.Request) -> web.Response:
        """Of the whole scheduler; the agent in the path must exist."""
        await self._store.get_agent(agent_id(request))
        return ok(statistics_json(await self._service.statistics()))

    @operation("List paused jobs (by way of an agent)", tag="Schedules", answers=PAUSED_JOBS, errors=(404,))
    async def paused(self, request: web.Request) -> web.Response:
        """Of all agents; the agent in the path must exist."""
        await self._store.get_agent(agent_id(request))
        return ok(await self._paused_jobs())

    @operation("List paused jobs", tag="Schedules", answers=PAUSED_JOBS)
    async def all_paused(self, request: web.Request) -> web.Response:
        """Of all agents."""
        return ok(await self._paused_jobs())

    @operation(
        "Pause a job",
        tag="Schedules",
        answers={200: Answer("It is paused.", success("PausedAnswer", nested(PausedPart), message=text()))},
        errors=(404, 409),
    )
    async def pause(self, request: web.Request) -> web.Response:
        """Keeps the schedule, but nothing fires. 404 when nothing is scheduled, 409 while the agent runs."""
        agent = await self._service.pause(await self._agent_of_job(request))
        return ok(
            {"agentId": agent.id, "jobId": agent.id, "status": "paused"}, message=f"Job {agent.id} paused successfully"
        )

    @operation(
        "Resume a job",
        tag="Schedules",
        answers={200: Answer("It fires again.", success("ResumedAnswer", nested(ResumedPart), message=text()))},
        errors=(400, 404),
    )
    async def resume(self, request: web.Request) -> web.Response:
        """400 when it is not paused."""
        agent = await self._service.resume(await self._agent_of_job(request))
        data: dict[str, JSON] = {"agentId": agent.id, "jobId": agent.id, "status": "resumed"}
        data["nextRunAt"] = schedule_json(agent)["nextRunAt"]
        return ok(data, message=f"Job {agent.id} resumed successfully")

    async def _agent_of_job(self, request: web.Request) -> str:
        wanted = agent_id(request)
        if job_id(request) != wanted:
            await self._store.get_agent(wanted)  # an unknown agent is what is wrong, rather than its job
            raise NotFound("Job not found")
        return wanted

    async def _paused_jobs(self) -> list[JSON]:
        jobs: list[JSON] = []
        while True:
            page = await self._store.list_agents(AgentFilter(paused=True), limit=PAUSED_AT_MOST, offset=len(jobs))
            jobs += [{"agentId": agent.id, "jobId": agent.id} for agent in page.items]
            if len(page.items) < PAUSED_AT_MOST:
                return jobs
