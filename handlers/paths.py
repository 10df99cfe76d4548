"""The ids that stand in a path. One that no record can have is answered like one that no record has."""

from __future__ import annotations

from aiohttp import web

from store.errors import NotFound
from store.records import AGENT_ID


def agent_id(request: web.Request) -> str:
    """The agent the path names, existing or not."""
    return _id(request, "id", "Agent not found")


def session_id(request: web.Request) -> str:
    """The session the path names, existing or not."""
    return _id(request, "sessionId", "Session not found")


def job_id(request: web.Request) -> str:
    """The job the path names: an agent's only job has the agent's id."""
    return _id(request, "jobId", "Job not found")


def _id(request: web.Request, name: str, missing: str) -> str:
    value = request.match_info[name]
    if AGENT_ID.fullmatch(value) is None:
        raise NotFound(missing)
    return value
