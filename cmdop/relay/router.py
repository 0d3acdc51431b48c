"""Who is joined to whom. Decides and remembers; does no I/O and has no lock and no clock.

A client's stream is joined to a stream of an agent's connection, whose number the
router chooses. What a side may do with a stream of its own is `_STREAM_STATES`.
Numbers only ever go up on one connection (as in HTTP/2, RFC 9113 §5.1.1): a frame that
was under way when its join ended can so never land in a later stream.

Connections are any hashable values; the router only keeps them apart.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Generic, NamedTuple, TypeVar

from cmdop.errors import RemoteProtocolError
from cmdop.limits import STREAM_ID_MAX, STREAMS_PER_CONNECTION_MAX
from cmdop.wire.frame import FrameKind, encode_frame
from cmdop.wire.message import Message
from cmdop.wire.relay_messages import Closed, Open

C = TypeVar("C", bound=Hashable)


class Far(NamedTuple, Generic[C]):
    """The other end of a join; `header` is that of a sealed frame to it, ready to send."""

    connection: C
    stream: int
    header: bytes


class Send(NamedTuple, Generic[C]):
    """A control message to be sent: to whom, on which stream."""

    to: C
    stream: int
    message: Message


class StreamState(Enum):
    """A stream as one of its two connections sees it."""

    FRESH = "fresh"
    JOINED = "joined"
    SPENT = "spent"


class StreamEvent(Enum):
    """What a connection does with a stream."""

    OPEN = "open"
    CLOSE = "close"


_STREAM_STATES: Final[Mapping[tuple[StreamState, StreamEvent], StreamState]] = {
    (StreamState.FRESH, StreamEvent.OPEN): StreamState.JOINED,
    (StreamState.JOINED, StreamEvent.CLOSE): StreamState.SPENT,
    # Both sides may close at once, or one close what the relay had already refused.
    (StreamState.SPENT, StreamEvent.CLOSE): StreamState.SPENT,
    (StreamState.FRESH, StreamEvent.CLOSE): StreamState.FRESH,
}
"""A missing entry breaks the protocol: a number that is in use, or was, is opened again."""


@dataclass(eq=False)
class _Entry(Generic[C]):
    """A connection. `last_stream` is the highest number that was ever opened on it."""

    workspace: str
    machine_id: str = ""
    last_stream: int = 0
    far: dict[int, Far[C]] = field(default_factory=dict)

    def state(self, stream: int) -> StreamState:
        if stream in self.far:
            return StreamState.JOINED
        return StreamState.SPENT if stream <= self.last_stream else StreamState.FRESH

    def after(self, stream: int, event: StreamEvent) -> StreamState:
        """The state after an event. Raises RemoteProtocolError where there is none."""
        after = _STREAM_STATES.get((self.state(stream), event))
        if after is None:
            raise RemoteProtocolError(reason=f"stream {stream} is opened twice")
        return after


class Router(Generic[C]):
    """The connections of one relay and the joins between their streams."""

    def __init__(self, stream_max: int = STREAM_ID_MAX, joins_max: int = STREAMS_PER_CONNECTION_MAX) -> None:
        self._stream_max, self._joins_max = stream_max, joins_max
        self._entries: dict[C, _Entry[C]] = {}
        self._agents: dict[str, C] = {}

    def add_client(self, connection: C, workspace: str) -> Mapping[int, Far[C]]:
        """A client's connection. Returns its table of joins, which stays up to date."""
        return self._add(connection, _Entry(workspace)).far

    def add_agent(self, connection: C, workspace: str, machine_id: str) -> Mapping[int, Far[C]]:
        """An agent's connection; `end` the machine's older one before. Returns its table of joins."""
        if machine_id in self._agents:
            raise ValueError(f"machine {machine_id} has a connection")
        entry = self._add(connection, _Entry(workspace, machine_id))
        self._agents[machine_id] = connection
        return entry.far

    def agent(self, machine_id: str) -> C | None:
        """The connection of a machine, or None."""
        return self._agents.get(machine_id)

    def open(self, client: C, stream: int, request: Open) -> list[Send[C]]:
        """Join a client's fresh stream to the machine that `request` names, or refuse it.

        `request` is passed on as it is. Raises RemoteProtocolError for a stream number
        that is not above all that were opened before.
        """
        near = self._spend(client, stream)
        agent = self._agents.get(request.machine_id)
        if agent is None or self._entries[agent].workspace != near.workspace:
            return [Send(client, stream, Closed("machine-offline", "its connection broke off just now"))]
        there = self._entries[agent]
        if max(len(near.far), len(there.far)) >= self._joins_max or there.last_stream >= self._stream_max:
            return [Send(client, stream, Closed("session-refused", f"{self._joins_max} streams are open already"))]
        there.last_stream += 1
        near.far[stream] = _far(agent, there.last_stream)
        there.far[there.last_stream] = _far(client, stream)
        return [Send(agent, there.last_stream, request)]

    def refuse(self, client: C, stream: int, closed: Closed) -> list[Send[C]]:
        """Answer a client's Open with `closed`. Raises RemoteProtocolError as `open` does."""
        self._spend(client, stream)
        return [Send(client, stream, closed)]

    def close(self, connection: C, stream: int, closed: Closed) -> list[Send[C]]:
        """One side closed a stream: the join ends and the other side is told, if there was one."""
        self._entries[connection].after(stream, StreamEvent.CLOSE)
        far = self._unjoin(connection, stream)
        return [] if far is None else [Send(far.connection, far.stream, closed)]

    def end(self, connection: C, closed: Closed) -> list[Send[C]]:
        """A connection has ended, and with it all its joins: `closed` goes to their other sides.

        One that is unknown, or ended before, is nothing.
        """
        entry = self._entries.get(connection)
        if entry is None:
            return []
        fars = [self._unjoin(connection, stream) for stream in list(entry.far)]
        del self._entries[connection]
        if entry.machine_id:
            del self._agents[entry.machine_id]
        return [Send(far.connection, far.stream, closed) for far in fars if far is not None]

    def _add(self, connection: C, entry: _Entry[C]) -> _Entry[C]:
        if connection in self._entries:
            raise ValueError("a connection is added twice")
        self._entries[connection] = entry
        return entry

    def _spend(self, client: C, stream: int) -> _Entry[C]:
        """Take a fresh number into use."""
        near = self._entries[client]
        near.after(stream, StreamEvent.OPEN)
        near.last_stream = stream
        return near

    def _unjoin(self, connection: C, stream: int) -> Far[C] | None:
        far = self._entries[connection].far.pop(stream, None)
        if far is not None:
            del self._entries[far.connection].far[far.stream]
        return far


def _far(connection: C, stream: int) -> Far[C]:
    return Far(connection, stream, encode_frame(FrameKind.SEALED, stream, b""))
