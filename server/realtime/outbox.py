"""The ordered backlog of one socket that cannot take its frames at the moment, bounded and, where asked, collapsing."""

from collections import OrderedDict
from typing import NamedTuple

from server.realtime.frames import Frame


class _Waiting(NamedTuple):
    frame: Frame
    since: float  # monotonic seconds
    cost: int  # bytes counted against the bound; 0 for a replay, which the recovery log bounds


class Outbox:
    """Frames in the order they were made. References only: the bytes are shared with every other recipient."""

    __slots__ = ("_waiting", "_number", "_replayed_at", "_replays", "cost")

    def __init__(self) -> None:
        self._waiting: OrderedDict[str | int, _Waiting] = OrderedDict()
        self._number = 0
        self._replayed_at = 0.0
        self._replays = 0
        self.cost = 0

    @property
    def replaying(self) -> bool:
        """Whether frames of a replay wait: a client on its way back is late through no fault of its own."""
        return self._replays > 0

    @property
    def live(self) -> int:
        """How many frames wait that are not of a replay."""
        return len(self._waiting) - self._replays

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, frame: Frame, now: float, *, collapse: bool) -> None:
        """Append *frame*. With *collapse*, an older frame of the same collapse key goes.

        The newer one takes the end of the line, not the older one's place: the offsets a client sees must only grow,
        or a cut in between would hide what was overtaken.
        """
        key: str | int
        if collapse and frame.collapse is not None:
            key = frame.collapse
            if (older := self._waiting.pop(key, None)) is not None:
                self.cost -= older.cost
        else:
            self._number += 1
            key = self._number
        self._waiting[key] = _Waiting(frame, now, len(frame.wire))
        self.cost += len(frame.wire)

    def put_replay(self, frame: Frame, now: float) -> None:
        """Append a frame of a replay: never collapsed, not counted against the bound."""
        self._number += 1
        self._replays += 1
        self._waiting[self._number] = _Waiting(frame, now, 0)

    def take(self, limit: int, now: float) -> list[Frame]:
        """Remove and return the oldest frames, about *limit* bytes of them and at least one."""
        frames: list[Frame] = []
        size = 0
        while self._waiting and size < limit:
            _, waiting = self._waiting.popitem(last=False)
            self.cost -= waiting.cost
            if not waiting.cost:
                self._replayed_at = now
                self._replays -= 1
            size += len(waiting.frame.wire)
            frames.append(waiting.frame)
        return frames

    def clear(self) -> None:
        self._waiting.clear()
        self._replays = 0
        self.cost = 0

    def age(self, now: float) -> float:
        """Seconds the oldest frame has waited; time spent behind a replay that makes progress does not count."""
        if not self._waiting:
            return 0.0
        oldest = next(iter(self._waiting.values()))
        return now - max(oldest.since, self._replayed_at)
