"""What a new embedded store begins with: two sample agents, so that there is something to see within a minute."""

from __future__ import annotations

import logging
from pathlib import Path

from scheduler.samples import sample_agents
from scheduler.service import AgentService
from server.config import Config
from store.sqlite import DATABASE

logger = logging.getLogger(__name__)


def wants_samples(config: Config) -> bool:
    """Whether this start makes the embedded store; to be asked before it is opened."""
    return config.sample_agents and config.mongodb_uri is None and not Path(config.data_dir, DATABASE).exists()


async def add_samples(service: AgentService) -> None:
    """Add the sample agents with their schedules."""
    for agent, schedule in sample_agents():
        added = await service.create(agent)
        await service.save_schedule(added.id, schedule)
        logger.info("sample agent added", extra={"agentId": added.id})
