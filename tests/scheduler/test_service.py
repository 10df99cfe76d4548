"""What clients may ask of agents and schedules; and what they are told of it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from scheduler import occurrences
from scheduler.events import AgentPaused, AgentResumed, AgentStatusChanged, OccurrencesLost
from scheduler.requests import AgentPatch, NewAgent, ScheduleRequest
from store.errors import Conflict, Invalid, NotFound, StoreUnavailable
from store.records import AgentStatus, MissedRuns, Outcome, Overlap, Priority, SessionFilter
from tests.support.clock import START
from tests.support.stack import Stack, World

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def at(minutes: float) -> datetime:
    return START + MINUTE * minutes


# Agents


async def test_a_new_agent_is_idle_and_has_no_schedule(stack: Stack) -> None:
    agent = await stack.service.create(NewAgent("Daily", "ECHO", description="posts", project_id="p"))

    assert (agent.status, agent.schedule, agent.next_run_at) == (AgentStatus.IDLE, None, None)
    assert (agent.created_at, agent.updated_at) == (START, START)
    assert await stack.get(agent.id) == agent


async def test_an_id_can_be_taken_once(stack: Stack) -> None:
    await stack.agent("a")

    with pytest.raises(Conflict):
        await stack.service.create(NewAgent("Another", "ECHO", id="a"))


async def test_an_agent_that_nothing_could_run_is_not_made(stack: Stack) -> None:
    with pytest.raises(Invalid) as raised:
        await stack.service.create(NewAgent("Daily", "UNKNOWN", id="a"))

    assert raised.value.field == "agentType"
    with pytest.raises(NotFound):
        await stack.get("a")


async def test_an_update_changes_what_it_names_and_nothing_else(stack: Stack) -> None:
    before = await stack.agent("a", expression="* * * * *")
    await stack.advance(SECOND)

    await stack.service.update("a", AgentPatch(name="Weekly", configuration={"topic": "cats"}))

    after = await stack.get()
    assert (after.name, after.configuration, after.updated_at) == ("Weekly", {"topic": "cats"}, START + SECOND)
    assert (after.schedule, after.next_run_at, after.agent_type) == (before.schedule, before.next_run_at, "ECHO")


async def test_an_update_that_changes_nothing_writes_nothing(stack: Stack) -> None:
    await stack.agent()
    await stack.advance(SECOND)

    assert (await stack.service.update("a", AgentPatch(name="a"))).updated_at == START


async def test_an_update_to_what_nothing_could_run_is_refused(stack: Stack) -> None:
    await stack.agent()

    with pytest.raises(Invalid):
        await stack.service.update("a", AgentPatch(agent_type="UNKNOWN"))
    assert (await stack.get()).agent_type == "ECHO"


async def test_an_agent_whose_runner_is_gone_can_still_be_renamed(stack: Stack) -> None:
    await stack.agent()
    del stack.runners.behaviours["ECHO"]

    assert (await stack.service.update("a", AgentPatch(name="Old"))).name == "Old"


async def test_a_run_keeps_the_configuration_it_was_started_with(stack: Stack) -> None:
    await stack.agent("a", "HOLD", configuration={"timeoutMs": 60_000})
    await stack.run()

    await stack.service.update("a", AgentPatch(configuration={"timeoutMs": 1_000}))
    await stack.advance(SECOND * 30)

    assert stack.runners.running == ["a"]


async def test_a_deleted_agent_is_gone_with_its_history(stack: Stack) -> None:
    await stack.agent(expression="* * * * *")
    await stack.advance(MINUTE)

    await stack.service.delete("a")
    await stack.advance(MINUTE * 2)

    with pytest.raises(NotFound):
        await stack.service.delete("a")
    assert (await stack.watched.real.list_sessions(SessionFilter(gaps=True), limit=10)).total == 0


# Schedules


async def test_a_schedule_is_kept_with_all_that_was_asked(stack: Stack) -> None:
    await stack.agent()

    agent = await stack.service.save_schedule(
        "a",
        ScheduleRequest(
            "0 9 * * *",
            Priority.CRITICAL,
            timezone="Europe/Berlin",
            overlap=Overlap.REPLACE,
            missed_runs=MissedRuns.SKIP,
        ),
    )

    assert agent.schedule is not None
    assert (agent.schedule.timezone, agent.schedule.overlap, agent.schedule.missed_runs) == (
        "Europe/Berlin",
        Overlap.REPLACE,
        MissedRuns.SKIP,
    )
    assert agent.priority is Priority.CRITICAL
    assert agent.next_run_at == datetime.fromisoformat("2024-01-02T08:00:00+00:00")  # it is 9 in Berlin just now


async def test_a_schedule_without_a_zone_is_in_the_zone_of_the_server(world: World) -> None:
    stack = await world.server(timezone="America/New_York")

    agent = await stack.agent(expression="0 9 * * *")

    assert agent.next_run_at == datetime.fromisoformat("2024-01-01T14:00:00+00:00")


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (ScheduleRequest("61 * * * *"), "cronExpression"),
        (ScheduleRequest("0 0 30 2 *"), "cronExpression"),
        (ScheduleRequest("every 0 minutes"), "cronExpression"),
        (ScheduleRequest("* * * * *", timezone="Mars/Olympus"), "timezone"),
    ],
)
async def test_a_schedule_that_never_fires_is_refused_and_changes_nothing(
    stack: Stack, request_: ScheduleRequest, field: str
) -> None:
    before = await stack.agent(expression="0 9 * * *")

    with pytest.raises(Invalid) as raised:
        await stack.service.save_schedule("a", request_)

    assert raised.value.field == field
    assert await stack.get() == before


async def test_a_disabled_schedule_has_no_next_run_and_none_is_made(stack: Stack) -> None:
    agent = await stack.agent(expression="* * * * *", enabled=False)
    assert (agent.next_run_at, agent.is_scheduled) == (None, False)

    await stack.advance(MINUTE * 2)

    assert await stack.history() == []


async def test_a_schedule_that_is_enabled_again_fires_on_its_old_grid(stack: Stack) -> None:
    await stack.agent(expression="every 10 minutes")
    await stack.advance(MINUTE * 3)
    await stack.service.save_schedule("a", ScheduleRequest("every 10 minutes", enabled=False))
    await stack.advance(MINUTE * 10)

    agent = await stack.service.save_schedule("a", ScheduleRequest("every 10 minutes"))

    assert agent.next_run_at == at(20)
    assert await stack.gaps() == []


async def test_an_agent_without_its_schedule_does_not_fire(stack: Stack) -> None:
    await stack.agent(expression="* * * * *")

    agent = await stack.service.unschedule("a")
    await stack.advance(MINUTE * 2)

    assert (agent.schedule, agent.next_run_at) == (None, None)
    assert await stack.history() == []


async def test_nobody_is_scheduled_who_does_not_exist(stack: Stack) -> None:
    with pytest.raises(NotFound):
        await stack.service.save_schedule("nobody", ScheduleRequest("* * * * *"))
    with pytest.raises(NotFound):
        await stack.service.unschedule("nobody")


async def test_occurrences_that_a_command_displaces_are_told(stack: Stack) -> None:
    await stack.agent("a", "HOLD", "* * * * *", overlap=Overlap.QUEUE)
    await stack.advance(MINUTE * 2)

    await stack.service.unschedule("a")

    (lost,) = stack.told(OccurrencesLost)
    assert (lost.gap.count, lost.gap.first_at, lost.gap.reason) == (1, at(2), occurrences.WHEN_RESCHEDULED)


# Pause and resume


async def test_a_paused_agent_keeps_its_schedule_and_does_not_fire(stack: Stack) -> None:
    await stack.agent(expression="* * * * *")

    agent = await stack.service.pause("a")
    await stack.advance(MINUTE * 3)

    assert (agent.status, agent.is_paused, agent.next_run_at) == (AgentStatus.PAUSED, True, at(1))
    assert await stack.history() == []


async def test_a_resumed_agent_goes_on_at_its_next_occurrence_and_what_it_passed_over_is_one_row(stack: Stack) -> None:
    await stack.agent(expression="* * * * *")
    await stack.service.pause("a")
    await stack.advance(MINUTE * 3.5)

    agent = await stack.service.resume("a")
    await stack.advance(MINUTE * 0.5)

    assert (agent.status, agent.is_paused, agent.next_run_at) == (AgentStatus.IDLE, False, at(4))
    assert [session.scheduled_for for session in await stack.history()] == [at(4)]
    (gap,) = await stack.gaps()
    assert (gap.outcome, gap.count, gap.first_at, gap.last_at) == (Outcome.SKIPPED, 3, at(1), at(3))
    assert stack.news.gaps() == [gap]


async def test_a_pause_between_two_occurrences_passes_over_nothing(stack: Stack) -> None:
    await stack.agent(expression="* * * * *")
    await stack.service.pause("a")
    await stack.advance(SECOND * 30)

    await stack.service.resume("a")

    assert await stack.gaps() == []


async def test_pause_and_resume_are_told_once_each(stack: Stack) -> None:
    await stack.agent(expression="* * * * *")

    await stack.service.pause("a")
    await stack.service.pause("a")
    await stack.service.resume("a")

    assert (len(stack.told(AgentPaused)), len(stack.told(AgentResumed))) == (1, 1)
    assert [event.status for event in stack.told(AgentStatusChanged)][-2:] == [AgentStatus.PAUSED, AgentStatus.IDLE]


async def test_a_running_agent_cannot_be_paused(stack: Stack) -> None:
    await stack.agent("a", "HOLD", "* * * * *")
    await stack.run()

    with pytest.raises(Conflict):
        await stack.service.pause("a")


async def test_a_retry_waits_while_the_agent_is_paused(stack: Stack) -> None:
    await stack.agent("a", "FAIL", "1 8 * * *")
    await stack.advance(MINUTE)
    await stack.service.pause("a")
    await stack.advance(MINUTE * 5)
    assert len(await stack.history()) == 1

    await stack.service.resume("a")
    await stack.settled()

    assert [session.attempt for session in await stack.history()] == [1, 2]


async def test_a_paused_agent_is_not_run_by_hand(stack: Stack) -> None:
    await stack.agent(expression="* * * * *")
    await stack.service.pause("a")

    with pytest.raises(Conflict, match="resume"):
        await stack.service.run("a", {})


# Around it


async def test_the_statistics_count_what_there_is(world: World) -> None:
    stack = await world.server(max_concurrent=7)
    await stack.agent("running", "HOLD", "0 9 * * *")
    await stack.agent("waiting", "HOLD", "0 9 * * *")
    await stack.agent("paused", "HOLD", "0 9 * * *")
    await stack.agent("disabled", "HOLD", "0 9 * * *", enabled=False)
    await stack.agent("by-hand", "HOLD")
    await stack.service.pause("paused")
    await stack.run("running")
    await stack.run("by-hand")

    numbers = await stack.service.statistics()

    assert (numbers.is_running, numbers.max_concurrent) == (True, 7)
    assert (numbers.scheduled, numbers.running, numbers.queued, numbers.paused) == (3, 2, 2, 1)


async def test_commands_work_while_the_scheduler_does_not(stack: Stack) -> None:
    await stack.shut_down()

    await stack.agent(expression="* * * * *")
    await stack.service.pause("a")
    await stack.service.resume("a")

    assert not (await stack.service.statistics()).is_running


async def test_a_command_that_cannot_be_written_says_so_and_tells_nobody(stack: Stack) -> None:
    await stack.agent(expression="* * * * *")
    told = len(stack.news.events)
    stack.watched.away = True

    with pytest.raises(StoreUnavailable):
        await stack.service.pause("a")

    assert len(stack.news.events) == told


async def test_listeners_that_cannot_be_told_do_not_stop_the_scheduler(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(event: object) -> None:
        raise ConnectionError("no socket")

    monkeypatch.setattr(stack.announcer, "_publish", broken)
    await stack.agent(expression="* * * * *")
    await stack.advance(MINUTE * 2)

    assert [session.outcome for session in await stack.history()] == [Outcome.COMPLETED] * 2
    assert "AgentStarted could not be published" in caplog.text
