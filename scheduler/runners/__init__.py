"""Runners: Python, HTTP and operator-listed commands, behind one small protocol.

What a module in ``AGENT_MODULES`` needs is here: ``agent`` to register a function, and the types of what it is given.
"""

from scheduler.runners.base import Run, RunFailed
from scheduler.runners.modules import agent
from scheduler.runners.python import ThreadRun

__all__ = ["Run", "RunFailed", "ThreadRun", "agent"]
