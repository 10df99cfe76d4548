"""``python -m server import``: agents and schedules from the Node backend's PostgreSQL tables, as JSON lines.

``psql -At -c 'SELECT row_to_json(a) FROM agents a' > agents.jsonl`` makes such a file. Columns are known by their
camelCase or snake_case names; those this server keeps by itself (status, next run, counters) are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeGuard

from marshmallow import Schema, ValidationError

from handlers.bodies import parse_object
from handlers.schemas import NewAgentBody, ScheduleBody
from scheduler.cron import timetable
from scheduler.requests import AgentPatch, NewAgent, ScheduleRequest
from scheduler.runners.base import Runners
from scheduler.service import AgentService
from store.base import Store
from store.errors import Invalid, NotFound, ServiceError
from store.records import JSON, JSONObject, Priority

EPOCH = datetime.fromtimestamp(0, UTC)
AGENT_COLUMNS = {
    "id": "id",
    "name": "name",
    "description": "description",
    "type": "agentType",
    "agentType": "agentType",
    "configuration": "configuration",
    "config": "configuration",
    "projectId": "projectId",
    "managerId": "managerId",
}
IDS = frozenset({"id", "projectId", "managerId"})
SCHEDULE_COLUMNS = {
    "scheduleExpression": "cronExpression",
    "scheduleEnabled": "enabled",
    "schedulePriority": "priority",
    "scheduleTimezone": "timezone",
}


class ImportFailed(ServiceError):
    """The file holds lines that cannot be imported; nothing was written. One line of the message for each."""


@dataclass(frozen=True, slots=True)
class Row:
    """One agent of the file, as the API would have been asked for it.

    ``says_schedule`` tells whether the file has the column at all: only then does an empty one mean "none".
    """

    agent_id: str
    agent: NewAgent
    schedule: ScheduleRequest | None
    says_schedule: bool

    @property
    def patch(self) -> AgentPatch:
        """What makes an agent that is there already the same as the file's; its history stays."""
        new = self.agent
        return AgentPatch(
            name=new.name,
            agent_type=new.agent_type,
            description=new.description,
            configuration=new.configuration,
            project_id=new.project_id or "",
            manager_id=new.manager_id or "",
        )


def read_rows(lines: Iterable[str], runners: Runners, zone: str) -> list[Row]:
    """Read and check a whole file, so that nothing is written when one line is wrong.

    Raises:
        ImportFailed: each line at fault with its number and reason.
    """
    rows, faults, seen = [], [], dict[str, int]()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = _row(line, runners, zone)
            if row.agent_id in seen:
                raise Invalid(f"id {row.agent_id} stands in line {seen[row.agent_id]} already")
            seen[row.agent_id] = number
            rows.append(row)
        except (ServiceError, ValidationError, ValueError) as error:
            faults.append(f"line {number}: {_reason(error)}")
    if faults:
        raise ImportFailed("\n".join([*faults, f"{len(faults)} lines cannot be imported; nothing was written"]))
    return rows


async def write_rows(rows: Iterable[Row], store: Store, service: AgentService, *, replace: bool) -> tuple[int, int]:
    """Add the agents with their schedules; one that exists is left alone, or replaced. Returns (written, left alone).

    After a stop half-way the file can be imported again with *replace*: what is there already is written the same.
    """
    written = left = 0
    for row in rows:
        exists = await _exists(store, row.agent_id)
        if exists and not replace:
            left += 1
            continue
        if exists:
            await service.update(row.agent_id, row.patch)
        else:
            await service.create(row.agent)
        if row.schedule is not None:
            await service.save_schedule(row.agent_id, row.schedule)
        elif exists and row.says_schedule:
            await service.unschedule(row.agent_id)
        written += 1
    return written, left


async def _exists(store: Store, agent_id: str) -> bool:
    try:
        await store.get_agent(agent_id)
    except NotFound:
        return False
    return True


def _row(line: str, runners: Runners, zone: str) -> Row:
    columns = {_camel(name): value for name, value in parse_object(line.encode(), what="it").items()}
    agent = _loaded(NewAgentBody(), _agent_body(_picked(columns, AGENT_COLUMNS)))
    if agent.id is None:
        raise Invalid("id is missing: without it a second import would add the agent again")
    runners.find(agent.agent_type, agent.configuration)
    schedule = None
    if columns.get("scheduleExpression"):
        schedule = _loaded(ScheduleBody(), _schedule_body(_picked(columns, SCHEDULE_COLUMNS)))
        timetable(schedule.expression, schedule.timezone or zone, anchor=EPOCH)
    return Row(agent.id, agent, schedule, "scheduleExpression" in columns)


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


def _picked(columns: Mapping[str, JSON], names: Mapping[str, str]) -> JSONObject:
    return {names[name]: value for name, value in columns.items() if name in names and value is not None}


def _agent_body(body: JSONObject) -> JSONObject:
    """Ids that are numbers in the tables are text here, as they always were on the wire."""
    return {name: str(value) if name in IDS and _is_number(value) else value for name, value in body.items()}


def _schedule_body(body: JSONObject) -> JSONObject:
    """The tables keep a priority's number."""
    priority = body.get("priority")
    names = {member.value: member.name for member in Priority}
    if _is_number(priority) and priority in names:
        return body | {"priority": names[priority]}
    return body


def _is_number(value: JSON) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _loaded(schema: Schema, body: JSONObject) -> Any:
    return schema.load(body)


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{field} {' '.join(map(str, texts))}" for field, texts in _fields(error))
    return str(error)


def _fields(error: ValidationError) -> Iterator[tuple[str, list[object]]]:
    messages = error.messages if isinstance(error.messages, dict) else {"": error.messages}
    for field, texts in messages.items():
        yield field, texts if isinstance(texts, list) else [texts]
