"""The payloads of sections 2 and 3 of the contract, written out; ``ANY_TIME`` stands for any time in its form."""

from __future__ import annotations

import re
from typing import Any

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


class _AnyTime:
    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and TIME.fullmatch(other) is not None

    def __repr__(self) -> str:
        return "2024-01-01T09:00:00.000Z"

    __hash__ = None  # type: ignore[assignment]


class _AnyDuration:
    def __eq__(self, other: object) -> bool:
        return type(other) is int and 0 <= other < 60_000

    def __repr__(self) -> str:
        return "<milliseconds>"

    __hash__ = None  # type: ignore[assignment]


ANY_TIME: Any = _AnyTime()
ANY_DURATION: Any = _AnyDuration()


def success_story(agent_id: str, session_id: str) -> list[tuple[str, dict[str, Any]]]:
    """What a current client hears of a run of ``TALKATIVE``, in order."""
    who = {"agentId": agent_id, "sessionId": session_id}
    what = {"agentName": f"Agent {agent_id}", "agentType": "TALKATIVE", "jobId": agent_id, "timestamp": ANY_TIME}
    when = {"jobId": agent_id, "timestamp": ANY_TIME}
    return [
        ("agent:started", {**who, **what, "priority": 2, "status": "started"}),
        ("agent:progress", {**who, **when, "progress": 50, "message": "half", "currentStep": 1, "totalSteps": 2}),
        ("agent:log", {**who, "log": {"timestamp": ANY_TIME, "level": "info", "message": "half way"}}),
        ("agent:progress", {**who, **when, "progress": 100, "message": "all", "currentStep": 2, "totalSteps": 2}),
        ("agent:completed", {**who, **what, "duration": ANY_DURATION, "status": "completed"}),
    ]


def failed(agent_id: str, session_id: str, *, retry_count: int, will_retry: bool) -> dict[str, Any]:
    """The payload of ``agent:failed`` of a run of ``CLUMSY``."""
    return {
        "agentId": agent_id,
        "sessionId": session_id,
        "error": "it broke",
        "retryCount": retry_count,
        "willRetry": will_retry,
        "nextRetryAt": ANY_TIME if will_retry else None,
        "agentName": f"Agent {agent_id}",
        "agentType": "CLUMSY",
        "jobId": agent_id,
        "status": "failed",
        "timestamp": ANY_TIME,
    }


def earlier_story(agent_id: str) -> list[tuple[str, dict[str, Any]]]:
    """What an earlier client on ``/`` hears of a run of ``TALKATIVE`` beside what current ones hear, in order."""
    line = {"timestamp": ANY_TIME, "level": "info", "message": "half way"}
    return [
        ("agent-status-update", {"agentId": agent_id, "status": "RUNNING", "timestamp": ANY_TIME}),
        ("agent-log", {"agentId": agent_id, "log": line, "timestamp": ANY_TIME}),
        ("agent-status-update", {"agentId": agent_id, "status": "COMPLETED", "timestamp": ANY_TIME}),
    ]


def agents_story(agent_id: str, context: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """What an earlier client on ``/agents`` hears of a run of ``TALKATIVE``, in order."""
    return [
        (
            "agent:start",
            {
                "agentId": agent_id,
                "agentType": "TALKATIVE",
                "name": f"Agent {agent_id}",
                "context": context,
                "timestamp": ANY_TIME,
            },
        ),
        ("agent:log", {"agentId": agent_id, "log": {"timestamp": ANY_TIME, "level": "info", "message": "half way"}}),
        (
            "agent:done",
            {
                "agentId": agent_id,
                "success": True,
                "data": "hello Ada",
                "metrics": {"words": 2},
                "duration": ANY_DURATION,
                "timestamp": ANY_TIME,
            },
        ),
    ]
