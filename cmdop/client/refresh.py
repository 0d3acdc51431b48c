"""The machines of a workspace, fetched again and again while somebody looks at them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from cmdop.client.link import RelayLink
from cmdop.errors import CmdopError, ConnectionClosed
from cmdop.limits import REFRESH_INTERVAL_SECONDS
from cmdop.wire.relay_messages import ListMachines, MachineRecord, Machines

_JOIN_SECONDS = 0.2
"""A thread that dials is not waited for any longer: what it opens it closes."""


class News(NamedTuple):
    """What the last fetch brought: the machines, or why there are none."""

    machines: Sequence[MachineRecord] = ()
    error: CmdopError | None = None


class Refresh:
    """Fetches until `close`, which its owner owes it; `reach` is asked for new connections.

    The thread `relay->picker` does it. It blocks on the relay, on which `close` closes the
    connection, or waits for the next time, which `close` ends. `tell` is called on it
    after each fetch; whoever is told takes the news.
    """

    def __init__(
        self,
        reach: Callable[[], RelayLink],
        link: RelayLink | None,
        tell: Callable[[], None],
        interval_seconds: float = REFRESH_INTERVAL_SECONDS,
    ) -> None:
        """With a `link`, which is its own from now on, the first fetch is in an interval; without, at once."""
        self._reach, self._tell, self._interval_seconds = reach, tell, interval_seconds
        # Guards the link and the news, and that no link comes after the closing.
        self._lock = threading.Lock()
        self._link = link
        self._news: News | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay->picker", daemon=True)
        self._thread.start()

    def take(self) -> News | None:
        """What is new since the last time, or None."""
        with self._lock:
            news, self._news = self._news, None
        return news

    def close(self) -> None:
        """Twice is quiet."""
        with self._lock:
            self._closed.set()
            link, self._link = self._link, None
        if link is not None:
            link.close()
        self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        wait_seconds = 0.0 if self._link is None else self._interval_seconds
        while not self._closed.wait(wait_seconds):
            wait_seconds = self._interval_seconds
            news = self._fetch()
            with self._lock:
                self._news = news
            self._tell()

    def _fetch(self) -> News:
        try:
            with self._lock:
                link = self._link
            if link is not None:
                with suppress(CmdopError):
                    return News(link.ask(ListMachines(), Machines).machines)
                self._forget(link)
            return News(self._connected().machines())
        except CmdopError as error:
            return News(error=error)

    def _connected(self) -> RelayLink:
        """A new connection, kept for the next time. Raises what reaching the relay raises."""
        if self._closed.is_set():
            raise ConnectionClosed(reason="nobody looks any more")
        link = self._reach()
        with self._lock:
            if not self._closed.is_set():
                self._link = link
                return link
        link.close()
        raise ConnectionClosed(reason="nobody looks any more")

    def _forget(self, link: RelayLink) -> None:
        with self._lock:
            self._link = None
        link.close()
