"""The last bytes of a stream, by their absolute offset."""

from __future__ import annotations

import mmap

from cmdop.limits import RING_BYTES


class RingBuffer:
    """Keeps the newest `capacity` bytes of a stream that starts at offset 0.

    `head` is the offset of the next byte to come, `tail` that of the oldest one kept.
    """

    __slots__ = ("_begin", "_bytes", "capacity", "head")

    def __init__(self, capacity: int = RING_BYTES) -> None:
        self.capacity = capacity
        self.head = 0
        self._begin = 0
        """Nothing before this was ever in it: what has grown does not know what it forgot."""
        self._bytes = mmap.mmap(-1, capacity)
        """Of the system, page by page as they are used, and given back with the session: an
        allocator would keep a hole of that size for each that ever was."""

    @property
    def tail(self) -> int:
        return max(self._begin, self.head - self.capacity)

    def append(self, data: bytes) -> None:
        """Add bytes at the head; the oldest ones go."""
        self.head += len(data)
        if len(data) > self.capacity:
            data = data[-self.capacity :]
        start = (self.head - len(data)) % self.capacity
        first = min(len(data), self.capacity - start)
        self._bytes[start : start + first] = data[:first]
        self._bytes[: len(data) - first] = data[first:]

    def grow(self, capacity: int) -> None:
        """Keep more from now on; never less."""
        if capacity > self.capacity:
            kept = self.read(self.tail, self.capacity)
            self.capacity, self._bytes = capacity, mmap.mmap(-1, capacity)
            self.restore(self.head, kept)

    def restore(self, head: int, newest: bytes) -> None:
        """Be a ring that holds these newest bytes of a stream that is `head` long."""
        self.head = self._begin = head - len(newest)
        self.append(newest)

    def read(self, offset: int, max_bytes: int) -> bytes:
        """Up to `max_bytes` from `offset` on; b"" at the head.

        Raises IndexError for an offset that is no longer, or not yet, there.
        """
        if not self.tail <= offset <= self.head:
            raise IndexError(f"offset {offset} is not within {self.tail}..{self.head}")
        size = min(max_bytes, self.head - offset)
        start = offset % self.capacity
        first = self._bytes[start : start + size]
        if len(first) == size:
            return first
        return first + self._bytes[: size - len(first)]
