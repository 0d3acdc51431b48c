"""The model where there is no terminal library: the last output, without its questions."""

from __future__ import annotations

import threading
from typing import Any

from cmdop.limits import RING_BYTES
from cmdop.ring import RingBuffer
from cmdop.screen.filtered import unfinished, without_questions
from cmdop.screen.interface import Capture, ScreenModel, Snapshot
from cmdop.winsize import Winsize


class RingScreen(ScreenModel):
    """Knows no screen: it shows the last `RING_BYTES` again, whatever is asked for.

    What it shows is true as far as the output since then goes: a mode or a line that was
    written before is missing. It answers no question.
    """

    def __init__(self) -> None:
        # Guards the ring. Nothing blocks while it is held.
        self._lock = threading.Lock()
        self._ring = RingBuffer()

    def feed(self, data: bytes) -> None:
        with self._lock:
            self._ring.append(data)

    def resize(self, winsize: Winsize) -> None:
        """What is shown has no size."""

    def capture(self, history: bool = True, redraw: bool = False, fits: bool = True) -> Capture:
        with self._lock:
            return _Kept(self, self._ring.head, redraw)

    def until(self, end: int) -> tuple[bytes, bool]:
        """What is still there of the first `end` bytes, and whether that is all of them. Nothing is
        copied for a capture that is never drawn from here."""
        with self._lock:
            tail = self._ring.tail
            return self._ring.read(tail, max(0, end - tail)), tail == 0

    def answer(self, answering: bool) -> None:
        """It never does."""

    def answers(self) -> bytes:
        return b""

    def hand_over(self) -> tuple[dict[str, Any], list[bytes]]:
        with self._lock:
            tail = self._ring.tail
            return {"model": "ring", "from_start": tail == 0}, [self._ring.read(tail, RING_BYTES)]

    def keep(self) -> None:
        """Nothing was changed."""

    @classmethod
    def take_over(cls, state: dict[str, Any], blobs: list[bytes]) -> RingScreen:
        """The model that `hand_over` described before the exec."""
        screen = cls()
        screen._ring.restore(len(blobs[0]) + (not state["from_start"]), blobs[0])
        return screen

    def close(self) -> None:
        with self._lock:
            self._ring = RingBuffer()


class _Kept(Capture):
    def __init__(self, screen: RingScreen, end: int, redraw: bool) -> None:
        self._screen, self._end, self._redraw = screen, end, redraw

    def draw(self) -> Snapshot:
        kept, from_start = self._screen.until(self._end)
        torn = unfinished(kept)
        whole, pending = kept[: len(kept) - torn], kept[len(kept) - torn :]
        clear = b"\x18\x1b\\\x1b[H\x1b[J" if self._redraw else b""
        return Snapshot(clear + without_questions(whole, from_start), b"", pending)
