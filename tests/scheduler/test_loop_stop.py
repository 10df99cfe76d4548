"""Stopping a run, and shutting a server down."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from scheduler import commands, rules
from scheduler.events import AgentCompleted, AgentFailed
from scheduler.loop import BEAT, CANCEL_WAIT
from scheduler.runners.base import Run
from store.errors import Conflict, NotFound
from store.records import JSON, AgentStatus, Outcome, Trigger
from tests.support.clock import START
from tests.support.stack import Stack, World

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def at(minutes: float) -> datetime:
    return START + MINUTE * minutes


async def test_a_stop_cancels_the_run_and_keeps_the_schedule(stack: Stack) -> None:
    await stack.agent("a", "HOLD", "* * * * *")
    await stack.advance(MINUTE * 1.5)

    accepted = await stack.service.stop("a")
    await stack.settled()

    (session,) = await stack.history()
    assert accepted.session_id == session.id
    assert (session.outcome, session.success, session.error_message) == (
        Outcome.STOPPED,
        False,
        "Agent execution manually stopped",
    )
    agent = await stack.get()
    assert (agent.status, agent.next_run_at, agent.pending, agent.stop_requested) == (
        AgentStatus.IDLE,
        at(2),
        None,
        None,
    )
    await stack.advance(MINUTE)
    assert stack.runners.running == ["a"]


async def test_a_stop_tells_that_no_retry_follows(stack: Stack) -> None:
    await stack.agent("a", "HOLD")
    await stack.run()
    await stack.service.stop("a")
    await stack.settled()

    (failed,) = stack.told(AgentFailed)
    assert (failed.error, failed.will_retry, failed.next_retry_at) == ("Agent execution manually stopped", False, None)
    assert stack.story() == ["started", "failed"]


async def test_an_agent_that_does_not_run_cannot_be_stopped(stack: Stack) -> None:
    await stack.agent(expression="* * * * *")

    with pytest.raises(Conflict, match="not running"):
        await stack.service.stop("a")


async def test_an_agent_that_does_not_exist_cannot_be_stopped(stack: Stack) -> None:
    with pytest.raises(NotFound):
        await stack.service.stop("nobody")


async def test_a_run_that_ignores_the_stop_is_running_until_it_has_ended(stack: Stack) -> None:
    stubborn = stack.runners.add_stubborn()
    await stack.agent("a", "STUBBORN")
    await stack.run()
    await stack.service.stop("a")
    await stack.advance(SECOND * 30)
    assert (await stack.get()).is_running

    stubborn.end.set()
    await stack.settled()

    (session,) = await stack.history()
    assert (session.outcome, session.duration_ms) == (Outcome.STOPPED, 30_000)


async def test_stopping_twice_is_stopping_once(stack: Stack) -> None:
    stubborn = stack.runners.add_stubborn()
    await stack.agent("a", "STUBBORN")
    await stack.run()

    await stack.service.stop("a")
    await stack.service.stop("a")
    stubborn.end.set()
    await stack.settled()

    assert len(stack.told(AgentFailed)) == 1


async def test_a_run_that_cleans_up_after_itself_is_not_disturbed_again(world: World) -> None:
    stack = await world.server(shared=True)
    stubborn = stack.runners.add_stubborn()
    await stack.agent("a", "STUBBORN")
    await stack.run()

    await stack.service.stop("a")
    await stack.advance(MINUTE)  # every second somebody looks whether a stop was asked for

    assert stubborn.cancelled == 1


async def test_a_run_that_ended_before_it_could_be_stopped_has_completed(stack: Stack) -> None:
    await stack.agent("a", "HOLD")
    await stack.run()
    stack.watched.hold("change_agent")
    stack.runners.succeed("a")
    await stack.settled()
    await stack.watched.real.change_agent("a", commands.request_stop)

    stack.watched.let_go("change_agent")
    await stack.settled()

    assert (await stack.history())[0].outcome is Outcome.COMPLETED
    assert (await stack.get()).stop_requested is None


async def test_a_stop_between_the_start_and_the_runner_is_not_lost(stack: Stack) -> None:
    begun = False

    async def behaviour(run: Run) -> JSON:
        nonlocal begun
        begun = True
        return None

    stack.runners.behaviours["NEW"] = behaviour
    await stack.agent("a", "NEW")
    stack.news.hold()
    await stack.service.run("a", {})
    await stack.news.held()  # the session is written; its news is not out, its runner not begun

    await stack.service.stop("a")
    stack.news.let_go()
    await stack.settled()

    assert (await stack.history())[0].outcome is Outcome.STOPPED
    assert not begun
    assert stack.story() == ["started", "failed"]


async def test_an_agent_that_runs_cannot_be_deleted(stack: Stack) -> None:
    await stack.agent("a", "HOLD")
    await stack.run()

    with pytest.raises(Conflict):
        await stack.service.delete("a")
    await stack.succeed()
    await stack.service.delete("a")
    with pytest.raises(NotFound):
        await stack.get()


async def test_a_schedule_forgotten_during_a_run_lets_the_run_end(stack: Stack) -> None:
    await stack.agent("a", "HOLD", "* * * * *")
    await stack.advance(MINUTE)

    await stack.service.unschedule("a")
    await stack.advance(MINUTE * 2)
    await stack.succeed()

    agent = await stack.get()
    assert (agent.schedule, agent.next_run_at, agent.status) == (None, None, AgentStatus.COMPLETED)
    assert [session.outcome for session in await stack.history()] == [Outcome.COMPLETED]


# Shutdown


async def test_a_server_at_rest_shuts_down_at_once(stack: Stack) -> None:
    await stack.agent(expression="* * * * *")

    assert await stack.shut_down() == timedelta(0)


async def test_runs_may_end_within_the_grace(world: World) -> None:
    stack = await world.server(grace=SECOND * 30)

    async def takes_20_seconds(run: Run) -> JSON:
        await world.clock.sleep_until(world.clock.now() + SECOND * 20)
        return "done"

    stack.runners.behaviours["SLOW"] = takes_20_seconds
    await stack.agent("a", "SLOW")
    await stack.run()

    assert await stack.shut_down() == SECOND * 20
    assert (await stack.history())[0].outcome is Outcome.COMPLETED
    assert len(stack.told(AgentCompleted)) == 1


async def test_nothing_new_is_started_during_the_grace(world: World) -> None:
    stack = await world.server(grace=MINUTE * 3)
    await stack.agent("a", "HOLD")
    await stack.agent("b", "HOLD", "* * * * *")
    await stack.run()

    await stack.shut_down()

    assert await stack.history("b") == []
    assert (await stack.get("b")).next_run_at == at(1)


async def test_what_is_not_through_after_the_grace_is_handed_back_and_runs_again_at_the_next_start(
    world: World,
) -> None:
    before = await world.server(grace=SECOND * 10)
    await before.agent("a", "HOLD", "0 9 * * *")
    await before.run(topic="cats")

    assert await before.shut_down() == SECOND * 10

    agent = await before.get()
    assert (agent.status, agent.lease, agent.retry_count) == (AgentStatus.IDLE, None, 0)
    (failed,) = before.told(AgentFailed)
    assert (failed.outcome, failed.error, failed.will_retry) == (Outcome.INTERRUPTED, rules.HANDED_BACK, True)
    assert failed.retry_count == 0

    after = await world.server()
    first, second = await after.history()
    assert (first.outcome, second.outcome) == (Outcome.INTERRUPTED, Outcome.RUNNING)
    assert (second.attempt, second.trigger, second.context) == (2, Trigger.RETRY, {"topic": "cats"})
    assert second.occurrence == first.occurrence


async def test_a_run_by_hand_that_was_handed_back_comes_before_what_was_missed(world: World) -> None:
    before = await world.server()
    await before.agent("a", "HOLD", "* * * * *")
    await before.run(topic="cats")
    await before.shut_down()
    world.clock.jump(MINUTE * 2)

    after = await world.server()
    assert [session.context for session in await after.history()] == [{"topic": "cats"}, {"topic": "cats"}]
    await after.advance(SECOND)
    await after.succeed()

    last = (await after.history())[-1]
    assert (last.trigger, last.scheduled_for) == (Trigger.CRON, at(2))


async def test_a_runner_that_does_not_end_is_handed_back_all_the_same_and_the_server_exits_in_time(
    world: World,
) -> None:
    stack = await world.server(grace=SECOND * 10)
    stubborn = stack.runners.add_stubborn()
    await stack.agent("a", "STUBBORN", "0 9 * * *")
    await stack.run()

    assert await stack.shut_down() == SECOND * 10 + CANCEL_WAIT

    assert stubborn.cancelled == 1
    (session,) = await stack.history()
    assert (session.outcome, session.error_message) == (Outcome.INTERRUPTED, rules.HANDED_BACK)
    agent = await stack.get()
    assert agent.lease is None
    assert agent.pending is not None
    assert (agent.pending.attempt, agent.retry_count) == (2, 0)


async def test_the_server_exits_in_time_when_the_store_is_away(world: World) -> None:
    before = await world.server(grace=SECOND * 10)
    await before.agent("a", "HOLD", "0 9 * * *")
    await before.run()
    before.watched.away = True

    assert await before.shut_down() <= SECOND * 10 + 2 * CANCEL_WAIT

    after = await world.server()
    assert (await after.history())[0].error_message == rules.INTERRUPTED


async def test_leases_are_kept_during_the_grace(shared: World) -> None:
    first = await shared.server(shared=True, grace=MINUTE * 3)
    await first.agent("a", "HOLD", "0 9 * * *")
    await first.run()
    second = await shared.server(shared=True)

    await first.shut_down()

    (failed,) = first.told(AgentFailed)
    assert failed.error == rules.HANDED_BACK
    assert second.told(AgentFailed) == []
    await second.advance(BEAT)
    assert second.runners.running == ["a"]


async def test_a_stop_that_was_asked_for_is_not_undone_by_handing_back(shared: World) -> None:
    first = await shared.server(shared=True, grace=timedelta(0))
    await first.agent("a", "HOLD", "0 9 * * *")
    await first.run()
    second = await shared.server(shared=True)
    await second.service.stop("a")

    await first.shut_down()

    assert first.told(AgentFailed)[0].error == rules.STOPPED
    assert (await second.get()).pending is None


async def test_scheduling_can_be_stopped_while_the_store_is_away_and_nothing_runs(stack: Stack) -> None:
    stack.watched.away = True
    await stack.advance(SECOND * 10)

    assert await stack.shut_down() == timedelta(0)
