"""A limit to how long something that blocks in a connection may take.

The thread `watchdog` blocks until time is up; whoever leaves the block in time wakes it,
and ends it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cmdop.client.leg import Leg
from cmdop.errors import ConnectionClosed, TimedOut
from cmdop.transport.connection import Connection


@contextmanager
def watchdog(connection: Connection, what: str, seconds: float, leg: Leg = Leg.YOU_RELAY) -> Iterator[None]:
    """Close the connection when the block takes too long. Raises TimedOut then."""
    barked = threading.Event()

    def bark() -> None:
        barked.set()  # before the closing, which wakes who asks for it
        connection.close("too slow")

    timer = threading.Timer(seconds, bark)
    timer.name = "watchdog"
    timer.daemon = True
    timer.start()
    try:
        yield
    except ConnectionClosed as error:
        if barked.is_set():
            raise TimedOut(what=what, seconds=seconds, leg=leg) from error
        raise
    finally:
        timer.cancel()
