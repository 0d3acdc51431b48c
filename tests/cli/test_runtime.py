"""How a process that stays is stopped."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from cmdop.cli.runtime import stop_on_signals
from tests.client.elsewhere import POSIX_ONLY, elsewhere

TIMEOUT_SECONDS = 10.0
STOPPING = [signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


@pytest.fixture
def stops() -> Iterator[queue.Queue[str]]:
    """Why we were to stop, each time; signals mean afterwards what they did before."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    stops: queue.Queue[str] = queue.Queue()
    yield stops
    os.close(signal.set_wakeup_fd(-1))
    for number, handler in before.items():
        signal.signal(number, handler)


@POSIX_ONLY
@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_stops_it_whatever_main_blocks_in(stops: queue.Queue[str], number: signal.Signals) -> None:
    stop_on_signals(stops.put)
    with elsewhere(number) as send:
        began = time.monotonic()
        threading.Timer(0.05, send).start()
        assert stops.get(timeout=TIMEOUT_SECONDS) == number.name
        assert time.monotonic() - began < TIMEOUT_SECONDS, "not only once main woke up by itself"


@POSIX_ONLY
def test_one_that_was_ignored_is_ignored(stops: queue.Queue[str]) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop_on_signals(stops.put)
    os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGTERM)
    assert stops.get(timeout=TIMEOUT_SECONDS) == "SIGTERM"
