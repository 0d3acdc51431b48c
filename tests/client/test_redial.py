"""The way to the next connection: tried at once and then again, given up for good reasons, never waited for."""

from __future__ import annotations

import queue
import random
import select
import time

import pytest

from cmdop.client.bell import Bell
from cmdop.client.connect import Joined, Place
from cmdop.client.events import LinkDown
from cmdop.client.leg import Leg
from cmdop.client.outage import Outage
from cmdop.client.redial import Redial
from cmdop.errors import CmdopError, MachineOffline, RelayUnreachable, SessionGone
from cmdop.transport.backoff import Backoff
from cmdop.winsize import DEFAULT_WINSIZE
from tests.client.attached import MACHINE, WaysBack
from tests.client.far_end import READY, TIMEOUT_SECONDS, FarEnd

UNREACHABLE = RelayUnreachable(server="ws://relay", reason="no such host")


class Waits(Backoff):
    """Backoff that remembers, and waits only as long as the test says."""

    def __init__(self, *seconds: float) -> None:
        super().__init__(random.Random(1))
        self.real: list[float] = []
        self._seconds = list(seconds)

    def next_seconds(self) -> float:
        self.real.append(super().next_seconds())
        return self._seconds.pop(0) if self._seconds else 0.0


class Redialling:
    """A redial, the ways back, and what comes of it."""

    def __init__(self, *seconds: float) -> None:
        self.ways, self.waits = WaysBack(), Waits(*seconds)
        self.errors: queue.SimpleQueue[CmdopError] = queue.SimpleQueue()
        self.old = FarEnd()
        self.before = Joined(self.old.stream, READY, MACHINE)
        self.redial = Redial(self._place, lambda place: self.ways(self.before, place), self.errors.put, self.waits)
        self.outage = Outage(time.monotonic(), Leg.YOU_RELAY, 30.0)

    def _place(self, spoilt: bool) -> Place:
        return Place(0, 0, 0, spoilt, False, DEFAULT_WINSIZE)

    def lose(self, held: bool = True) -> None:
        self.outage = Outage(time.monotonic(), Leg.YOU_RELAY, 30.0)
        self.redial.lost(self.outage, self.before, held)

    def until_rung(self) -> None:
        assert select.select([self.redial.bell], [], [], TIMEOUT_SECONDS)[0]


def test_a_new_connection_rings_and_is_taken_once() -> None:
    redialling = Redialling()
    assert redialling.redial.take() is None
    redialling.lose()
    far = FarEnd()
    redialling.ways.leads_to(far)
    redialling.until_rung()
    fresh = redialling.redial.take()
    assert fresh is not None
    assert fresh.joined.stream is far.stream
    assert redialling.redial.take() is None
    assert redialling.redial.due_in_seconds() is None
    redialling.old.until(lambda far: bool(far.end))


def test_the_first_try_is_at_once_and_the_next_ones_wait_longer_and_longer() -> None:
    redialling = Redialling()
    redialling.lose()
    for _ in range(8):
        redialling.ways.fails(UNREACHABLE)
    redialling.ways.leads_to(FarEnd())
    redialling.until_rung()
    real = redialling.waits.real
    assert real[0] == 0.0
    assert all(0 < wait <= 10.0 for wait in real[1:])
    assert real[-1] > 4 * real[1]


def test_a_connection_that_was_of_no_use_is_not_dialled_again_at_once() -> None:
    redialling = Redialling()
    for held in (True, False, True):
        redialling.lose(held)
        redialling.ways.leads_to(FarEnd())
        redialling.until_rung()
        assert redialling.redial.take() is not None
    assert [wait > 0 for wait in redialling.waits.real] == [False, True, False]


def test_the_user_is_told_the_leg_that_failed_last() -> None:
    redialling = Redialling(0.0, 1e6)
    redialling.lose()
    redialling.ways.fails(MachineOffline(name="prod", last_heard="now"))
    redialling.old.until(lambda far: bool(far.end))  # behind the try
    redialling.outage._tell_at = 0.0
    told = redialling.redial.due()
    assert isinstance(told, LinkDown)
    assert told.leg == Leg.RELAY_MACHINE
    redialling.redial.stop()


def test_what_another_try_does_not_help_against_is_told_and_ends_it() -> None:
    redialling = Redialling()
    redialling.lose()
    gone = SessionGone(session="abcd", what="")
    redialling.ways.fails(gone)
    assert redialling.errors.get(timeout=TIMEOUT_SECONDS) is gone
    redialling.redial.stop()


@pytest.mark.parametrize("state", ["waiting", "dialling"])
def test_stopping_waits_for_nothing(state: str) -> None:
    redialling = Redialling(*([1e6] if state == "waiting" else []))
    redialling.lose()
    if state == "dialling":
        redialling.ways.until_dialled()
    began = time.monotonic()
    redialling.redial.stop()
    redialling.redial.stop()
    assert time.monotonic() - began < 1.0
    late = FarEnd()
    redialling.ways.leads_to(late)
    if state == "dialling":
        late.until(lambda far: bool(far.end))
    assert redialling.redial.take() is None


def test_a_connection_that_nobody_took_is_closed_by_stopping() -> None:
    redialling = Redialling()
    redialling.lose()
    far = FarEnd()
    redialling.ways.leads_to(far)
    redialling.until_rung()
    redialling.redial.stop()
    far.until(lambda far: bool(far.end))
    assert redialling.redial.take() is None


def test_after_stopping_nothing_is_dialled() -> None:
    redialling = Redialling()
    redialling.redial.stop()
    redialling.lose()
    assert redialling.ways.places == []
    assert redialling.redial.due_in_seconds() is None


def test_hurrying_ends_the_wait_for_the_next_try() -> None:
    redialling = Redialling(0.0, 1e6)
    redialling.lose()
    redialling.ways.fails(UNREACHABLE)
    redialling.old.until(lambda far: bool(far.end))
    redialling.redial.hurry()
    redialling.ways.until_dialled(2)
    redialling.redial.stop()
    redialling.ways.fails(UNREACHABLE)


def test_a_connection_that_was_promised_an_unspoilt_screen_is_not_taken_once_the_user_was_told() -> None:
    redialling = Redialling()
    redialling.lose()
    assert not redialling.ways.until_dialled().redraw
    redialling.outage._tell_at = 0.0
    assert isinstance(redialling.redial.due(), LinkDown)
    stale, fresh = FarEnd(), FarEnd()
    redialling.ways.leads_to(stale)
    stale.until(lambda far: bool(far.end))
    assert redialling.ways.until_dialled(2).redraw
    redialling.ways.leads_to(fresh)
    redialling.until_rung()
    taken = redialling.redial.take()
    assert taken is not None
    assert taken.place.redraw


def rings(bell: Bell) -> bool:
    return bool(select.select([bell], [], [], 0)[0])


@pytest.mark.parametrize("times", [1, 100_000])
def test_a_bell_rings_until_it_is_silenced_however_often_it_was_rung(times: int) -> None:
    bell = Bell()
    assert not rings(bell)
    for _ in range(times):
        bell.ring()
    assert rings(bell)
    while rings(bell):
        bell.silence()
    bell.ring()
    assert rings(bell)
    bell.close()
    bell.ring()
