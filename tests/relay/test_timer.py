"""The thread that looks for silence: it wakes in time, and for the one that was added."""

from __future__ import annotations

import logging
import queue
import threading

import pytest

from cmdop.limits import HELLO_TIMEOUT_SECONDS, LINK_DEAD_SECONDS, PING_INTERVAL_SECONDS
from cmdop.relay.pulse import Verdict
from cmdop.relay.timer import PulseTimer


class Line:
    """A connection that is never heard."""

    heard = 0.0
    greeted = True


class Ahead:
    """A clock on which it is 0 for the test, and for the timer's thread what the test says."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return 0.0 if threading.current_thread() is threading.main_thread() else self.now


def test_silence_is_acted_on_and_the_timer_ends_at_once() -> None:
    acts: queue.SimpleQueue[tuple[Line, Verdict]] = queue.SimpleQueue()
    clock = Ahead(PING_INTERVAL_SECONDS)

    def act(line: Line, verdict: Verdict) -> None:
        clock.now = LINK_DEAD_SECONDS
        acts.put((line, verdict))

    timer = PulseTimer(act, clock)
    line = Line()
    timer.watch(line)
    assert acts.get(timeout=10) == (line, Verdict.PING)
    assert acts.get(timeout=10) == (line, Verdict.DEAD)
    timer.unwatch(line)
    timer.close()
    timer.close()


def test_a_mistake_with_one_connection_does_not_stop_the_watch(caplog: pytest.LogCaptureFixture) -> None:
    acts: queue.SimpleQueue[Line] = queue.SimpleQueue()

    def act(line: Line, _verdict: Verdict) -> None:
        acts.put(line)
        raise ZeroDivisionError

    first, second = Line(), Line()
    first.greeted = second.greeted = False
    with caplog.at_level(logging.ERROR):
        timer = PulseTimer(act, Ahead(HELLO_TIMEOUT_SECONDS))
        timer.watch(first)
        acts.get(timeout=10)
        timer.watch(second)
        timer.close()
    assert "could not be judged" in caplog.text
