"""What a connection is, whoever opened it and whatever carries it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from cmdop.limits import CLIENT_QUEUE_MAX_BYTES


class Connection(ABC):
    """Whole messages in both directions, in order, until either end closes.

    One thread receives; any thread may send or close. `remote` says who is at the
    other end, for people.
    """

    remote: str
    on_drained: Callable[[], None] | None = None
    """Called on the connection's own writer thread each time its queue has fallen to
    the low-water mark after having been above; must not block."""

    queue_max_bytes: int = CLIENT_QUEUE_MAX_BYTES
    """How much may be queued because the kernel did not take it yet; may be set at any time."""

    @abstractmethod
    def send(self, message: bytes) -> None:
        """Send a message, or queue it: never blocks.

        Raises ConnectionClosed once the connection is closed. A queue past its limit
        closes the connection: the other end takes less than it asked for.
        """

    @abstractmethod
    def receive(self) -> bytes:
        """The next message; blocks until there is one.

        Raises ConnectionClosed at the end of the connection, whichever side ended it,
        and RemoteProtocolError for what is no message of ours.
        """

    def receive_now(self) -> bytes | None:
        """The next message, or None while only a part of it has come.

        For who selects: to be called when there is something `buffered`, or the
        descriptor is readable; then it does not block. Raises what `receive` raises.
        """
        return self.receive()

    @property
    @abstractmethod
    def backlog_bytes(self) -> int:
        """What is queued because the kernel did not take it yet."""

    @abstractmethod
    def wait_for_room(self, backlog_bytes: int, timeout_seconds: float) -> bool:
        """Block until no more than that is queued, small messages counted with what they take
        beside their bytes, or the connection is closed; False when time was up before."""

    @abstractmethod
    def fileno(self) -> int:
        """A descriptor that is readable when `receive` may have something, for select."""

    @property
    @abstractmethod
    def buffered(self) -> bool:
        """Whether `receive` has something before the descriptor says so."""

    @abstractmethod
    def close(self, reason: str = "") -> None:
        """End the connection and wake whoever receives. From any thread; twice is quiet.

        What was sent before is still delivered if the other end takes it within
        `CLOSE_TIMEOUT_SECONDS`.
        """
