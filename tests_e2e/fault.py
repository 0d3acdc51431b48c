"""A bad network: a TCP proxy that delays, throttles, swallows, cuts, resets and refuses when it is told to.

It stands before a relay, on the way of a client or of an agent: whoever dials
`FaultProxy.url` has a bad way there. Faults may come at once or once so many bytes have
passed, so that no test has to wait for its moment.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

BUFFER_BYTES = 256 * 1024
"""Under way in one direction of one connection; less on a slow way, which then holds a quarter of a second."""
_PIECE_BYTES = 64 * 1024
_SLOW_PIECE_BYTES = 4 * 1024
_SOCKET_BYTES = 64 * 1024
"""The kernel's buffers: small, or they would hide what the way is like."""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass
class _Way:
    """One direction of one connection."""

    source: socket.socket
    sink: socket.socket
    waiting: collections.deque[tuple[float, memoryview]] = field(default_factory=collections.deque)
    held_bytes: int = 0
    ended: bool = False
    """The source said that nothing more comes."""


class FaultProxy:
    """A way to `to`, good until told otherwise. Any thread may do so.

    Its own thread, `proxy`, blocks in select and is woken by sockets, by the next due
    time, and by what it is told.
    """

    def __init__(self, to: tuple[str, int]) -> None:
        self._to = to
        self._listener: socket.socket | None = _listen(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        # Guards everything below but the sockets, which only `proxy` touches; told of every change.
        self._change = threading.Condition()
        self._jobs: collections.deque[Callable[[], None]] = collections.deque()
        self._plan: list[tuple[int, Callable[[], None]]] = []
        self._connections: list[tuple[_Way, _Way]] = []
        self._delay_seconds = self._rate_bytes = 0.0
        self._dark_until = self._refusing_until = 0.0
        self._free_at = [0.0, 0.0]
        self._closed = False
        self._carried_bytes = 0
        self._bell, self._ear = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    @property
    def carried_bytes(self) -> int:
        """How much has passed, in both directions together."""
        with self._change:
            return self._carried_bytes

    @property
    def url(self) -> str:
        return f"ws://{self.address[0]}:{self.address[1]}"

    # -- what a test tells it ----------------------------------------------------------------

    def slow(self, delay_seconds: float = 0.0, rate_bytes: float = 0.0) -> None:
        """From now on each way takes so long, and each direction carries so many bytes a second (0: any number)."""
        with self._change:
            self._delay_seconds, self._rate_bytes = delay_seconds, rate_bytes

    def cut(self) -> None:
        """End every connection in good order (FIN)."""
        self._tell(lambda: self._end_all(reset=False))

    def reset(self) -> None:
        """End every connection at once (RST)."""
        self._tell(lambda: self._end_all(reset=True))

    def blackhole(self, seconds: float) -> None:
        """Nothing gets through, in either direction, and nobody is told. Then all of it does."""
        self._tell(lambda: self._darken(seconds))

    def refuse(self, seconds: float) -> None:
        """End every connection and refuse new ones for a time."""
        self._tell(lambda: self._refuse(seconds))

    def after(self, carried_bytes: int, fault: Callable[[], None]) -> None:
        """Call `fault`, one of the above, once so many bytes have passed in both directions together."""
        with self._change:
            self._plan.append((self._carried_bytes + carried_bytes, fault))
            self._plan.sort(key=lambda due: due[0])

    @property
    def planned(self) -> int:
        """How many faults are still to come."""
        with self._change:
            return len(self._plan)

    def until_connected(self, connections: int, timeout_seconds: float) -> None:
        with self._change:
            came = self._change.wait_for(lambda: len(self._connections) == connections, timeout_seconds)
            assert came, f"{len(self._connections)} connections, not {connections}, after {timeout_seconds:g} s"

    def close(self) -> None:
        """End everything. Twice is quiet."""
        self._closed = True
        self._tell(lambda: None)
        self._thread.join()

    def _tell(self, job: Callable[[], None]) -> None:
        with self._change:
            self._jobs.append(job)
        with contextlib.suppress(OSError):
            self._bell.send(b"!")

    # -- its thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closed:
            readable, writable, timeout_seconds = self._wanted()
            can_read, can_write, _ = select.select(readable, writable, [], timeout_seconds)
            if self._ear in can_read:
                self._ear.recv(4096)
            if self._listener is not None and self._listener in can_read:
                self._accept(self._listener)
            for ways in list(self._connections):
                self._carry(ways, can_read, can_write)
            self._do_what_is_due()
        self._end_all(reset=True)
        for each in (self._listener, self._bell, self._ear):
            if each is not None:
                each.close()

    def _wanted(self) -> tuple[list[socket.socket], list[socket.socket], float | None]:
        """What to wait for, and how long at most."""
        now = time.monotonic()
        readable, writable = [self._ear, *([self._listener] if self._listener else [])], []
        moments = [until for until in (self._dark_until, self._refusing_until) if until > now]
        for way in itertools.chain.from_iterable(self._connections):
            if not way.ended and way.held_bytes < self._room_bytes:
                readable.append(way.source)
            if way.waiting and self._dark_until <= now:
                due = way.waiting[0][0]
                if due <= now:
                    writable.append(way.sink)
                else:
                    moments.append(due)
        return readable, writable, min(moments) - now if moments else None

    @property
    def _room_bytes(self) -> float:
        return max(_SLOW_PIECE_BYTES, self._rate_bytes / 4) if self._rate_bytes else BUFFER_BYTES

    def _accept(self, listener: socket.socket) -> None:
        near = listener.accept()[0]
        far = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BYTES)
        try:
            far.connect(self._to)
        except OSError:  # nobody is there: that is for whoever dialled to find out
            far.close()
            _close(near, reset=True)
            return
        for end in (near, far):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
        with self._change:
            self._connections.append((_Way(near, far), _Way(far, near)))
            self._change.notify_all()

    def _carry(self, ways: tuple[_Way, _Way], can_read: list[socket.socket], can_write: list[socket.socket]) -> None:
        try:
            for number, way in enumerate(ways):
                if way.source in can_read and not way.ended:
                    self._take(number, way)
                if way.sink in can_write:
                    self._give(way)
        except OSError:
            self._end(ways, reset=True)
            return
        if all(way.ended and not way.waiting for way in ways):
            self._end(ways, reset=False)

    def _take(self, number: int, way: _Way) -> None:
        data = way.source.recv(_SLOW_PIECE_BYTES if self._rate_bytes else _PIECE_BYTES)
        now = time.monotonic()
        if self._rate_bytes:
            self._free_at[number] = now = max(now, self._free_at[number]) + len(data) / self._rate_bytes
        way.waiting.append((now + self._delay_seconds, memoryview(data)))
        way.held_bytes += len(data)
        way.ended = not data

    def _give(self, way: _Way) -> None:
        due, data = way.waiting.popleft()
        if not data:
            way.sink.shutdown(socket.SHUT_WR)
            return
        with self._change:  # it is counted before anybody who received it can ask; the send does not block
            sent = way.sink.send(data)
            self._carried_bytes += sent
        way.held_bytes -= sent
        if sent < len(data):
            way.waiting.appendleft((due, data[sent:]))

    def _do_what_is_due(self) -> None:
        with self._change:
            jobs = list(self._jobs)
            self._jobs.clear()
            while self._plan and self._plan[0][0] <= self._carried_bytes:
                jobs.append(self._plan.pop(0)[1])
        for job in jobs:
            job()
        if self._listener is None and self._refusing_until <= time.monotonic():
            self._listener = _listen(self.address)

    # -- the faults ----------------------------------------------------------------------------

    def _darken(self, seconds: float) -> None:
        self._dark_until = time.monotonic() + seconds

    def _refuse(self, seconds: float) -> None:
        self._refusing_until = time.monotonic() + seconds
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._end_all(reset=False)

    def _end_all(self, reset: bool) -> None:
        for ways in list(self._connections):
            self._end(ways, reset)

    def _end(self, ways: tuple[_Way, _Way], reset: bool) -> None:
        with self._change:
            self._connections.remove(ways)
            self._change.notify_all()
        for way in ways:
            _close(way.source, reset)


def _close(end: socket.socket, reset: bool) -> None:
    with contextlib.suppress(OSError):
        if reset:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        else:  # FIN first, though something is unread
            end.shutdown(socket.SHUT_RDWR)
    end.close()


def _listen(address: tuple[str, int]) -> socket.socket:
    """A listener on this port, or on a free one for port 0."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BYTES)
    listener.bind(address)
    listener.listen()
    return listener


@contextlib.contextmanager
def bad_way(to: tuple[str, int]) -> Iterator[FaultProxy]:
    """A proxy for the length of a `with` block."""
    proxy = FaultProxy(to)
    try:
        yield proxy
    finally:
        proxy.close()
