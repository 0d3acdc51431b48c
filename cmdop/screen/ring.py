"""The model where there is no terminal library: the last output, without its questions."""

from __future__ import annotations

import threading
from typing import Any

from cmdop.limits import RING_BYTES
from cmdop.screen.filtered import unfinished, without_questions
from cmdop.screen.interface import Capture, ScreenModel, Snapshot
from cmdop.winsize import Winsize


class RingScreen(ScreenModel):
    """Knows no screen: it shows the last `RING_BYTES` again, whatever is asked for.

    What it shows is true as far as the output since then goes: a mode or a line that was
    written before is missing. It answers no question.
    """

    def __init__(self) -> None:
        # Guards the three below. Nothing blocks while it is held.
        self._lock = threading.Lock()
        self._kept = bytearray()
        self._fed_bytes = 0
        self._from_start = True

    def feed(self, data: bytes) -> None:
        with self._lock:
            self._kept += data[-2 * RING_BYTES :]
            self._fed_bytes += len(data)
            if len(self._kept) > 2 * RING_BYTES:  # cut seldom: cutting moves everything
                del self._kept[:-RING_BYTES]
                self._from_start = False

    def resize(self, winsize: Winsize) -> None:
        """What is shown has no size."""

    def capture(self, history: bool = True, redraw: bool = False) -> Capture:
        with self._lock:
            return _Kept(self, self._fed_bytes, redraw)

    def until(self, fed_bytes: int) -> tuple[bytes, bool]:
        """What was kept when so much had been fed, as far as it is still there, and whether that is
        all from the start. Nothing is copied for a capture that is never drawn from here."""
        with self._lock:
            end = max(0, len(self._kept) - (self._fed_bytes - fed_bytes))
            begin = max(0, end - RING_BYTES)
            with memoryview(self._kept) as kept:
                return bytes(kept[begin:end]), self._from_start and begin == 0

    def answer(self, answering: bool) -> None:
        """It never does."""

    def answers(self) -> bytes:
        return b""

    def hand_over(self) -> tuple[dict[str, Any], list[bytes]]:
        with self._lock:
            whole = self._from_start and len(self._kept) <= RING_BYTES
            return {"model": "ring", "from_start": whole}, [bytes(self._kept[-RING_BYTES:])]

    def keep(self) -> None:
        """Nothing was changed."""

    @classmethod
    def take_over(cls, state: dict[str, Any], blobs: list[bytes]) -> RingScreen:
        """The model that `hand_over` described before the exec."""
        ring = cls()
        ring._from_start = state["from_start"]
        ring.feed(blobs[0])
        return ring

    def close(self) -> None:
        with self._lock:
            self._kept.clear()


class _Kept(Capture):
    def __init__(self, ring: RingScreen, fed_bytes: int, redraw: bool) -> None:
        self._ring, self._fed_bytes, self._redraw = ring, fed_bytes, redraw

    def draw(self) -> Snapshot:
        kept, from_start = self._ring.until(self._fed_bytes)
        torn = unfinished(kept)
        whole, pending = kept[: len(kept) - torn], kept[len(kept) - torn :]
        clear = b"\x18\x1b\\\x1b[H\x1b[J" if self._redraw else b""
        return Snapshot(clear + without_questions(whole, from_start), b"", pending)
