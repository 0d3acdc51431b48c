"""Guessing a machine's password: how long it takes whoever guesses, and that nobody is locked out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.auth.guesses import NOBODY, Guesser, Guesses, Turn
from cmdop.limits import (
    FREE_GUESSES_MAX,
    GUESS_WAIT_MAX_SECONDS,
    GUESSERS_MAX,
    GUESSES_FORGOTTEN_SECONDS,
    WAITING_GUESSES_MAX,
)

START = 1_790_000_000.0
ANNA, BEN = Guesser("a" * 64, "key-a"), Guesser("b" * 64, "key-b")


def takes_seconds(wrong: int) -> float:
    """What the policy says: how long so many wrong answers in a row take, the last one's own wait not counted."""
    return sum(min(2.0**beyond, 60.0) for beyond in range(wrong - FREE_GUESSES_MAX))


def judged(guesses: Guesses, waiting: list[Turn], now: float) -> Turn | None:
    """The answer whose turn it is, if there is one."""
    return next((turn for turn in waiting if guesses.next_is(turn, now)), None)


def guess(guesses: Guesses, who: Guesser, now: float, right: bool = False) -> float:
    """One answer of the only one who answers: when it was judged."""
    turn = guesses.put(who)
    assert turn is not None
    now += guesses.due_in_seconds(now)
    assert guesses.next_is(turn, now)
    if right:
        guesses.right()
    else:
        guesses.wrong(now)
    guesses.done()
    return now


def test_the_waits_are_those_that_are_promised() -> None:
    guesses, now, waits = Guesses(), START, []
    for _ in range(12):
        waits.append(guesses.wait_seconds(ANNA, now))
        now = guess(guesses, ANNA, now)
    assert waits == [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


@given(clients=st.integers(1, 20), tries=st.integers(1, 60), rotating=st.booleans(), keys=st.integers(1, 5))
def test_so_many_tries_take_as_long_whoever_tries(clients: int, tries: int, rotating: bool, keys: int) -> None:
    check_tries(clients, tries, rotating, keys)


@pytest.mark.parametrize("rotating", [False, True])
def test_a_thousand_tries_of_ten_clients_take_as_long_as_the_policy_says(rotating: bool) -> None:
    assert check_tries(10, 1000, rotating, 1) == takes_seconds(1000) > 16 * 3600


def check_tries(clients: int, tries: int, rotating: bool, keys: int) -> float:
    """All answer again as soon as they may; with `rotating` each time as another device."""
    guesses, now = Guesses(), START
    names = [Guesser(f"d{number}", f"k{number % keys}") for number in range(clients)]
    waiting = [turn for who in names if (turn := guesses.put(who))]
    for number in range(tries):
        now += guesses.due_in_seconds(now)
        turn = judged(guesses, waiting, now)
        assert turn is not None, "somebody's turn is always due"
        assert judged(guesses, waiting, now) is None, "one at a time"
        guesses.wrong(now)
        guesses.done()
        waiting.remove(turn)
        who = turn.who._replace(device=f"r{number}") if rotating else turn.who
        again = guesses.put(who)
        assert again is not None
        waiting.append(again)
    assert now - START == takes_seconds(tries)
    return now - START


@given(st.integers(1, 40), st.integers(3, 200))
def test_who_knows_the_password_waits_for_one_turn_however_many_guess(clients: int, wrong: int) -> None:
    guesses, now = Guesses(), START
    waiting = [turn for number in range(clients) if (turn := guesses.put(Guesser(f"d{number}", "stolen")))]
    for _ in range(wrong):
        now += guesses.due_in_seconds(now)
        turn = judged(guesses, waiting, now)
        assert turn is not None
        guesses.wrong(now)
        guesses.done()
        waiting[waiting.index(turn)] = guesses.put(turn.who) or turn
    if wrong < clients:
        return  # those who have not guessed yet are as good as anybody
    told = guesses.wait_seconds(ANNA._replace(key="stolen"), now)
    mine = guesses.put(ANNA._replace(key="stolen"))
    assert mine is not None
    now += guesses.due_in_seconds(now)
    assert judged(guesses, [*waiting, mine], now) is mine
    assert told <= GUESS_WAIT_MAX_SECONDS


def test_devices_that_are_new_each_time_wait_behind_those_with_a_better_key() -> None:
    guesses, now = Guesses(), START
    for number in range(5):
        now = guess(guesses, Guesser(f"d{number}", "stolen"), now)
    bad, good = guesses.put(Guesser("new", "stolen")), guesses.put(ANNA)
    assert bad is not None
    assert good is not None
    now += guesses.due_in_seconds(now)
    assert judged(guesses, [bad, good], now) is good


def test_who_is_right_takes_back_its_own_and_nobody_else_s() -> None:
    guesses, now = Guesses(), START
    for who in (BEN, BEN, BEN, BEN, ANNA, ANNA):
        now = guess(guesses, who, now)
    assert guesses.wait_seconds(ANNA, now) == 8
    now = guess(guesses, ANNA, now, right=True)
    assert guesses.rows() == [(*BEN, 4)]
    now = guess(guesses, BEN, now)
    assert guesses.wait_seconds(BEN, now) == 4


def test_being_right_costs_nobody_a_wait() -> None:
    guesses, now = Guesses(), START
    for _ in range(100):
        assert guess(guesses, ANNA, now, right=True) == now


def test_it_is_forgotten_after_a_while_without_a_wrong_one() -> None:
    guesses, now = Guesses(), START
    for _ in range(20):
        now = guess(guesses, ANNA, now)
    assert guesses.due_in_seconds(now + GUESSES_FORGOTTEN_SECONDS - 1) == 0
    assert guesses.wait_seconds(ANNA, now + 1) == GUESS_WAIT_MAX_SECONDS - 1
    later = guess(guesses, ANNA, now + GUESSES_FORGOTTEN_SECONDS)
    assert guesses.rows() == [(*ANNA, 1)]
    assert guesses.due_in_seconds(later) == 0


def test_a_process_goes_on_where_the_one_before_was() -> None:
    guesses, now = Guesses(), START
    for _ in range(6):
        now = guess(guesses, ANNA, now)
    after = Guesses(guesses.rows(), guesses.last_at)
    assert after.wait_seconds(ANNA, now + 1) == guesses.wait_seconds(ANNA, now + 1) == 7


def test_a_clock_that_went_back_makes_no_wait_longer() -> None:
    guesses = Guesses([(*ANNA, 50)], START + 1e9)
    assert guesses.due_in_seconds(START) == GUESS_WAIT_MAX_SECONDS


def test_only_so_many_are_told_apart_and_none_is_forgotten_for_that() -> None:
    guesses, now = Guesses(), START
    for number in range(GUESSERS_MAX + 50):
        now = guess(guesses, Guesser(f"d{number}", "k"), now)
    assert len(guesses.rows()) == GUESSERS_MAX
    assert sum(count for _, _, count in guesses.rows()) == GUESSERS_MAX + 50
    assert (*NOBODY, 51) in guesses.rows()


def test_a_full_queue_lets_in_who_was_wrong_less_often() -> None:
    guesses = Guesses()
    for _ in range(2):
        guess(guesses, BEN, START)
    waiting = [guesses.put(BEN) for _ in range(WAITING_GUESSES_MAX)]
    assert all(waiting)
    assert guesses.put(BEN) is None
    mine = guesses.put(ANNA)
    assert mine is not None
    dropped = [turn for turn in waiting if turn is not None and not guesses.waits(turn)]
    assert dropped == [waiting[-1]]


def test_a_dropped_answer_is_never_judged() -> None:
    guesses = Guesses()
    first, second = guesses.put(ANNA), guesses.put(BEN)
    assert first is not None
    assert second is not None
    guesses.drop(first)
    guesses.drop(first)
    assert not guesses.next_is(first, START)
    assert guesses.next_is(second, START)
