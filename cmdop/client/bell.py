"""Waking who selects."""

from __future__ import annotations

import contextlib
import socket


class Bell:
    """Something to select on: readable from `ring` on, until `silence`."""

    def __init__(self) -> None:
        self._ear, self._bell = socket.socketpair()
        self._ear.setblocking(False)
        self._bell.setblocking(False)

    def fileno(self) -> int:
        return self._ear.fileno()

    @property
    def ringing_fd(self) -> int:
        """The descriptor of a socket; one byte written there is a ring."""
        return self._bell.fileno()

    def ring(self) -> None:
        """From any thread. One that rings already is enough."""
        with contextlib.suppress(OSError):
            self._bell.send(b"!")

    def silence(self) -> None:
        with contextlib.suppress(OSError):
            self._ear.recv(4096)

    def close(self) -> None:
        """By the thread that listens, as its last act; who rings later is not heard."""
        self._ear.close()
        self._bell.close()
