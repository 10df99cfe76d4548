"""A Socket.IO server for unchanged JavaScript clients that is fast and loses nothing: a subclass of python-socketio's.

The rules it keeps, all of them visible on the wire:

1.  One way out per connection. On a WebSocket every packet (event, acknowledgement, CONNECT, PING, CLOSE) takes the
    same ordered path: what is sent in one turn of the loop leaves in one write at its end. A queue exists only for
    polling, for the window before an upgrade (it empties into the WebSocket in the step that makes it the transport),
    and for a client that does not keep up.
2.  Encoded once. An event is one immutable frame, shared by its recipients, their backlogs and the recovery log.
    Attachments are inside it, so nothing gets between them.
3.  Nobody before the door. Until its connect handler is done, a client gets nothing but what is sent to it alone, and
    that after CONNECT.
4.  The slow pay for themselves. A backlog is bounded in bytes and in seconds; past either the transport is cut, never
    an event left out of the middle, but for those that asked to be collapsed to the newest.
5.  Recovery, as clients since 4.6 speak it: CONNECT carries a secret ``pid``, every event without acknowledgement ends
    with an offset, a returning client sends both. It gets its sid, rooms and session back, then CONNECT, what it
    missed, and the live events, without a gap and without a double, also when it is cut again on the way. Every loss
    of the transport can be recovered from; a goodbye (the client's DISCONNECT, ``disconnect()``), a refusal by the
    connect handler, which always runs, and another user cannot. The offset is visible to JavaScript listeners as one
    more argument: that is how Socket.IO does it, and why it is off unless ``recovery_ms`` is set.
6.  What breaks the protocol is out. A malformed packet closes the connection; so does an unanswered PING, a
    connection that enters no namespace, a second poll beside the first.
7.  Every end is bounded. Closing and shutting down wait for no client longer than a few seconds; a transport cut by
    the server is something clients come back from by themselves.

Ping every 10 s with 10 s for the answer (Socket.IO's defaults are 25 and 20): a line that died silently is noticed
within 20 s instead of 45, and an answered ping moves on how much a client is known to have, so that a quiet client
can still be recovered when its last event is long gone from the log.
"""

from server.realtime.counters import Metrics
from server.realtime.fanout import Fanout, RedisFanout, SharedFanout
from server.realtime.server import RealtimeServer

__all__ = ["Fanout", "Metrics", "RealtimeServer", "RedisFanout", "SharedFanout"]
