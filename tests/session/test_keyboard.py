"""Everybody's input on its way to the PTY: in order, once, and pastes in one piece."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.limits import ANSWERS_MAX_BYTES, INPUT_WINDOW_BYTES, PASTE_STALL_SECONDS
from cmdop.session.keyboard import Keyboard, Typist

START, END = b"\x1b[200~", b"\x1b[201~"


@pytest.fixture
def keyboard() -> Keyboard:
    return Keyboard()


@pytest.fixture
def alice() -> Typist:
    return Typist("a", "alice")


@pytest.fixture
def bob() -> Typist:
    return Typist("b", "bob")


def taken(keyboard: Keyboard, now: float = 0.0) -> bytes:
    """What a PTY gets that takes everything."""
    got = b""
    while data := keyboard.next_bytes:
        keyboard.took(len(data), now)
        got += data
    return got


def test_input_goes_to_the_pty_in_the_order_that_it_came(keyboard: Keyboard, alice: Typist, bob: Typist) -> None:
    for typist, data in ((alice, b"one "), (bob, b"two "), (alice, b"three")):
        keyboard.put(typist, data, 0.0)
    assert taken(keyboard) == b"one two three"


def test_what_the_pty_does_not_take_stays_first(keyboard: Keyboard, alice: Typist, bob: Typist) -> None:
    keyboard.put(alice, b"abc", 0.0)
    keyboard.put(bob, b"def", 0.0)
    assert keyboard.took(0, 0.0) is None
    keyboard.took(2, 0.0)
    assert keyboard.pending() == [(alice, b"c"), (bob, b"def")]


def test_small_records_of_one_client_are_put_together(keyboard: Keyboard, alice: Typist, bob: Typist) -> None:
    for _ in range(3):
        keyboard.put(alice, b"x", 0.0)
    keyboard.put(bob, b"y", 0.0)
    keyboard.put(alice, b"x", 0.0)
    assert keyboard.pending() == [(alice, b"xxx"), (bob, b"y"), (alice, b"x")]


def test_and_so_they_are_while_they_wait_for_a_paste(keyboard: Keyboard, alice: Typist, bob: Typist) -> None:
    keyboard.put(alice, START, 0.0)
    for _ in range(3):
        keyboard.put(bob, b"x", 0.0)
    assert keyboard.pending() == [(alice, START), (bob, b"xxx")]


@pytest.mark.timeout(10)
def test_a_key_costs_as_little_as_ever_when_much_waits(keyboard: Keyboard, alice: Typist, bob: Typist) -> None:
    many = 30_000
    for _ in range(many):
        keyboard.put(alice, b"a", 0.0)
        keyboard.put(bob, b"b", 0.0)
    keyboard.put(Typist("c", "carol"), START, 0.0)
    for _ in range(many):
        keyboard.put(alice, b"a", 0.0)
    assert len(keyboard.pending()) == 2 * many + 1 + -(-many // 4096)


def test_what_the_pty_took_is_acknowledged_to_who_typed_it(keyboard: Keyboard, alice: Typist) -> None:
    keyboard.put(alice, bytes(INPUT_WINDOW_BYTES), 0.0)
    assert keyboard.took(INPUT_WINDOW_BYTES // 4 - 1, 0.0) is None
    assert keyboard.took(1, 0.0) == (alice, INPUT_WINDOW_BYTES // 4)


def test_nobodys_keys_come_into_the_paste_of_another(keyboard: Keyboard, alice: Typist, bob: Typist) -> None:
    keyboard.put(alice, START + b"one", 0.0)
    keyboard.put(bob, b"key", 0.0)
    assert taken(keyboard) == START + b"one"
    keyboard.put(alice, b"two" + END, 1.0)
    assert taken(keyboard) == b"two" + END + b"key"


def test_a_key_does_not_come_into_the_middle_of_a_marker(keyboard: Keyboard, alice: Typist, bob: Typist) -> None:
    keyboard.put(alice, START[:3], 0.0)
    keyboard.put(bob, b"key", 0.0)
    keyboard.put(alice, START[3:] + b"text" + END[:2], 0.0)
    keyboard.put(alice, END[2:], 0.0)
    assert taken(keyboard) == START + b"text" + END + b"key"


def test_what_only_looked_like_a_marker_lets_the_others_go_on(keyboard: Keyboard, alice: Typist, bob: Typist) -> None:
    keyboard.put(alice, b"\x1b[", 0.0)
    keyboard.put(bob, b"key", 0.0)
    keyboard.put(alice, b"A", 0.0)
    assert taken(keyboard) == b"\x1b[Akey"


def test_a_paste_that_stalls_holds_the_others_up_for_no_longer(keyboard: Keyboard, alice: Typist, bob: Typist) -> None:
    keyboard.put(alice, START, 10.0)
    taken(keyboard, 10.0)
    assert keyboard.stall_due_in_seconds(10.0) is None, "nobody waits"
    keyboard.put(bob, b"key", 11.0)
    assert keyboard.stall_due_in_seconds(11.0) == PASTE_STALL_SECONDS - 1
    keyboard.release_stalled(11.5)
    assert not keyboard.next_bytes
    keyboard.release_stalled(10.0 + PASTE_STALL_SECONDS)
    assert taken(keyboard) == b"key"
    assert keyboard.stall_due_in_seconds(20.0) is None


def test_a_paste_that_the_program_does_not_read_has_not_stalled(keyboard: Keyboard, alice: Typist, bob: Typist) -> None:
    keyboard.put(alice, START + b"text", 0.0)
    keyboard.put(bob, b"key", 0.0)
    assert keyboard.stall_due_in_seconds(100.0) is None
    keyboard.release_stalled(100.0)
    taken(keyboard, 100.0)
    assert keyboard.stall_due_in_seconds(100.0) == PASTE_STALL_SECONDS, "it counts from what the PTY took"


def test_a_client_that_goes_leaves_its_paste_to_the_others(keyboard: Keyboard, alice: Typist, bob: Typist) -> None:
    keyboard.put(alice, START, 0.0)
    keyboard.put(bob, b"key", 0.0)
    keyboard.left(bob, 0.0)
    assert taken(keyboard) == START
    keyboard.left(alice, 0.0)
    assert taken(keyboard) == b"key"


def test_a_paste_goes_on_where_its_client_has_another_connection(
    keyboard: Keyboard, alice: Typist, bob: Typist
) -> None:
    keyboard.put(alice, START, 0.0)
    keyboard.put(bob, b"key", 0.0)
    keyboard.came_back(bob, 1.0)
    keyboard.came_back(alice, 1.5)
    assert keyboard.stall_due_in_seconds(1.5) is None, "it is with nobody yet"
    assert taken(keyboard, 1.0) == START
    keyboard.came_back(alice, 1.5)
    assert keyboard.stall_due_in_seconds(1.5) == PASTE_STALL_SECONDS


def test_a_paste_that_waited_for_a_paste_is_in_one_piece_too(keyboard: Keyboard, alice: Typist, bob: Typist) -> None:
    carol = Typist("c", "carol")
    keyboard.put(alice, START, 0.0)
    keyboard.put(bob, START + b"one", 0.0)
    keyboard.put(carol, b"key", 0.0)
    keyboard.put(alice, END, 0.0)
    assert taken(keyboard) == START + END + START + b"one"
    keyboard.put(bob, b"two" + END, 0.0)
    assert taken(keyboard) == b"two" + END + b"key"


def test_nobody_waits_for_a_paste_that_waited_and_is_whole(keyboard: Keyboard, alice: Typist, bob: Typist) -> None:
    carol = Typist("c", "carol")
    keyboard.put(alice, START, 0.0)
    keyboard.put(bob, START + b"text", 0.0)
    keyboard.put(carol, b"key", 0.0)
    keyboard.put(bob, END, 0.0)
    keyboard.put(alice, END, 0.0)
    assert taken(keyboard) == START + END + START + b"text" + END + b"key"


def test_nobody_overtakes_himself_behind_a_paste_that_waited(keyboard: Keyboard, alice: Typist, bob: Typist) -> None:
    carol = Typist("c", "carol")
    keyboard.put(alice, START, 0.0)
    for typist, data in ((bob, START), (carol, b"1"), (bob, b"text" + END), (carol, b"2")):
        keyboard.put(typist, data, 0.0)
    keyboard.put(alice, END, 0.0)
    assert taken(keyboard) == START + END + START + b"text" + END + b"12"


def test_what_is_withdrawn_is_not_typed_and_nothing_else_is_lost(
    keyboard: Keyboard, alice: Typist, bob: Typist
) -> None:
    call = Typist("", "")
    keyboard.put(call, b"12345", 0.0)
    keyboard.put(bob, b"b", 0.0)
    keyboard.took(2, 0.0)
    keyboard.put(alice, START, 0.0)
    keyboard.put(call, b"678", 0.0)
    keyboard.put(bob, b"c", 0.0)
    keyboard.withdraw(call)
    assert [data for _, data in keyboard.pending()] == [b"b", START, b"c"]


def test_a_model_whose_answers_nobody_reads_stops_answering(keyboard: Keyboard) -> None:
    machine = Typist("", "")
    for _ in range(10):
        keyboard.answer(machine, bytes(ANSWERS_MAX_BYTES // 2), 0.0)
    assert sum(len(data) for _, data in keyboard.pending()) == ANSWERS_MAX_BYTES
    taken(keyboard)
    keyboard.answer(machine, b"again", 0.0)
    assert taken(keyboard) == b"again"


def test_nothing_is_left_once_nobody_reads(keyboard: Keyboard, alice: Typist, bob: Typist) -> None:
    keyboard.put(alice, START, 0.0)
    keyboard.put(bob, b"key", 0.0)
    keyboard.clear()
    assert not keyboard.pending()
    keyboard.put(bob, b"key", 0.0)
    assert taken(keyboard) == b"key", "the paste is forgotten, too"


pieces = st.sampled_from([b"x", b"yz", START, END, START + b"p", b"q" + END, b"\x1b", b"[20", b"\x1b[A", START + END])


@given(
    puts=st.lists(st.tuples(st.integers(0, 2), pieces, st.integers(0, 12), st.sampled_from([0.0, 0.5, 2.5]))),
)
def test_everyones_bytes_are_typed_once_and_in_order_whatever_stalls(
    puts: list[tuple[int, bytes, int, float]],
) -> None:
    keyboard, now = Keyboard(), 0.0
    typists = [Typist(str(number), "") for number in range(3)]
    wanted, got = [b""] * 3, [b""] * 3

    def take(size: int) -> None:
        while size and keyboard.next_bytes:
            number = typists.index(keyboard.pending()[0][0])
            data = keyboard.next_bytes[:size]
            keyboard.took(len(data), now)
            got[number] += data
            size -= len(data)

    for number, data, size, seconds in puts:
        now += seconds
        keyboard.put(typists[number], data, now)
        wanted[number] += data
        take(size)
    for _ in range(len(puts) + 1):
        take(10_000)
        due = keyboard.stall_due_in_seconds(now)
        assert (due is None) == (not keyboard.pending()), "whoever waits, waits for a stalled paste"
        now += due or 0.0
        keyboard.release_stalled(now)
    assert got == wanted
