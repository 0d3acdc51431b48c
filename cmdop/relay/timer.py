"""The one thread that looks for silence on all connections of a relay."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from cmdop.relay.pulse import Pulse, Verdict, Watched

W = TypeVar("W", bound=Watched)
_LOG = logging.getLogger(__name__)


class PulseTimer(Generic[W]):
    """Calls `act` with each verdict of a `Pulse`, on a thread named `silence->peers`.

    That thread waits for the next moment that is due, or to be told of an earlier one
    or of `close`. `act` must not block.
    """

    def __init__(self, act: Callable[[W, Verdict], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._act, self._clock = act, clock
        # Guards the pulse and `_closed`; told when there is an earlier moment, and of the end.
        self._change = threading.Condition()
        self._pulse: Pulse[W] = Pulse()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="silence->peers", daemon=True)
        self._thread.start()

    def watch(self, connection: W) -> None:
        """Look for silence on a connection from now on."""
        with self._change:
            before = self._pulse.next_due
            self._pulse.add(connection, self._clock())
            if before is None or self._pulse.next_due != before:
                self._change.notify()

    def unwatch(self, connection: W) -> None:
        """Look no more. One that is not watched is nothing."""
        with self._change:
            self._pulse.remove(connection)

    def close(self) -> None:
        """End the thread. Twice is quiet."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join()

    def _run(self) -> None:
        while (verdicts := self._next_verdicts()) is not None:
            for connection, verdict in verdicts:
                try:
                    self._act(connection, verdict)
                except Exception:  # noqa: BLE001 - the watchman of all must not die of one
                    _LOG.exception("%s could not be judged", connection)

    def _next_verdicts(self) -> list[tuple[W, Verdict]] | None:
        with self._change:
            while not self._closed:
                verdicts = self._pulse.due(self._clock())
                if verdicts:
                    return verdicts
                due = self._pulse.next_due
                self._change.wait(None if due is None else max(0.0, due - self._clock()))
            return None
