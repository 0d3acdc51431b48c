"""Who gets which bytes next, who is skipped ahead, and when the program has to wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.errors import RemoteProtocolError
from cmdop.limits import DATA_MAX_BYTES, KIB, MIB, RING_BYTES, RING_MAX_BYTES
from cmdop.session.broadcast import (
    BACKLOG_BYTES,
    BLOCKED_SECONDS,
    HELD_BYTES,
    LAG_MAX_BYTES,
    Broadcast,
    Bytes,
    Drawing,
    View,
)

ENOUGH = 2**62


@pytest.fixture
def broadcast() -> Broadcast:
    return Broadcast()


def watching(broadcast: Broadcast, window_bytes: int = ENOUGH, paces: bool = True) -> View:
    """One that joins and wants to see nothing of what was before."""
    view = View(window_bytes, paces)
    broadcast.join(view, drawn=False)
    return view


def sent(broadcast: Broadcast, view: View, views: list[View] | None = None, now: float = 0.0) -> bytes:
    """All that a client gets now; it has to be output."""
    got = b""
    while (step := broadcast.next(view, views or [view], now)) is not None:
        assert isinstance(step, Bytes)
        assert step.offset + len(step.data) == view.cursor
        got += step.data
    return got


# -- coming ------------------------------------------------------------------------------


def test_for_whom_a_session_is_opened_all_output_is_live(broadcast: Broadcast) -> None:
    broadcast.ring.append(b"prompt")
    view = View(ENOUGH)
    broadcast.begin(view)
    assert sent(broadcast, view) == b"prompt"


def test_one_that_joins_is_drawn_what_was_and_gets_what_comes(broadcast: Broadcast) -> None:
    broadcast.ring.append(b"before")
    view = View(ENOUGH)
    broadcast.join(view, drawn=True)
    broadcast.ring.append(b"meanwhile")
    assert broadcast.next(view, [view], 0.0) is Drawing.JOIN
    broadcast.ring.append(b"after")
    assert sent(broadcast, view) == b"after"


def test_one_that_wants_no_replay_gets_only_what_comes(broadcast: Broadcast) -> None:
    broadcast.ring.append(b"before")
    view = watching(broadcast)
    broadcast.ring.append(b"after")
    assert sent(broadcast, view) == b"after"


def test_one_that_comes_back_goes_on_where_it_was(broadcast: Broadcast) -> None:
    broadcast.ring.append(b"0123456789")
    view = View(ENOUGH)
    broadcast.resume(view, 4, redraw=False, whole=False)
    assert sent(broadcast, view) == b"456789"


@pytest.mark.parametrize(("offset", "whole"), [(10, True), (4, False)])
def test_one_that_has_no_screen_or_whose_bytes_are_gone_is_drawn_anew_at_once(
    broadcast: Broadcast, offset: int, whole: bool
) -> None:
    broadcast.ring.append(bytes(RING_BYTES + 5))
    view = View(ENOUGH)
    broadcast.resume(view, offset, redraw=True, whole=whole)
    assert broadcast.next(view, [view], 0.0) is Drawing.SKIP
    assert view.cursor == RING_BYTES + 5


def test_one_whose_screen_is_spoilt_gets_what_it_missed_before_it_is_drawn_anew(broadcast: Broadcast) -> None:
    broadcast.ring.append(b"0123456789")
    view = View(ENOUGH)
    broadcast.resume(view, 4, redraw=True, whole=False)
    assert broadcast.next(view, [view], 0.0) == (4, b"456789")
    assert broadcast.next(view, [view], 0.0) is Drawing.SKIP
    assert broadcast.next(view, [view], 0.0) is None


def test_nobody_has_received_what_there_never_was(broadcast: Broadcast) -> None:
    broadcast.ring.append(b"12345")
    with pytest.raises(RemoteProtocolError, match="a resume at 6"):
        broadcast.resume(View(ENOUGH), 6, redraw=True, whole=True)


# -- credit ------------------------------------------------------------------------------


@given(
    window=st.integers(0, 50),
    steps=st.lists(st.one_of(st.binary(max_size=60), st.integers(0, 400)), max_size=40),
)
def test_every_byte_comes_once_in_order_and_none_beyond_the_credit(window: int, steps: list[bytes | int]) -> None:
    broadcast, output, got = Broadcast(), b"", b""
    view = watching(broadcast, window)
    limit = window
    for step in steps:
        if isinstance(step, bytes):
            broadcast.ring.append(step)
            output += step
        else:
            broadcast.granted(view, step, 0.0)
            limit = max(limit, step)
        got += sent(broadcast, view)
        assert got == output[: min(limit, len(output))]


def test_one_record_holds_no_more_than_a_message_does(broadcast: Broadcast) -> None:
    view = watching(broadcast)
    broadcast.ring.append(bytes(3 * DATA_MAX_BYTES))
    step = broadcast.next(view, [view], 0.0)
    assert isinstance(step, Bytes)
    assert len(step.data) == DATA_MAX_BYTES


def test_a_skip_brings_the_credit_of_its_window(broadcast: Broadcast) -> None:
    view = watching(broadcast, window_bytes=10)
    broadcast.ring.append(bytes(BACKLOG_BYTES + 100))
    sent(broadcast, view)
    broadcast.flushed([view], 0.0)
    assert broadcast.next(view, [view], 0.0) is Drawing.SKIP
    broadcast.ring.append(b"0123456789ABC")
    assert sent(broadcast, view) == b"0123456789"


def test_the_ring_grows_with_what_may_be_under_way_and_not_without_end(broadcast: Broadcast) -> None:
    view = watching(broadcast)
    broadcast.ring.append(bytes(2 * MIB))
    broadcast.granted(view, ENOUGH + 1, 0.0)
    assert broadcast.ring.capacity == RING_MAX_BYTES
    other = watching(broadcast, window_bytes=0)
    broadcast.granted(other, broadcast.ring.head + 2 * MIB, 0.0)
    assert broadcast.ring.capacity == RING_MAX_BYTES, "it does not shrink"


def test_what_the_ring_forgot_before_it_grew_stays_forgotten(broadcast: Broadcast) -> None:
    view = watching(broadcast, window_bytes=0)
    broadcast.ring.append(bytes(2 * MIB))
    broadcast.granted(view, 8 * MIB, 0.0)
    assert broadcast.ring.tail == 2 * MIB - RING_BYTES
    assert broadcast.next(view, [view], 0.0) is Drawing.SKIP


# -- skipping ----------------------------------------------------------------------------


def test_a_flush_in_the_kernel_skips_who_has_much_to_show(broadcast: Broadcast) -> None:
    near, far = watching(broadcast), watching(broadcast, window_bytes=0)
    broadcast.ring.append(bytes(BACKLOG_BYTES + 1))
    sent(broadcast, near, [near, far])
    broadcast.flushed([near, far], 100.0)
    assert (near.due, far.due) == (None, Drawing.SKIP)


def test_a_small_backlog_is_no_reason_to_skip_but_one_behind_used_up_credit_is(broadcast: Broadcast) -> None:
    view = watching(broadcast, window_bytes=0)
    broadcast.ring.append(bytes(BACKLOG_BYTES))
    broadcast.flushed([view], 10.0)
    assert view.due is None
    assert sent(broadcast, view, now=10.0) == b"", "it has no credit"
    broadcast.flushed([view], 10.0 + BLOCKED_SECONDS)
    assert view.due is None
    broadcast.flushed([view], 10.0 + BLOCKED_SECONDS / 2)
    assert view.due is Drawing.SKIP


def test_who_was_skipped_is_not_skipped_again_before_it_shows_something(broadcast: Broadcast) -> None:
    view = watching(broadcast, window_bytes=0)
    for _ in range(2):
        broadcast.ring.append(bytes(2 * BACKLOG_BYTES))
        broadcast.flushed([view], 0.0)
    assert broadcast.next(view, [view], 0.0) is Drawing.SKIP
    broadcast.ring.append(bytes(2 * BACKLOG_BYTES))
    broadcast.flushed([view], 0.0)
    assert view.due is None
    broadcast.granted(view, view.cursor + 1, 0.0)
    broadcast.flushed([view], 0.0)
    assert view.due is Drawing.SKIP


def test_who_was_drawn_anew_behind_all_of_its_output_may_still_have_to_be_skipped(broadcast: Broadcast) -> None:
    broadcast.ring.append(b"0123456789")
    view = View(0)
    broadcast.resume(view, 10, redraw=True, whole=False)
    assert broadcast.next(view, [view], 0.0) is Drawing.SKIP
    broadcast.ring.append(bytes(2 * BACKLOG_BYTES))
    broadcast.flushed([view], 0.0)
    assert view.due is Drawing.SKIP


def test_one_that_is_far_behind_is_skipped_once_it_takes_more_and_others_are_current(broadcast: Broadcast) -> None:
    slow, fast = watching(broadcast, window_bytes=0), watching(broadcast)
    broadcast.ring.append(bytes(LAG_MAX_BYTES + 1))
    assert sent(broadcast, slow, [slow, fast]) == b"", "without credit it is left alone"
    broadcast.granted(slow, 10, 0.0)
    sent(broadcast, fast, [slow, fast])
    assert broadcast.next(slow, [slow, fast], 0.0) is Drawing.SKIP


def test_one_that_is_far_behind_gets_every_byte_while_nobody_is_current(broadcast: Broadcast) -> None:
    slow, other = watching(broadcast, window_bytes=0), watching(broadcast, window_bytes=0)
    broadcast.ring.append(bytes(LAG_MAX_BYTES + 1))
    broadcast.granted(slow, 10, 0.0)
    assert len(sent(broadcast, slow, [slow, other])) == 10


def test_one_whose_bytes_are_gone_is_skipped(broadcast: Broadcast) -> None:
    view = watching(broadcast, window_bytes=0)
    broadcast.ring.append(bytes(RING_BYTES + 1))
    broadcast.granted(view, 10, 0.0)
    assert broadcast.next(view, [view], 0.0) is Drawing.SKIP


# -- the program -------------------------------------------------------------------------


def test_the_program_waits_for_clients_without_credit_and_for_one_with_it_it_does_not(broadcast: Broadcast) -> None:
    view = watching(broadcast, window_bytes=10)
    assert broadcast.may_read([view], None, 0.0)
    broadcast.ring.append(bytes(10))
    assert not broadcast.may_read([view], None, 0.0)
    assert broadcast.may_read([view, watching(broadcast)], None, 0.0)


def test_the_program_waits_for_one_whose_connection_does_not_take_what_it_has_credit_for(broadcast: Broadcast) -> None:
    view = watching(broadcast)
    broadcast.ring.append(bytes(LAG_MAX_BYTES))
    assert not broadcast.may_read([view], None, 0.0)


def test_observers_hold_nothing_up(broadcast: Broadcast) -> None:
    assert broadcast.may_read([watching(broadcast, window_bytes=0, paces=False)], None, 0.0)
    operator, observer = watching(broadcast, window_bytes=0), watching(broadcast, paces=False)
    assert not broadcast.may_read([operator, observer], None, 0.0), "nor do they let it run away from who types"


def test_with_nobody_there_the_program_goes_on_unless_one_vanished_just_now(broadcast: Broadcast) -> None:
    assert broadcast.may_read([], None, 0.0)
    broadcast.ring.append(bytes(KIB))
    assert broadcast.may_read([], KIB, 0.0)
    broadcast.ring.append(bytes(HELD_BYTES))
    assert not broadcast.may_read([], KIB, 0.0)
    assert broadcast.may_read([], None, 0.0)
