"""Somebody who types at a terminal and looks at it, both all the time."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections.abc import Callable

from tests.screen.oracle import terminal
from tests_e2e.picture import difference, picture, picture_of
from tests_e2e.terminal import UserTerminal
from tests_e2e.timing import BULK_SECONDS, STEP_SECONDS

_PIECE_BYTES = 65536


class Person:
    """Sees what nobody has expected at a terminal yet, and all that it shows from then on.

    The thread `terminal<->person` blocks in select, and is woken by output, by room for
    what is to be typed, and by whoever uses this. `answer`, where there is one, is told
    each piece that is shown, and says what to type at once.
    """

    def __init__(self, at: UserTerminal, answer: Callable[[bytes], bytes] | None = None) -> None:
        self._fd, self._answer = at.fileno(), answer
        # Guards what was seen and is to be typed; told of every change.
        self._change = threading.Condition()
        self._seen = bytearray(at.unread())
        self._to_type = bytearray(answer(bytes(self._seen)) if answer else b"")
        self._leaving = False
        self._bell, self._ear = socket.socketpair()
        os.set_blocking(self._fd, False)
        self._thread = threading.Thread(target=self._run, name="terminal<->person", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._leaving:
            with self._change:
                waiting = bool(self._to_type)
            ear, fd = self._ear.fileno(), self._fd
            readable, writable, _ = select.select([fd, ear], [fd] if waiting else [], [])
            if ear in readable:
                self._ear.recv(_PIECE_BYTES)
            try:
                if fd in readable:
                    self._look()
                if writable:
                    self._press()
            except OSError:  # the terminal was hung up
                return

    def _look(self) -> None:
        piece = os.read(self._fd, _PIECE_BYTES)
        with self._change:
            self._seen += piece
            if self._answer is not None:
                self._to_type += self._answer(piece)
            self._change.notify_all()

    def _press(self) -> None:
        with self._change, contextlib.suppress(BlockingIOError):
            del self._to_type[: os.write(self._fd, self._to_type[:_PIECE_BYTES])]
            self._change.notify_all()

    # -- types -------------------------------------------------------------------------------

    def type(self, data: bytes) -> None:
        """Type, as fast as the terminal takes it; not waited for."""
        with self._change:
            self._to_type += data
        self._bell.send(b"!")

    def until_typed(self, timeout_seconds: float = BULK_SECONDS) -> None:
        """Until the terminal has taken everything."""
        self.until(lambda _: not self._to_type, timeout_seconds)

    # -- sees --------------------------------------------------------------------------------

    @property
    def seen(self) -> bytes:
        with self._change:
            return bytes(self._seen)

    def until(self, happened: Callable[[bytearray], bool], timeout_seconds: float = STEP_SECONDS) -> None:
        """Until this holds of what was seen; looked at whenever something new is shown."""
        with self._change:
            came = self._change.wait_for(lambda: happened(self._seen), timeout_seconds)
            assert came, f"not within {timeout_seconds:g} s, and seen is {bytes(self._seen[-300:])!r}"

    def until_seen(self, text: bytes, timeout_seconds: float = STEP_SECONDS) -> bytes:
        """All that was seen, as far as and with `text`."""
        since = 0

        def found(seen: bytearray) -> bool:
            nonlocal since
            at = seen.find(text, since)
            since = max(0, len(seen) - len(text)) if at < 0 else at
            return at >= 0

        self.until(found, timeout_seconds)
        return self.seen[: since + len(text)]

    def until_like(self, output: bytes, history: bool = False, timeout_seconds: float = BULK_SECONDS) -> None:
        """Until this terminal is like one that was given `output`."""
        wanted, said, fed = picture(output, history), "nothing was shown", 0
        with contextlib.closing(terminal()) as model:
            while piece := self._more(fed, timeout_seconds):
                model.feed(piece)
                fed += len(piece)
                said = difference(wanted, picture_of(model.state(), history))
                if not said:
                    return
        raise AssertionError(f"after {timeout_seconds:g} s without anything new: {said}")

    def _more(self, since: int, timeout_seconds: float) -> bytes:
        """What was seen from `since` on, once there is something."""
        with self._change:
            self._change.wait_for(lambda: len(self._seen) > since, timeout_seconds)
            return bytes(self._seen[since:])

    def leave(self) -> None:
        """Look and type no more. Twice is quiet."""
        if not self._leaving:
            self._leaving = True
            self._bell.send(b"!")
            self._thread.join(STEP_SECONDS)
            self._bell.close()
            self._ear.close()
            os.set_blocking(self._fd, True)
