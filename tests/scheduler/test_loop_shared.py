"""Several servers on one database: leases, and what becomes of a run whose server died or lost touch."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from scheduler import rules
from scheduler.events import AgentCompleted, AgentFailed, AgentStarted
from store.records import Agent, AgentStatus, Change, Lease, Outcome, SessionEnd
from tests.support.clock import START
from tests.support.stack import Stack, World

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def at(minutes: float) -> datetime:
    return START + MINUTE * minutes


def as_if_running(agent: Agent) -> Change:
    """As no crash can leave an agent: with a lease that ran out and a session that is nowhere."""
    lease = Lease("nobody", "lease", START)
    return Change(replace(agent, lease=lease, session_id="nowhere", status=AgentStatus.RUNNING))


async def two_servers(shared: World) -> tuple[Stack, Stack]:
    """Two on one database; the first one has just claimed and started agent ``a``."""
    first = await shared.server(shared=True)
    await first.agent("a", "HOLD", "0 9 * * *")
    await first.run()
    return first, await shared.server(shared=True)


async def test_a_lease_is_renewed_for_as_long_as_its_run_goes_on(shared: World) -> None:
    first, second = await two_servers(shared)

    await shared.clock.advance(MINUTE * 5)

    assert first.runners.running == ["a"]
    assert second.told(AgentFailed) == []
    lease = (await first.get()).lease
    assert lease is not None
    assert lease.until > shared.clock.now()


async def test_nobody_else_starts_an_agent_that_is_claimed(shared: World) -> None:
    first, second = await two_servers(shared)

    await shared.clock.advance(MINUTE * 2)

    assert (len(first.told(AgentStarted)), len(second.told(AgentStarted))) == (1, 0)
    assert len(await first.history()) == 1


async def test_when_a_lease_runs_out_another_server_ends_the_run_and_makes_the_retry(shared: World) -> None:
    first, second = await two_servers(shared)
    await first.crash()

    await shared.clock.advance(SECOND * 29)
    assert second.told(AgentFailed) == []
    await shared.clock.advance(SECOND * 20)

    one, two = await second.history()
    assert (one.outcome, one.error_message) == (Outcome.INTERRUPTED, rules.INTERRUPTED)
    assert (two.outcome, two.attempt) == (Outcome.RUNNING, 2)
    assert second.runners.running == ["a"]
    (failed,) = second.told(AgentFailed)
    assert (failed.retry_count, failed.will_retry) == (1, True)


async def test_a_crash_between_claim_and_start_only_delays_the_agent_by_a_lease(shared: World) -> None:
    first = await shared.server(shared=True)
    await first.agent("a", "HOLD", "1 8 * * *")
    first.watched.hold("change_agent")
    await first.advance(MINUTE)
    await first.crash()
    second = await shared.server(shared=True)

    await shared.clock.advance(SECOND * 40)

    (session,) = await second.history()
    assert (session.scheduled_for, session.attempt, session.outcome) == (at(1), 1, Outcome.RUNNING)
    assert second.told(AgentFailed) == []


async def test_only_the_owner_of_the_lease_can_write_the_end(shared: World) -> None:
    first, second = await two_servers(shared)
    stubborn = first.runners.add_stubborn()
    await first.agent("b", "STUBBORN", "0 9 * * *")
    await first.run("b")
    first.watched.away = True  # and its cut run does not end
    await shared.clock.advance(MINUTE)
    assert (second.runners.running, stubborn.alive) == (["a"], 1)
    told = len(second.told(AgentFailed))

    first.watched.away = False
    stubborn.end.set()
    await shared.clock.advance(SECOND * 5)

    first_b, *_ = await second.history("b")
    assert (first_b.outcome, first_b.error_message) == (Outcome.INTERRUPTED, rules.INTERRUPTED)
    assert (first.told(AgentFailed), first.told(AgentCompleted), len(second.told(AgentFailed))) == ([], [], told)


async def test_a_server_that_cannot_renew_cuts_its_run_before_another_one_can_take_it(shared: World) -> None:
    first, second = await two_servers(shared)
    first.watched.away = True

    await shared.clock.advance_until(lambda: first.runners.running == [])

    lease = (await second.get()).lease
    assert lease is not None
    assert lease.until - shared.clock.now() >= SECOND * 5
    assert second.runners.running == []


async def test_one_renewal_that_fails_costs_no_run(shared: World) -> None:
    first, _second = await two_servers(shared)
    first.watched.lose_answer("renew")

    await shared.clock.advance(MINUTE * 2)

    assert first.runners.running == ["a"]
    assert first.told(AgentFailed) == []


async def test_a_run_that_was_cut_in_time_is_handed_back_without_counting_as_a_failure(shared: World) -> None:
    first, second = await two_servers(shared)
    first.watched.away = True
    await shared.clock.advance_until(lambda: first.runners.running == [])

    first.watched.away = False
    await shared.clock.advance(SECOND * 2)

    one, two = await second.history()
    assert (one.outcome, one.error_message) == (Outcome.INTERRUPTED, rules.OUT_OF_REACH)
    assert (two.attempt, two.outcome) == (2, Outcome.RUNNING)
    assert (await second.get()).retry_count == 0


async def test_a_stop_asked_of_one_server_reaches_the_run_of_another(shared: World) -> None:
    first, second = await two_servers(shared)

    await second.service.stop("a")
    await shared.clock.advance(SECOND)

    assert first.runners.running == []
    (failed,) = first.told(AgentFailed)
    assert (failed.error, failed.will_retry) == (rules.STOPPED, False)
    assert (await second.get()).status is AgentStatus.IDLE


async def test_a_failure_that_comes_before_the_stop_was_seen_does_not_undo_it(shared: World) -> None:
    first, second = await two_servers(shared)
    await second.service.stop("a")

    await first.fail()

    (session,) = await second.history()
    assert (session.outcome, session.error_message) == (Outcome.STOPPED, rules.STOPPED)
    assert not first.told(AgentFailed)[0].will_retry
    assert (await second.get()).pending is None


async def test_an_agent_runs_at_most_once_at_a_time_over_all_servers(shared: World) -> None:
    first = await shared.server(shared=True)
    second = await shared.server(shared=True)
    await first.agent("a", "HOLD", "every 20 seconds")
    for _ in range(20):
        await shared.clock.advance(SECOND * 7)
        assert len(first.runners.running + second.runners.running) <= 1
        for stack in (first, second):
            if stack.runners.running:
                await stack.succeed()

    sessions = await first.history()
    assert len({(session.occurrence, session.attempt) for session in sessions}) == len(sessions) == 7


async def test_an_agent_whose_session_is_gone_does_not_hold_up_the_others(shared: World) -> None:
    first = await shared.server(shared=True)
    await first.agent("broken", "HOLD")
    await first.agent("a", "HOLD", "1 8 * * *")
    await first.watched.real.change_agent("broken", as_if_running)
    await first.crash()
    second = await shared.server(shared=True)

    await shared.clock.advance(MINUTE)

    assert second.runners.running == ["a"]
    broken = await second.get("broken")
    assert (broken.lease, broken.session_id, broken.status) == (None, None, AgentStatus.IDLE)


async def test_an_end_of_which_only_the_history_was_written_is_told_by_whoever_takes_it_up(shared: World) -> None:
    first, second = await two_servers(shared)
    first.watched.away = True
    await first.succeed()
    (session,) = await second.history()
    half = SessionEnd(session.id, Outcome.COMPLETED, shared.clock.now(), output_summary="done")
    await second.watched.real.end_session(half)

    await shared.clock.advance(MINUTE)
    first.watched.away = False
    await shared.clock.advance(SECOND * 5)

    assert (first.told(AgentCompleted), first.told(AgentFailed)) == ([], [])
    assert [completed.result for completed in second.told(AgentCompleted)] == ["done"]
    assert (await second.get()).status is AgentStatus.COMPLETED


async def test_an_end_of_which_only_the_history_was_written_is_finished_by_its_owner(shared: World) -> None:
    first, second = await two_servers(shared)
    first.watched.away = True
    await first.succeed()
    (session,) = await second.history()
    half = SessionEnd(session.id, Outcome.COMPLETED, shared.clock.now(), output_summary="done")
    await second.watched.real.end_session(half)

    first.watched.away = False
    await shared.clock.advance(SECOND)

    assert [completed.result for completed in first.told(AgentCompleted)] == ["done"]
    agent = await second.get()
    assert (agent.status, agent.lease) == (AgentStatus.COMPLETED, None)
    await shared.clock.advance(MINUTE)
    assert second.told(AgentCompleted) == []
