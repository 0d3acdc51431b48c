"""A session's decisions: who may come, who answers, whose size it is, and when it ends."""

from __future__ import annotations

import pytest

from cmdop.errors import RemoteProtocolError, SessionRefused, TakenOver
from cmdop.limits import (
    ANSWER_TURNS_MAX,
    CLIENTS_PER_SESSION_MAX,
    DEPARTED_CLIENTS_MAX,
    GONE_INPUT_MAX_BYTES,
    GRACE_SECONDS,
    HOLD_SECONDS,
    INPUT_WINDOW_BYTES,
    OBSERVERS_PER_SESSION_MAX,
    OFFSET_MAX,
    PASTE_STALL_SECONDS,
)
from cmdop.session.broadcast import HELD_BYTES, Drawing, View
from cmdop.session.core import Changes, Member, Resume, SessionCore
from cmdop.winsize import Winsize

SMALL, LARGE = Winsize(24, 80), Winsize(50, 200)
Core = SessionCore[Member]


@pytest.fixture
def core() -> Core:
    return SessionCore(0.0)


def member(client_id: str, winsize: Winsize = SMALL, observer: bool = False, operator: str = "alice") -> Member:
    return Member(client_id, operator, observer, winsize, View(2**40))


def join(core: Core, who: Member, now: float = 0.0) -> Changes:
    return core.attach(who, created=False, resume=None, drawn=False, now=now)[1]


def resume(core: Core, who: Member, output: int = 0, typed: int = 0, redraw: bool = False) -> Member | None:
    return core.attach(who, created=False, resume=Resume(output, typed, redraw), drawn=True, now=0.0)[0]


# -- coming and going ------------------------------------------------------------------------


def test_a_session_has_the_clients_that_came_and_did_not_go(core: Core) -> None:
    first, second = member("a"), member("b", observer=True)
    join(core, first)
    join(core, second)
    assert [(m.client_id, m.role) for m in core.members.values()] == [("a", "operator"), ("b", "observer")]
    core.detach(first, 0.0, left=True)
    assert core.detach(first, 0.0, left=True) == Changes(), "twice is quiet"
    assert list(core.members) == ["b"]


def test_a_paste_is_in_one_piece_though_its_connection_broke(core: Core) -> None:
    first, second, again = member("a"), member("b"), member("a")
    join(core, first)
    join(core, second)
    core.type(first, 0, b"\x1b[200~one", 0.0)
    core.type(second, 0, b"key", 0.0)
    core.detach(first, 0.0, left=False)
    resume(core, again, typed=9)
    core.type(again, 9, b"two\x1b[201~", 0.0)
    assert b"".join(data for _, data in core.keyboard.pending()) == b"\x1b[200~onetwo\x1b[201~key"


def test_there_is_room_for_so_many_clients_and_always_for_one_that_is_there(core: Core) -> None:
    for number in range(CLIENTS_PER_SESSION_MAX):
        join(core, member(str(number)))
    with pytest.raises(SessionRefused, match="clients are attached"):
        join(core, member("one more"))
    assert "one more" not in core.members
    resume(core, member("0"))


def test_observers_leave_room_for_who_may_type(core: Core) -> None:
    for number in range(OBSERVERS_PER_SESSION_MAX):
        join(core, member(str(number), observer=True))
    with pytest.raises(SessionRefused, match="48 observers"):
        join(core, member("one more", observer=True))
    resume(core, member("0", observer=True))
    for number in range(CLIENTS_PER_SESSION_MAX - OBSERVERS_PER_SESSION_MAX):
        join(core, member(f"operator {number}"))


def test_a_client_that_dials_again_takes_the_place_of_its_older_connection(core: Core) -> None:
    old, new = member("a"), member("a")
    join(core, old)
    core.type(old, 0, b"typed", 0.0)
    assert resume(core, new) is old
    assert new.typist is old.typist
    assert core.detach(old, 0.0, left=False) == Changes(), "the agent hears of the old one's end late"
    assert core.members == {"a": new}


@pytest.mark.parametrize("vanished", [False, True])
def test_nobody_comes_under_the_id_of_another_operators_client(core: Core, vanished: bool) -> None:
    victim = member("a")
    join(core, victim)
    if vanished:
        core.detach(victim, 0.0, left=False)
    with pytest.raises(SessionRefused, match="somebody else"):
        resume(core, member("a", operator="mallory"))


def test_a_client_that_vanished_types_on_where_the_machine_has_it(core: Core) -> None:
    before, after = member("a"), member("a")
    join(core, before)
    core.type(before, 0, b"hello", 0.0)
    core.keyboard.took(3, 0.0)
    core.detach(before, 0.0, left=False)
    assert core.knows("a")
    assert core.expects_back
    resume(core, after)
    assert after.typist.typed.taken == 3
    core.type(after, 3, b"lo world", 0.0)
    assert [data for _, data in core.keyboard.pending()] == [b"lo world"]
    assert not core.expects_back


@pytest.mark.parametrize("left", [True, False])
def test_what_those_typed_who_are_gone_does_not_fill_the_memory(core: Core, left: bool) -> None:
    clients = GONE_INPUT_MAX_BYTES // INPUT_WINDOW_BYTES + 2
    for number in range(clients):
        who = member(str(number))
        join(core, who)
        core.type(who, 0, bytes(INPUT_WINDOW_BYTES), 0.0)
        core.detach(who, 0.0, left)
    pending = core.keyboard.pending()
    assert sum(len(data) for _, data in pending) == GONE_INPUT_MAX_BYTES
    assert pending[-1][0].client_id == str(clients - 1), "the oldest went first"


def test_one_that_vanished_and_whose_input_was_lost_types_it_again(core: Core) -> None:
    before, after = member("a"), member("a")
    join(core, before)
    core.type(before, 0, b"hello", 0.0)
    core.keyboard.took(3, 0.0)
    core.detach(before, 0.0, left=False)
    for number in range(GONE_INPUT_MAX_BYTES // INPUT_WINDOW_BYTES):
        who = member(str(number))
        join(core, who)
        core.type(who, 0, bytes(INPUT_WINDOW_BYTES), 0.0)
        core.detach(who, 0.0, left=True)
    core.keyboard.clear()
    resume(core, after)
    core.type(after, after.typist.typed.taken, b"lo", 0.0)
    assert [data for _, data in core.keyboard.pending()] == [b"lo"]


def test_the_input_of_a_client_that_is_forgotten_is_forgotten_too(core: Core) -> None:
    for number in range(DEPARTED_CLIENTS_MAX + 1):
        who = member(str(number))
        join(core, who)
        core.type(who, 0, b"x", 0.0)
        core.detach(who, 0.0, left=True)
    assert len(core.keyboard.pending()) == DEPARTED_CLIENTS_MAX


def test_one_that_left_is_not_expected_back(core: Core) -> None:
    who = member("a")
    join(core, who)
    core.detach(who, 0.0, left=True)
    assert not core.knows("a")
    assert not core.expects_back


def test_one_that_left_and_did_not_hear_that_it_was_let_go_types_nothing_twice(core: Core) -> None:
    before, after = member("a"), member("a")
    join(core, before)
    core.type(before, 0, b"hello", 0.0)
    core.keyboard.took(5, 0.0)
    core.detach(before, 0.0, left=True)
    resume(core, after)
    assert after.typist.typed.taken == 5
    core.type(after, 0, b"hello", 0.0)
    assert core.keyboard.pending() == []


def test_of_a_client_that_is_long_forgotten_it_counts_what_it_knows(core: Core) -> None:
    for number in range(DEPARTED_CLIENTS_MAX + 1):
        who = member(str(number))
        join(core, who)
        core.detach(who, 0.0, left=False)
    assert not core.knows("0")
    back = member("0")
    resume(core, back, typed=1234)
    assert back.typist.typed.taken == 1234
    huge = member("another")
    resume(core, huge, typed=2**70)
    assert huge.typist.typed.taken == OFFSET_MAX


def test_a_resume_at_what_never_was_changes_nothing(core: Core) -> None:
    with pytest.raises(RemoteProtocolError):
        resume(core, member("a"), output=1)
    assert not core.members


def test_one_that_was_sent_away_may_not_resume_and_hears_by_whom(core: Core) -> None:
    who = member("a")
    join(core, who)
    core.type(who, 0, b"typed", 0.0)
    join(core, member("b", operator="bob"))
    core.send_away(who, "bob", 0.0)
    assert not core.knows("a")
    with pytest.raises(TakenOver, match="bob"):
        resume(core, member("a"))
    assert list(core.members) == ["b"]


def test_one_that_was_sent_away_may_join_again(core: Core) -> None:
    who = member("a")
    join(core, who)
    core.send_away(who, "bob", 0.0)
    join(core, member("a"))
    resume(core, member("a"))
    assert list(core.members) == ["a"]


# -- sizes and questions -----------------------------------------------------------------------


def test_the_size_is_that_of_who_typed_last(core: Core) -> None:
    first, second = member("a", SMALL), member("b", LARGE)
    assert join(core, first).size == SMALL
    assert join(core, second).size == LARGE
    assert core.type(first, 0, b"x", 0.0).size == SMALL
    assert core.type(first, 1, b"x", 0.0) == Changes(), "it is its own already"
    assert core.resize(second, LARGE).size == LARGE
    assert core.detach(second, 0.0, left=True).size == SMALL
    assert core.winsize == SMALL


def test_an_observers_size_counts_for_nothing(core: Core) -> None:
    watcher = member("w", LARGE, observer=True)
    assert join(core, watcher) == Changes()
    assert core.resize(watcher, SMALL) == Changes()
    assert watcher.winsize == SMALL
    assert core.answerer == ""


def test_questions_are_asked_of_who_owns_the_size_at_that_moment(core: Core) -> None:
    first, second = member("a"), member("b")
    core.output.ring.append(b"0" * 10)
    assert join(core, first).answered_before == ""
    core.output.ring.append(b"1" * 10)
    assert join(core, second).answered_before == "a"
    core.output.ring.append(b"2" * 10)
    assert core.detach(second, 0.0, left=False).answered_before == "b"
    assert core.asked("a", 0) == [(0, False), (10, True), (20, False), (30, True)]
    assert core.asked("b", 15) == [(15, False), (20, True), (30, False)]
    assert core.asked("b", 30) == [(30, False)]
    assert core.asked("nobody", 0) == [(0, False)]


def test_what_was_asked_before_the_client_came_that_opened_the_session_is_its_own(core: Core) -> None:
    core.output.ring.append(b"0" * 10)
    creator = member("a")
    core.attach(creator, created=True, resume=None, drawn=True, now=0.0)
    assert core.asked("a", 0) == [(0, True)]


def test_what_somebody_else_was_asked_stays_with_it_when_the_creator_is_late(core: Core) -> None:
    core.output.ring.append(b"0" * 10)
    join(core, member("b"))
    core.output.ring.append(b"1" * 10)
    core.attach(member("a"), created=True, resume=None, drawn=True, now=0.0)
    assert core.asked("b", 10) == [(10, True), (20, False)]
    assert core.asked("a", 0) == [(0, True), (10, False), (20, True)]


def test_whose_questions_were_is_known_as_far_back_as_the_output(core: Core) -> None:
    first, second = member("a"), member("b")
    join(core, first)
    join(core, second)
    typed = {"a": 0, "b": 0}
    for _ in range(100):
        for who in (first, second):
            core.output.ring.append(b"x" * 100_000)
            core.type(who, typed[who.client_id], b"x", 0.0)
            typed[who.client_id] += 1
    assert len(core.answerers) <= core.output.ring.capacity // 100_000 + 2
    assert core.answerers[0][0] <= core.output.ring.tail


def test_who_was_asked_is_remembered_for_as_many_turns_as_clients_remember(core: Core) -> None:
    first, second = member("a"), member("b")
    join(core, first)
    join(core, second)
    for turn in range(ANSWER_TURNS_MAX):
        for who in (first, second):
            core.output.ring.append(b"x")
            core.type(who, turn, b"x", 0.0)
    assert len(core.answerers) == ANSWER_TURNS_MAX
    assert core.answerers[0][0] <= core.output.ring.tail
    assert core.answerers[-1] == (core.output.ring.head, "b")
    assert [who for _, who in core.answerers[-4:]] == ["a", "b", "a", "b"]


# -- output and time -----------------------------------------------------------------------------


def test_a_flush_in_the_kernel_concerns_everybody(core: Core) -> None:
    slow = Member("a", "alice", False, SMALL, View(0))
    join(core, slow)
    core.output.ring.append(bytes(10_000))
    assert core.flushed(0.0) == [slow]
    assert core.next(slow, 0.0) is Drawing.SKIP


def test_the_program_waits_a_while_for_an_operator_that_vanished(core: Core) -> None:
    who = member("a")
    join(core, who)
    core.detach(who, 100.0, left=False)
    assert core.may_read(100.0)
    core.output.ring.append(bytes(HELD_BYTES))
    assert not core.may_read(100.0)
    assert core.hold_due_in_seconds(101.0) == HOLD_SECONDS - 1
    core.move_on(100.0 + HOLD_SECONDS)
    assert core.may_read(100.0 + HOLD_SECONDS)
    assert core.hold_due_in_seconds(100.0 + HOLD_SECONDS) is None


@pytest.mark.parametrize(("observer", "left"), [(True, False), (False, True)])
def test_the_program_waits_for_no_observer_and_for_nobody_who_left(core: Core, observer: bool, left: bool) -> None:
    who = member("a", observer=observer)
    join(core, who)
    core.detach(who, 0.0, left)
    core.output.ring.append(bytes(HELD_BYTES))
    assert core.may_read(0.0)


def test_the_grace_counts_while_nobody_is_attached(core: Core) -> None:
    who = member("a", observer=True)
    assert core.grace.due_in_seconds(1.0) == GRACE_SECONDS - 1
    join(core, who, now=1.0)
    assert core.grace.due_in_seconds(2.0) is None
    core.detach(who, 100.0, left=False)
    assert core.grace.due_in_seconds(101.0) == GRACE_SECONDS - 1


def test_a_client_that_goes_holds_nobody_up_with_its_paste(core: Core) -> None:
    first, second = member("a"), member("b")
    join(core, first)
    join(core, second)
    core.type(first, 0, b"\x1b[200~half", 0.0)
    core.type(second, 0, b"key", 0.0)
    core.detach(first, 0.0, left=False)
    assert [data for _, data in core.keyboard.pending()] == [b"\x1b[200~half", b"key"]


def test_time_moves_on_what_waits_for_a_paste(core: Core) -> None:
    first, second = member("a"), member("b")
    join(core, first)
    join(core, second)
    core.type(first, 0, b"\x1b[200~", 0.0)
    core.keyboard.took(6, 0.0)
    core.type(second, 0, b"key", 0.0)
    core.move_on(PASTE_STALL_SECONDS)
    assert core.keyboard.next_bytes == b"key"
