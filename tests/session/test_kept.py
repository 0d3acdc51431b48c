"""A session that goes on in another process decides as it would have done here."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.errors import TakenOver
from cmdop.limits import GRACE_SECONDS, HOLD_SECONDS, PASTE_STALL_SECONDS, RING_BYTES
from cmdop.session.broadcast import Bytes, View
from cmdop.session.core import Member, Resume, SessionCore
from cmdop.session.kept import core_from, kept_core
from cmdop.winsize import Winsize

START, END = b"\x1b[200~", b"\x1b[201~"
HERE, THERE = 1000.0, 5.0
"""Two processes need not have one clock."""


def member(client_id: str, observer: bool = False) -> Member:
    return Member(client_id, "alice", observer, Winsize(24, 80 + len(client_id)), View(2**40))


def renewed(core: SessionCore[Any], now: float = HERE) -> SessionCore[Any]:
    state, blobs = kept_core(core, now)
    return core_from(json.loads(json.dumps(state)), blobs, THERE)


def back(core: SessionCore[Any], client_id: str, output: int, typed: int) -> Member:
    who = member(client_id)
    core.attach(who, created=False, resume=Resume(output, typed), drawn=True, now=THERE)
    return who


@pytest.fixture
def core() -> SessionCore[Any]:
    return SessionCore(HERE)


def test_a_client_gets_what_it_has_not_got_yet(core: SessionCore[Any]) -> None:
    core.output.ring.append(b"0123456789")
    there = renewed(core)
    who = back(there, "a", output=4, typed=0)
    assert there.next(who, THERE) == Bytes(4, b"456789")


def test_a_ring_that_has_grown_is_kept_whole(core: SessionCore[Any]) -> None:
    core.output.ring.grow(3 * RING_BYTES)
    core.output.ring.append(bytes(5) + b"x" * 2 * RING_BYTES)
    there = renewed(core)
    assert (there.output.ring.head, there.output.ring.tail) == (2 * RING_BYTES + 5, 0)
    assert there.output.ring.read(5, 10) == b"x" * 10


def test_what_was_typed_is_typed_once_and_in_order(core: SessionCore[Any]) -> None:
    first, second = member("a"), member("b")
    for who in (first, second):
        core.attach(who, created=False, resume=None, drawn=False, now=HERE)
    core.type(first, 0, b"one ", HERE)
    core.type(second, 0, b"two ", HERE)
    core.type(first, 4, b"three", HERE)
    core.keyboard.took(2, HERE)
    for who in (first, second):
        core.detach(who, HERE, left=False)
    there = renewed(core)
    assert [data for _, data in there.keyboard.pending()] == [b"e ", b"two ", b"three"]
    again = back(there, "a", output=0, typed=0)
    assert (again.typist.typed.taken, again.typist.typed.received) == (2, 9)
    there.type(again, 2, b"e three four", THERE)
    assert b"".join(data for _, data in there.keyboard.pending()) == b"e two three four"
    assert not there.knows("nobody")


def test_a_paste_goes_on_as_one(core: SessionCore[Any]) -> None:
    who = member("a")
    core.attach(who, created=False, resume=None, drawn=False, now=HERE)
    core.type(who, 0, START[:4], HERE)
    core.detach(who, HERE, left=False)
    there = renewed(core)
    again = back(there, "a", output=0, typed=0)
    there.type(again, 4, START[4:] + b"text", THERE)
    assert again.typist.pastes.open


def test_nobody_types_into_a_paste_that_is_not_whole_there(core: SessionCore[Any]) -> None:
    first, second, third = member("a"), member("b"), member("c")
    for who in (first, second, third):
        core.attach(who, created=False, resume=None, drawn=False, now=HERE)
    core.type(first, 0, START + b"one", HERE)
    core.type(second, 0, START + b"two", HERE)
    core.type(third, 0, b"key", HERE)
    for who in (first, second, third):
        core.detach(who, HERE, left=False)
    there = renewed(core)
    again = back(there, "b", output=0, typed=9)
    there.type(again, 9, b"more" + END, THERE)
    again = back(there, "a", output=0, typed=9)
    there.type(again, 9, b"more" + END, THERE)
    wanted = START + b"onemore" + END + START + b"twomore" + END + b"key"
    assert b"".join(data for _, data in there.keyboard.pending()) == wanted


def test_a_paste_that_is_not_gone_on_with_there_holds_nobody_up_for_long(core: SessionCore[Any]) -> None:
    first, second = member("a"), member("b")
    for who in (first, second):
        core.attach(who, created=False, resume=None, drawn=False, now=HERE)
    core.type(first, 0, START, HERE)
    core.type(second, 0, b"key", HERE)
    core.keyboard.took(len(START), HERE)
    for who in (first, second):
        core.detach(who, HERE, left=False)
    there = renewed(core)
    assert there.keyboard.stall_due_in_seconds(THERE) == HOLD_SECONDS, "it has to come first"
    back(there, "a", output=0, typed=6)
    assert there.keyboard.stall_due_in_seconds(THERE) == PASTE_STALL_SECONDS
    there.move_on(THERE + PASTE_STALL_SECONDS)
    assert there.keyboard.next_bytes == b"key"


@pytest.mark.parametrize("used", [0.0, 10.0, GRACE_SECONDS + 1])
def test_the_grace_goes_on_where_it_was_once_there_is_a_relay(core: SessionCore[Any], used: float) -> None:
    there = renewed(core, HERE + used)
    assert there.grace.due_in_seconds(THERE + 1000) is None, "it has no relay yet"
    there.grace.relay_is(True, THERE + 1000)
    assert there.grace.due_in_seconds(THERE + 1000) == max(0.0, GRACE_SECONDS - used)


def test_a_session_that_was_made_to_last_longer_does(core: SessionCore[Any]) -> None:
    core = SessionCore(HERE, kept_seconds=1800.0)
    there = renewed(core)
    there.grace.clients_are(1, THERE)
    there.grace.clients_are(0, THERE)
    there.grace.relay_is(True, THERE)
    assert there.grace.due_in_seconds(THERE) == 1800.0


def test_the_program_goes_on_waiting_for_a_client_that_vanished(core: SessionCore[Any]) -> None:
    who = member("a")
    core.attach(who, created=False, resume=None, drawn=False, now=HERE)
    core.output.ring.append(b"12345")
    core.detach(who, HERE, left=False)
    there = renewed(core, HERE + 4)
    assert there.hold_due_in_seconds(THERE) == HOLD_SECONDS - 4
    assert there.held is not None
    assert there.held.head == 5
    back(there, "a", output=5, typed=0)
    assert there.held is None


def test_one_that_was_sent_away_stays_away(core: SessionCore[Any]) -> None:
    who = member("a")
    core.attach(who, created=False, resume=None, drawn=False, now=HERE)
    core.send_away(who, "bob", HERE)
    with pytest.raises(TakenOver, match="bob"):
        back(renewed(core), "a", output=0, typed=0)


steps = st.one_of(
    st.tuples(st.just("print"), st.integers(1, 50)),
    st.tuples(st.just("attach"), st.integers(0, 2)),
    st.tuples(st.just("detach"), st.integers(0, 2)),
    st.tuples(st.just("type"), st.integers(0, 2)),
    st.tuples(st.just("took"), st.integers(1, 5)),
)


@given(steps=st.lists(steps, max_size=40))
def test_after_any_past_the_same_client_is_told_the_same(steps: list[tuple[str, int]]) -> None:
    core: SessionCore[Any] = SessionCore(HERE)
    typed = [0, 0, 0]
    for step, number in steps:
        who = core.members.get(str(number))
        if step == "print":
            core.output.ring.append(b"x" * number)
        elif step == "attach" and who is None:
            resume = Resume(0, typed[number]) if core.knows(str(number)) else None
            core.attach(member(str(number)), created=False, resume=resume, drawn=False, now=HERE)
        elif step == "detach" and who is not None:
            core.detach(who, HERE, left=False)
        elif step == "type" and who is not None:
            core.type(who, typed[number], b"xy", HERE)
            typed[number] += 2
        elif step == "took" and core.keyboard.next_bytes:
            core.keyboard.took(min(number, len(core.keyboard.next_bytes)), HERE)
    for who in list(core.members.values()):
        core.detach(who, HERE, left=False)
    there = renewed(core)
    assert [(t.client_id, d) for t, d in there.keyboard.pending()] == [
        (t.client_id, d) for t, d in core.keyboard.pending()
    ]
    assert there.winsize == core.winsize
    for client_id in ("0", "1", "2"):
        assert there.knows(client_id) == core.knows(client_id)
        assert there.asked(client_id, 0) == core.asked(client_id, 0)
        if core.knows(client_id):
            offset = core.output.ring.tail
            here = back(core, client_id, offset, 0)
            other = back(there, client_id, offset, 0)
            assert other.typist.typed.taken == here.typist.typed.taken
            assert other.typist.typed.received == here.typist.typed.received
            assert there.next(other, THERE) == core.next(here, HERE)
            assert there.answerer == core.answerer
