"""Whatever a record holds, it comes back equal."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from store.base import Store
from store.records import (
    Agent,
    AgentStatus,
    Change,
    Gap,
    JSONObject,
    Lease,
    LogEntry,
    MissedRuns,
    Outcome,
    Overlap,
    Pending,
    Priority,
    Progress,
    Schedule,
    Session,
    SessionEnd,
    SessionFilter,
    Trigger,
    new_id,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
objects: st.SearchStrategy[JSONObject] = st.dictionaries(st.text(), json_values, max_size=3)
moments = st.integers(-(10**12), 10**14).map(lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms))
texts = st.text(max_size=20)
ids = st.builds(new_id)  # not st.uuids(): that comes up with one that it has given before
counts = st.integers(0, 2**53)

schedules = st.builds(
    Schedule, texts, texts, moments, st.booleans(), st.sampled_from(Overlap), st.sampled_from(MissedRuns)
)
pendings = st.builds(
    Pending, moments, st.sampled_from(Trigger), texts, moments, counts, st.none() | ids, objects, counts
)
agents = st.builds(
    Agent,
    id=ids,
    name=texts,
    agent_type=texts,
    created_at=moments,
    updated_at=moments,
    description=texts,
    configuration=objects,
    project_id=st.none() | texts,
    manager_id=st.none() | texts,
    status=st.sampled_from(AgentStatus),
    priority=st.sampled_from(Priority),
    schedule=st.none() | schedules,
    is_paused=st.booleans(),
    next_run_at=st.none() | moments,
    last_run_at=st.none() | moments,
    retry_count=counts,
    last_error=st.none() | texts,
    pending=st.none() | pendings,
    lease=st.builds(Lease, texts, ids, moments),
    session_id=st.none() | ids,
    stop_requested=st.none() | texts,
)
progresses = st.builds(Progress, st.floats(0, 100) | st.integers(0, 100), texts, st.none() | counts, st.none() | counts)
logs = st.lists(st.builds(LogEntry, moments, texts, texts), min_size=1, max_size=3)
sessions = st.builds(
    Session,
    id=ids,
    agent_id=ids,
    occurrence=texts,
    attempt=counts,
    trigger=st.sampled_from(Trigger),
    scheduled_for=moments,
    started_at=moments,
    lease_id=ids,
    priority=st.sampled_from(Priority),
    missed=counts,
    context=objects,
)
ends = st.builds(
    SessionEnd,
    session_id=ids,
    outcome=st.sampled_from([Outcome.COMPLETED, Outcome.FAILED, Outcome.STOPPED, Outcome.TIMED_OUT]),
    completed_at=moments,
    output_summary=st.none() | texts,
    error_message=st.none() | texts,
    metrics=objects,
)
gaps = st.builds(Gap, ids, ids, st.sampled_from([Outcome.MISSED, Outcome.SKIPPED]), counts, moments, moments, texts)

# One database for all examples: every id is new. Shrinking talks to the database a thousand times: not here.
some = settings(
    max_examples=15,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@some
@given(agent=agents)
async def test_an_agent_comes_back_equal(store: Store, agent: Agent) -> None:
    await store.add_agent(agent)

    assert await store.get_agent(agent.id) == agent


@some
@given(before=agents, after=agents)
async def test_a_changed_agent_comes_back_equal(store: Store, before: Agent, after: Agent) -> None:
    await store.add_agent(before)
    after = replace(after, id=before.id)

    change = await store.change_agent(before.id, lambda _: Change(after))

    assert change == Change(after)
    assert await store.get_agent(before.id) == after


@some
@given(agent=agents, session=sessions, end=ends, progress=progresses, entries=logs)
async def test_a_session_comes_back_equal(
    store: Store, agent: Agent, session: Session, end: SessionEnd, progress: Progress, entries: list[LogEntry]
) -> None:
    session, end = replace(session, agent_id=agent.id), replace(end, session_id=session.id)
    await store.add_agent(agent)

    await store.change_agent(agent.id, lambda agent: Change(agent, start=session))
    await store.add_journal(session.id, progress, entries)
    running = await store.get_session(agent.id, session.id)
    await store.end_session(end)

    assert running == replace(session, progress=progress)
    assert await store.list_logs(session.id, limit=10) == entries
    assert await store.get_session(agent.id, session.id) == replace(
        running,
        outcome=end.outcome,
        completed_at=end.completed_at,
        output_summary=end.output_summary,
        error_message=end.error_message,
        metrics=end.metrics,
    )


@some
@given(agent=agents, gap=gaps)
async def test_a_gap_comes_back_equal(store: Store, agent: Agent, gap: Gap) -> None:
    gap = replace(gap, agent_id=agent.id)
    await store.add_agent(agent)

    await store.change_agent(agent.id, lambda agent: Change(agent, gaps=(gap,)))

    wanted = SessionFilter(agent_id=agent.id, gaps=True)
    assert (await store.list_sessions(wanted, limit=10)).items == [gap]
