"""What was typed into a session and is not with its PTY yet, in the order that it came."""

from __future__ import annotations

from collections import deque

from cmdop.agent.viewer import Viewer
from cmdop.ptyhost.interface import Pty, PtyClosed

_TOGETHER_BYTES = 4096
"""Small records are put together up to here: a flood of them would cost a system call each."""


class Keyboard:
    """The clients' input on its way to the PTY. Guarded by its session's lock."""

    def __init__(self, pty: Pty) -> None:
        self._pty = pty
        self._waiting: deque[tuple[Viewer, bytes]] = deque()

    @property
    def stuck(self) -> bool:
        """Whether something waits for the program to read."""
        return bool(self._waiting)

    def put(self, viewer: Viewer, data: bytes) -> None:
        if self._waiting and self._waiting[-1][0] is viewer and len(self._waiting[-1][1]) < _TOGETHER_BYTES:
            data = self._waiting.pop()[1] + data
        self._waiting.append((viewer, data))

    def clear(self) -> None:
        """Nobody is left to read it."""
        self._waiting.clear()

    def write(self) -> list[tuple[Viewer, int]]:
        """Give the PTY what it takes now; whom to acknowledge up to which offset."""
        acks: list[tuple[Viewer, int]] = []
        while self._waiting:
            viewer, data = self._waiting[0]
            try:
                taken = self._pty.write(data)
            except PtyClosed:
                self.clear()
                break
            if taken and (ack := viewer.typed.took(taken)) is not None:
                acks.append((viewer, ack))
            if taken < len(data):
                self._waiting[0] = (viewer, data[taken:])
                break
            self._waiting.popleft()
        return acks
