"""What can go wrong, in the domain's words: one root, few leaves named by what happened."""

from __future__ import annotations


class ServiceError(Exception):
    """Root of every error this service raises on purpose; the message is a sentence a person can act on."""


class NotFound(ServiceError):
    """The record that was asked for does not exist; nothing was changed."""


class Conflict(ServiceError):
    """The present state forbids the operation; nothing was changed."""


class Invalid(ServiceError):
    """An input does not have the accepted form; nothing was changed.

    ``field`` is the wire name of the field at fault (``cronExpression``), or None where no single field is.
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class LeaseLost(ServiceError):
    """The caller no longer owns the lease it acted under; nothing was changed."""


class StoreUnavailable(ServiceError):
    """The database did not answer in time; a write that failed so may or may not have happened."""
