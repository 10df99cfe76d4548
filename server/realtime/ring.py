"""The same bytes to many sockets by one system call: io_uring, where Linux has it and lets us.

A write of a frame costs the kernel about 5 µs, and being called for it, with what Python does around each call, 1 µs
more. Nothing here is asynchronous: every send is tried at once and none waits, so that all answers are there when the
call returns, and one thread at a time uses a ring. Source of the numbers and layouts: io_uring(7), io_uring_setup(2),
io_uring_enter(2) and <linux/io_uring.h>.
"""

import errno
import logging
import mmap
import os
import socket
import struct
import sys
import weakref
from collections.abc import Sequence
from typing import Final

logger = logging.getLogger(__name__)

ENTRIES: Final = 256
"""Sends in one call: 1 ms or 2, where they are small."""
ROOM: Final = 64 * 1024
"""Bytes of one send."""

_SETUP, _ENTER = 425, 426
_OFFSET_ENTRIES = 0x10000000  # of the mapping that holds the requests
_SINGLE_MMAP = 1  # the feature (Linux 5.4) that both rings are one mapping
_GET_EVENTS = 1
_SEND = 26
_FLAGS = 0x40 | 0x4000  # MSG_DONTWAIT, so that none is left under way; MSG_NOSIGNAL
_PARAMS = struct.Struct("=10I 8IQ 8IQ")  # io_uring_params: its fields, then the offsets in the two rings
_REQUEST_HEAD = struct.Struct("=BBHiQQ")  # io_uring_sqe: opcode, flags, ioprio, fd, off, addr; then len
_REQUEST_TAIL = struct.Struct("=IQ24x")  # msg_flags, user_data, the rest
_ANSWER = struct.Struct("=QiI")  # io_uring_cqe: user_data, res, flags
_REQUEST_SIZE = 64
_WRAP = 0xFFFFFFFF  # positions in the rings count on and wrap around
_LENGTH = struct.Struct("=I")
_RESULT = struct.Struct("=i")


class Batch:
    """Sends to the same sockets, ready but for the data: up to ENTRIES of them."""

    __slots__ = ("requests", "size")

    def __init__(self, descriptors: Sequence[int], address: int) -> None:
        self.size = len(descriptors)
        heads = [_REQUEST_HEAD.pack(_SEND, 0, 0, descriptor, 0, address) for descriptor in descriptors]
        tails = [_REQUEST_TAIL.pack(_FLAGS, place) for place in range(self.size)]
        self.requests = _around(heads, tails)
        """What goes between the lengths; to join them makes the requests."""


class Ring:
    """An io_uring of our own, closed with :meth:`close` or when nothing refers to it any more."""

    def __init__(self) -> None:
        """OSError: the kernel has none, or forbids it, as containers do. ImportError: this Python has no ctypes."""
        import ctypes  # a Python without it can do without a ring, too

        if not sys.platform.startswith("linux"):
            raise OSError(errno.ENOSYS, "only Linux has io_uring")
        libc = ctypes.CDLL(None, use_errno=True)
        setup, self._enter = libc["syscall"], libc["syscall"]
        setup.restype = self._enter.restype = ctypes.c_long
        setup.argtypes = [ctypes.c_long, ctypes.c_ulong, ctypes.c_char_p]
        self._enter.argtypes = [ctypes.c_long] * 5 + [ctypes.c_void_p, ctypes.c_size_t]
        self._errno = ctypes.get_errno
        params = ctypes.create_string_buffer(_PARAMS.size)
        self._ring = setup(_SETUP, ENTRIES, params)
        if self._ring < 0:
            raise _os_error(self._errno())
        self.broken: OSError | None = None
        """Why it is not to be used any more."""
        self._data = mmap.mmap(-1, ROOM)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._data))
        self._mappings = [self._data]
        self._finalizer = weakref.finalize(self, _close, self._ring, self._mappings)
        try:
            self._map(_PARAMS.unpack(params.raw))
            self._try()
        except BaseException:
            self.close()
            raise

    def _map(self, params: tuple[int, ...]) -> None:
        (entries, answers, _, _, _, features), submission, completion = params[:6], params[10:18], params[19:27]
        if not features & _SINGLE_MMAP:
            raise OSError(errno.ENOSYS, "this kernel's io_uring is too old")
        array, cqes = submission[6], completion[5]
        rings = mmap.mmap(self._ring, max(array + entries * 4, cqes + answers * _ANSWER.size))
        self._mappings.append(rings)
        requests = mmap.mmap(self._ring, entries * _REQUEST_SIZE, offset=_OFFSET_ENTRIES)
        self._mappings.append(requests)
        self._requests, self._rings = requests, rings
        self._entries, self._answers, self._cqes = entries, answers, cqes
        self._tail_at, self._head_at, self._answered_at = submission[1], completion[0], completion[1]
        # Request n of the ring is always in place n.
        rings[array : array + entries * 4] = struct.pack(f"={entries}I", *range(entries))
        self._tail = self._head = 0
        # What goes between the results when each comes in its place: of this the first of a batch are its own.
        self._in_place = _around([struct.pack("=Q", place) for place in range(ENTRIES + 1)], [bytes(4)] * (ENTRIES + 1))

    def _try(self) -> None:
        """OSError: it does not send, as before Linux 5.6."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            failures = self.send(self.prepare([ours.fileno()]), b"?")
        if self.broken:
            raise self.broken
        for failure in failures.values():
            raise _os_error(-failure)

    def close(self) -> None:
        self._finalizer()

    def prepare(self, descriptors: Sequence[int]) -> Batch:
        """A batch to send to *descriptors*, ENTRIES at most; good for as long as they are."""
        return Batch(descriptors, self._address)

    def send(self, batch: Batch, data: bytes) -> dict[int, int]:
        """Send *data*, ROOM bytes at most, to all of *batch*: for each socket that did not take all, by its place, how
        much it took, or a number below 1 for nothing."""
        size = len(data)
        self._data[:size] = data
        self._put(_LENGTH.pack(size).join(batch.requests))
        self._tail = (self._tail + batch.size) & _WRAP
        _LENGTH.pack_into(self._rings, self._tail_at, self._tail)
        self._submit(batch.size)
        answers = self._take()
        if answers == _RESULT.pack(size).join(self._in_place[: batch.size + 1])[: batch.size * _ANSWER.size]:
            return {}
        results = dict.fromkeys(range(batch.size), 0)
        results.update((place, result) for place, result, _ in _ANSWER.iter_unpack(answers))
        return {place: result for place, result in results.items() if result != size}

    def _submit(self, count: int) -> None:
        """Have the kernel begin all requests, and wait for their answers, which none of them keeps it waiting for."""
        left = count
        while left or self._answered() < count:  # a request that cannot even be begun ends a call early
            begun = self._enter(_ENTER, self._ring, left, 0 if left else count, _GET_EVENTS, None, 0)
            if begun < 0 and self._errno() == errno.EINTR:
                continue
            if begun < 0 or begun == 0 < left:  # what was not begun never will be
                self.broken = _os_error(self._errno()) if begun < 0 else OSError(errno.EIO, "it begins no request")
                return
            left -= begun

    def _answered(self) -> int:
        tail: int = _LENGTH.unpack_from(self._rings, self._answered_at)[0]
        return (tail - self._head) & _WRAP

    def _put(self, requests: bytes) -> None:
        start = (self._tail & (self._entries - 1)) * _REQUEST_SIZE
        first = requests[: self._entries * _REQUEST_SIZE - start]
        self._requests[start : start + len(first)] = first
        self._requests[: len(requests) - len(first)] = requests[len(first) :]

    def _take(self) -> bytes:
        count = self._answered()
        at = self._head & (self._answers - 1)
        first = min(count, self._answers - at)
        start = self._cqes + at * _ANSWER.size
        taken = self._rings[start : start + first * _ANSWER.size]
        if first < count:
            taken += self._rings[self._cqes : self._cqes + (count - first) * _ANSWER.size]
        self._head = (self._head + count) & _WRAP
        _LENGTH.pack_into(self._rings, self._head_at, self._head)
        return taken


def open_ring() -> Ring | None:
    """A ring, or None where there can be none."""
    try:
        return Ring()
    except Exception as error:  # noqa: BLE001 - whatever it is, there is another way
        logger.info("broadcasts are written socket by socket, without io_uring: %s", error)
        return None


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _around(heads: Sequence[bytes], tails: Sequence[bytes]) -> list[bytes]:
    """The parts between which the one field goes that all have in common."""
    between = [tail + head for tail, head in zip(tails, heads[1:], strict=False)]
    return [heads[0], *between, tails[-1]]


def _close(ring: int, mappings: list[mmap.mmap]) -> None:
    for mapping in mappings:
        mapping.close()
    os.close(ring)
