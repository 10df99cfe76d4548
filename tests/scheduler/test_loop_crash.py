"""Leases, and what becomes of a run whose server died or lost touch with the database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from scheduler import occurrences, rules
from scheduler.events import AgentFailed
from store.records import Agent, AgentStatus, Change, Lease, Outcome, Overlap, Session, Trigger
from tests.support.clock import START
from tests.support.records import a_session
from tests.support.stack import Stack, World

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def at(minutes: float) -> datetime:
    return START + MINUTE * minutes


def with_history(session: Session) -> Callable[[Agent], Change]:
    """An edit that adds *session* to an agent's history, and leaves the agent as it is."""
    return lambda agent: Change(agent, start=session)


# The embedded store


async def test_a_crashed_run_ends_as_interrupted_at_the_next_start_and_is_retried(world: World) -> None:
    before = await world.server()
    await before.agent("a", "HOLD", "0 9 * * *")
    await before.run(topic="cats")
    await before.crash()
    world.clock.jump(SECOND * 3)

    after = await world.server()

    (session,) = await after.history()
    assert (session.outcome, session.error_message) == (
        Outcome.INTERRUPTED,
        "Interrupted: the server running it stopped",
    )
    (failed,) = after.told(AgentFailed)
    assert (failed.retry_count, failed.will_retry, failed.outcome) == (1, True, Outcome.INTERRUPTED)
    assert (await after.get()).status is AgentStatus.ERROR
    await after.advance(SECOND * 10)
    second = (await after.history())[1]
    assert (second.attempt, second.trigger, second.context) == (2, Trigger.RETRY, {"topic": "cats"})


async def test_a_crash_counts_as_a_failure_like_any_other(world: World) -> None:
    stack = await world.server()
    await stack.agent("a", "HOLD", "0 9 * * *")
    await stack.run()
    counts = []
    for _ in range(4):
        await stack.crash()
        stack = await world.server()
        counts.append(stack.told(AgentFailed)[0].retry_count)
        await stack.advance(MINUTE * 2)

    assert counts == [1, 2, 3, 4]
    assert (await stack.get()).retry_count == 0
    assert len(await stack.history()) == 4


async def test_a_crash_between_claim_and_start_loses_nothing_and_doubles_nothing(world: World) -> None:
    before = await world.server()
    await before.agent(expression="1 8 * * *")
    before.watched.hold("change_agent")
    await before.advance(MINUTE)
    claimed = await before.get()
    assert claimed.is_running
    assert claimed.session_id is None
    await before.crash()

    after = await world.server()

    (session,) = await after.history()
    assert (session.scheduled_for, session.attempt, session.outcome) == (at(1), 1, Outcome.COMPLETED)
    assert after.story() == ["started", "completed"]
    assert (await after.get()).retry_count == 0


async def test_a_crash_between_the_start_and_its_news_still_has_an_end(world: World) -> None:
    before = await world.server()
    await before.agent("a", "HOLD", "1 8 * * *")
    before.watched.die_after("change_agent")
    await before.advance(MINUTE)
    assert before.story() == []

    after = await world.server()

    assert [session.outcome for session in await after.history()] == [Outcome.INTERRUPTED]
    assert after.story() == ["failed"]


async def test_a_run_whose_end_was_written_before_the_crash_is_left_as_it_ended(world: World) -> None:
    before = await world.server()
    await before.agent("a", "HOLD")
    await before.run()
    before.watched.die_after("change_agent")
    await before.succeed()

    after = await world.server()

    assert [session.outcome for session in await after.history()] == [Outcome.COMPLETED]
    assert (await after.get()).status is AgentStatus.COMPLETED


async def test_a_stop_that_was_asked_for_before_the_crash_is_kept(world: World) -> None:
    before = await world.server()
    before.runners.add_stubborn()
    await before.agent("a", "STUBBORN", "0 9 * * *")
    await before.run()
    await before.service.stop("a")
    await before.crash()

    after = await world.server()

    (session,) = await after.history()
    assert (session.outcome, session.error_message) == (Outcome.STOPPED, rules.STOPPED)
    (failed,) = after.told(AgentFailed)
    assert not failed.will_retry
    agent = await after.get()
    assert (agent.status, agent.pending, agent.next_run_at) == (AgentStatus.IDLE, None, at(60))


async def test_a_queued_run_survives_the_crash_and_comes_instead_of_the_retry(world: World) -> None:
    before = await world.server()
    await before.agent("a", "HOLD", "1,2 8 * * *", overlap=Overlap.QUEUE)
    await before.advance(MINUTE * 2)
    await before.crash()

    after = await world.server()

    assert [session.scheduled_for for session in await after.history()] == [at(1), at(2)]
    assert after.runners.running == ["a"]


async def test_after_a_crashed_run_by_hand_the_occurrence_that_waited_is_still_run(world: World) -> None:
    before = await world.server(max_concurrent=1)
    await before.agent("busy", "HOLD")
    await before.run("busy")
    await before.agent("a", "HOLD", "1 8 * * *")
    await before.advance(MINUTE * 1.5)  # the occurrence waits for a slot; then somebody asks for a run, too
    await before.run("a")
    before.watched.hold("overlapping")  # and nobody has looked at it when the server dies
    await before.succeed("busy")
    assert before.runners.running == ["a"]
    await before.crash()

    after = await world.server()

    assert at(1) in {session.scheduled_for for session in await after.history("a")}


# One occurrence, one run


async def test_an_attempt_that_has_had_its_session_is_not_run_again(stack: Stack) -> None:
    await stack.agent("a", "HOLD", "1 8 * * *")
    had = a_session("a", occurrence=occurrences.occurrence_key(at(1)))
    await stack.watched.real.change_agent("a", with_history(had))

    await stack.advance(MINUTE)

    assert [session.id for session in await stack.history()] == [had.id]
    assert stack.runners.running == []
    agent = await stack.get()
    assert (agent.lease, agent.next_run_at) == (None, at(1) + timedelta(days=1))


async def test_what_was_missed_before_an_occurrence_that_is_refused_is_still_recorded(stack: Stack) -> None:
    await stack.agent("a", "HOLD", "* * * * *")
    await stack.service.pause("a")
    had = a_session("a", occurrence=occurrences.occurrence_key(at(3)))
    await stack.watched.real.change_agent("a", with_history(had))
    agent = await stack.get()

    change = rules.start_refused(
        replace(agent, lease=Lease("us", "lease", at(5))), lease_id="lease", now=at(3.5), up_since=START
    )

    assert [(gap.count, gap.first_at, gap.last_at) for gap in change.gaps] == [(2, at(1), at(2))]
    assert (change.agent.lease, change.agent.next_run_at) == (None, at(4))


# What should not be there


async def test_a_session_nobody_runs_is_ended_even_when_its_agent_has_moved_on(world: World) -> None:
    before = await world.server()
    await before.agent("a", "HOLD")
    orphan = a_session("a", started_at=START)
    await before.watched.real.change_agent("a", with_history(orphan))

    await before.advance(MINUTE * 3)

    (session,) = await before.history()
    assert (session.outcome, session.error_message) == (Outcome.INTERRUPTED, rules.INTERRUPTED)
    assert [failed.session_id for failed in before.told(AgentFailed)] == [orphan.id]


async def test_a_young_session_whose_agent_is_elsewhere_may_still_be_on_its_way(stack: Stack) -> None:
    await stack.agent("a", "HOLD")
    young = a_session("a", started_at=at(3) - stack.settings.lease * 2 + SECOND)
    await stack.watched.real.change_agent("a", with_history(young))

    await stack.advance(MINUTE * 3)

    (session,) = await stack.history()
    assert session.outcome is Outcome.RUNNING
    assert stack.told(AgentFailed) == []
