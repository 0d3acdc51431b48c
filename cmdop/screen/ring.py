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
        # Guards the two below. Nothing blocks while it is held.
        self._lock = threading.Lock()
        self._kept = bytearray()
        self._from_start = True

    def feed(self, data: bytes) -> None:
        with self._lock:
            self._kept += data[-2 * RING_BYTES :]
            if len(self._kept) > 2 * RING_BYTES:  # cut seldom: cutting moves everything
                del self._kept[:-RING_BYTES]
                self._from_start = False

    def resize(self, winsize: Winsize) -> None:
        """What is shown has no size."""

    def capture(self, history: bool = True, redraw: bool = False) -> Capture:
        with self._lock:
            kept = bytes(self._kept[-RING_BYTES:])
            return _Kept(kept, self._from_start and len(self._kept) <= RING_BYTES, redraw)

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
    def __init__(self, kept: bytes, from_start: bool, redraw: bool) -> None:
        self._kept, self._from_start, self._redraw = kept, from_start, redraw

    def draw(self) -> Snapshot:
        torn = unfinished(self._kept)
        whole, pending = self._kept[: len(self._kept) - torn], self._kept[len(self._kept) - torn :]
        clear = b"\x18\x1b\\\x1b[H\x1b[J" if self._redraw else b""
        return Snapshot(clear + without_questions(whole, self._from_start), b"", pending)
