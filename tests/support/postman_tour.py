"""The tour of the Postman collection: requests in their order, each with what it asserts."""

from __future__ import annotations

from dataclasses import dataclass

from store.records import JSONObject


@dataclass(frozen=True, slots=True)
class Step:
    """One request; ``script`` is JavaScript that Postman runs on its answer."""

    name: str
    method: str
    path: str
    script: tuple[str, ...]
    body: JSONObject | None = None


AGENT = "/api/agents/{{tourAgentId}}"
BROKEN = "/api/agents/{{brokenAgentId}}"
MOST_TRIES = 40
PAUSE_MS = 500


def _status(code: int) -> str:
    return f"pm.test('status {code}', () => pm.response.to.have.status({code}));"


def _expect(sentence: str, expectation: str) -> str:
    return f"pm.test('{sentence}', () => pm.expect({expectation});"


DATA = "const data = (pm.response.json() || {}).data;"
ERROR = "const error = pm.response.json().error;"


def _once(reached: str, name: str, *assertions: str) -> tuple[str, ...]:
    """Assert when *reached*; until then send the request called *name* again in a moment, which is this one."""
    return (
        f"const reached = {reached};",
        "const tries = Number(pm.collectionVariables.get('tries')) + 1;",
        f"const again = !reached && tries < {MOST_TRIES};",
        "pm.collectionVariables.set('tries', again ? tries : 0);",
        "if (again) {",
        f"  pm.execution.setNextRequest('{name}');",
        f"  setTimeout(() => {{}}, {PAUSE_MS});",
        "} else {",
        *(f"  {line}" for line in assertions),
        "}",
    )


TOUR = (
    Step(
        "Is the server well?",
        "GET",
        "/health",
        (_status(200), DATA, _expect("the scheduler is running", "data.scheduler).to.equal('running')")),
    ),
    Step(
        "Create an agent",
        "POST",
        "/api/agents",
        (
            _status(201),
            DATA,
            _expect("it is idle", "data.status).to.equal('IDLE')"),
            "pm.collectionVariables.set('tourAgentId', data.id);",
        ),
        {"name": "Tour: survey this machine", "agentType": "SYSTEM_SURVEY"},
    ),
    Step(
        "Try a schedule that is none",
        "POST",
        f"{AGENT}/schedule",
        (
            _status(400),
            _expect("the field is named", "pm.response.json().errors[0].field).to.equal('cronExpression')"),
        ),
        {"cronExpression": "0 9 * *"},
    ),
    Step(
        "Schedule it",
        "POST",
        f"{AGENT}/schedule",
        (
            _status(200),
            DATA,
            _expect("it is enabled", "data.scheduleEnabled).to.equal(true)"),
            _expect("it has a next run", "Date.parse(data.nextRunAt)).to.be.above(Date.now())"),
        ),
        {"cronExpression": "0 9 * * MON-FRI", "timezone": "Europe/Berlin", "priority": "HIGH"},
    ),
    Step(
        "Read the schedule",
        "GET",
        f"{AGENT}/schedule",
        (_status(200), DATA, _expect("its priority is the number", "data.taskDetails.priority).to.equal(3)")),
    ),
    Step(
        "Run it now",
        "POST",
        f"{AGENT}/run",
        (_status(202), DATA, "pm.collectionVariables.set('tourSessionId', data.sessionId);"),
        {"context": {"from": "Postman"}},
    ),
    Step(
        "Run it twice",
        "POST",
        f"{AGENT}/run",
        (_status(409), ERROR, _expect("the error says why", "error).to.match(/^Agent is already/)")),
    ),
    Step(
        "Watch the history until it has run",
        "GET",
        f"{AGENT}/sessions?limit=5",
        (
            "const session = pm.response.json().data.sessions[0];",
            *_once(
                "session && session.outcome !== 'running'",
                "Watch the history until it has run",
                _status(200),
                _expect("it is the run", "session.id).to.equal(pm.collectionVariables.get('tourSessionId'))"),
                _expect("it succeeded", "session.success).to.equal(true)"),
                _expect("it took a while", "session.duration).to.be.above(0)"),
            ),
        ),
    ),
    Step(
        "Read the session",
        "GET",
        f"{AGENT}/sessions/{{{{tourSessionId}}}}",
        (
            _status(200),
            DATA,
            _expect("it was run by hand", "data.context.trigger).to.equal('manual')"),
            _expect("the context came along", "data.context.input.from).to.equal('Postman')"),
            _expect("it is complete", "data.progress.progress).to.equal(100)"),
        ),
    ),
    Step(
        "Pause it",
        "PATCH",
        f"{AGENT}/schedule/{{{{tourAgentId}}}}/pause",
        (_status(200), DATA, _expect("it is paused", "data.status).to.equal('paused')")),
    ),
    Step(
        "List paused jobs",
        "GET",
        "/api/agents/schedule/paused",
        (
            _status(200),
            DATA,
            _expect(
                "it is one of them",
                "data.map((job) => job.jobId)).to.include(pm.collectionVariables.get('tourAgentId'))",
            ),
        ),
    ),
    Step(
        "Run a paused agent",
        "POST",
        f"{AGENT}/run",
        (_status(409), ERROR, _expect("the error says what to do", "error).to.include('resume it')")),
    ),
    Step(
        "Resume it",
        "PATCH",
        f"{AGENT}/schedule/{{{{tourAgentId}}}}/resume",
        (
            _status(200),
            DATA,
            _expect("it is resumed", "data.status).to.equal('resumed')"),
            _expect("it has a next run", "Date.parse(data.nextRunAt)).to.be.above(Date.now())"),
        ),
    ),
    Step(
        "Create an agent that will fail",
        "POST",
        "/api/agents",
        (_status(201), DATA, "pm.collectionVariables.set('brokenAgentId', data.id);"),
        {"name": "Tour: nobody listens there", "agentType": "BROKEN", "configuration": {"url": "{{brokenUrl}}"}},
    ),
    Step("Run it and have it fail", "POST", f"{BROKEN}/run", (_status(202),)),
    Step(
        "Watch the history until it has failed",
        "GET",
        f"{BROKEN}/sessions?success=false",
        (
            "const sessions = pm.response.json().data.sessions;",
            *_once(
                "sessions.length > 0",
                "Watch the history until it has failed",
                _status(200),
                _expect("the failure is told", "sessions[0].errorMessage).to.be.a('string').and.not.be.empty"),
                _expect("its outcome is failed", "sessions[0].outcome).to.equal('failed')"),
            ),
        ),
    ),
    Step(
        "Read the scheduler's status",
        "GET",
        "/api/scheduler/status?limit=5",
        (
            _status(200),
            DATA,
            _expect("something is scheduled", "data.scheduledTasksCount).to.be.above(0)"),
            _expect("tasks are listed", "data.tasks).to.be.an('array').and.not.be.empty"),
        ),
    ),
    Step(
        "Unschedule it",
        "DELETE",
        f"{AGENT}/schedule",
        (
            _status(200),
            _expect("it says so", "pm.response.json().message).to.equal('Agent unscheduled successfully')"),
        ),
    ),
    Step(
        "Nothing is scheduled any more",
        "GET",
        f"{AGENT}/schedule",
        (
            _status(200),
            DATA,
            _expect("there is no next run", "data.nextRunAt).to.equal(null)"),
            _expect("there is no task", "data.taskDetails).to.equal(null)"),
        ),
    ),
    Step("Delete it", "DELETE", AGENT, (_status(200),)),
    Step(
        "Delete the one that fails",
        "DELETE",
        BROKEN,
        _once("pm.response.code !== 409", "Delete the one that fails", _status(200)),
    ),
)
