"""A question is answered by one party: of what the terminal types, its other answers are dropped, and no key."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.client.answers import Answers
from cmdop.limits import (
    ANSWER_EXPECTED_SECONDS,
    ANSWER_TURNS_MAX,
    QUESTIONS_MAX,
    REPORT_EXPECTED_SECONDS,
)
from cmdop.terminal.modes import ModeTracker
from tests.questions import EXCHANGES, KEYS, Exchange

CPR = Exchange("CPR", b"\x1b[6n", b"\x1b[24;80R")
DEVICE = Exchange("DA1", b"\x1b[c", b"\x1b[?62;22c")
BACKGROUND = Exchange("OSC 11", b"\x1b]11;?\x07", b"\x1b]11;rgb:0000/0000/0000\x1b\\")
VERSION = Exchange("XTVERSION", b"\x1b[>q", b"\x1bP>|XTerm(388)\x1b\\")
SHIFT_F3 = b"\x1b[1;2R"
FOCUS_IN = b"\x1b[I"

REPORTS = [exchange for exchange in EXCHANGES if exchange.name == "focus" or exchange.name.endswith(" report")]
each_exchange = pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: repr(exchange.question))


class Client:
    """Answers as an attach uses it: between what is shown and what is typed, with a clock to turn."""

    def __init__(self) -> None:
        self.now = 100.0
        self.answers = Answers(lambda: self.now)
        self._modes = ModeTracker()
        self._offset = 0

    def show(self, *written: bytes) -> None:
        for piece in written:
            self.answers.showing()
            self.answers.shown(self._modes.feed(piece), self._offset)
            self._offset += len(piece)

    def replay(self, written: bytes) -> None:
        self.answers.showing()
        self.answers.shown(self._modes.feed(written), None)

    def turn(self, mine: bool, ahead: int = 0) -> None:
        """From what is shown next on, or from a place `ahead` of it."""
        self.answers.told(self._offset + ahead, mine)

    def ask(self, written: bytes, mine: bool) -> None:
        self.turn(mine)
        self.show(written)

    def types(self, *typed: bytes) -> bytes:
        return b"".join(map(self.answers.sift, typed))


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    marks = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(marks)]


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


# -- whose answers ---------------------------------------------------------------------------------


@each_exchange
def test_an_answer_that_is_not_ours_is_dropped_and_nothing_else(exchange: Exchange) -> None:
    for typed in ([b"a" + exchange.answer + b"b"], [b"a", *bytewise(exchange.answer), b"b"]):
        client = Client()
        client.ask(exchange.question, mine=False)
        assert client.types(*typed) == b"ab"
        assert client.types(b"\x1b[A") == b"\x1b[A"


@each_exchange
def test_an_answer_that_is_ours_is_typed_at_once(exchange: Exchange) -> None:
    client = Client()
    client.ask(exchange.question, mine=True)
    for byte in bytewise(exchange.answer):
        assert client.types(byte) == byte
        assert not client.answers.held


def test_questions_are_ours_until_somebody_says_otherwise() -> None:
    client = Client()
    client.show(CPR.question)
    assert client.types(CPR.answer) == CPR.answer


@each_exchange
def test_the_same_question_of_both_kinds_is_told_apart_by_its_place(exchange: Exchange) -> None:
    if exchange.name == "OSC 5522":
        return  # one question has many answers
    question, answer = exchange.question, exchange.answer
    client = Client()
    client.turn(mine=True)
    client.turn(mine=False, ahead=len(question))
    client.turn(mine=True, ahead=2 * len(question))
    client.show(question * 3)
    assert client.types(b"1" + answer, b"2" + answer, b"3" + answer, b"4") == b"1" + answer + b"23" + answer + b"4"


def test_a_question_belongs_to_where_its_last_byte_is() -> None:
    for ahead, mine in ((3, False), (4, True)):
        client = Client()
        client.turn(mine=True)
        client.turn(mine=False, ahead=ahead)
        client.show(b"\x1b[", b"6n")
        assert (client.types(CPR.answer) == CPR.answer) is mine


def test_the_last_word_about_an_offset_counts() -> None:
    client = Client()
    client.turn(mine=False, ahead=50)
    client.turn(mine=False)
    client.turn(mine=True)
    client.show(b"x" * 100 + CPR.question)
    assert client.types(CPR.answer) == CPR.answer


def test_who_answers_is_remembered_for_a_bounded_number_of_turns() -> None:
    client = Client()
    for at in range(ANSWER_TURNS_MAX + 1):
        client.turn(mine=at % 2 == 1, ahead=at * len(CPR.question))
    assert len(client.answers._turns) == ANSWER_TURNS_MAX
    client.show(CPR.question * 3)
    assert client.types(b"\x1b[21;1R", b"\x1b[22;1R", b"\x1b[23;1R") == b"\x1b[22;1R"


# -- keys ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [*KEYS, SHIFT_F3, FOCUS_IN, CPR.answer, BACKGROUND.answer])
def test_without_a_question_what_is_typed_is_handed_on_itself(key: bytes) -> None:
    client = Client()
    client.show(b"text\x1b[31m")
    assert client.answers.sift(key) is key


def test_keys_between_answers_arrive_in_their_order() -> None:
    client = Client()
    client.ask(CPR.question + DEVICE.question + BACKGROUND.question, mine=False)
    typed = b"a\x1b[A" + CPR.answer + b"b" + DEVICE.answer + b"\x1b[1;5C" + BACKGROUND.answer + b"\x04"
    assert client.types(typed) == b"a\x1b[Ab\x1b[1;5C\x04"


def test_shift_f3_is_a_key_unless_the_cursors_place_is_due() -> None:
    client = Client()
    client.ask(DEVICE.question, mine=False)
    assert client.types(SHIFT_F3) == SHIFT_F3
    client.ask(CPR.question, mine=False)
    assert client.types(SHIFT_F3) == SHIFT_F3  # DA1 is always answered, and before
    assert client.types(DEVICE.answer + b"\x1b[1;2R") == b""


def test_shift_f3_that_was_taken_for_the_cursors_place_comes_late_and_is_not_lost() -> None:
    client = Client()
    client.ask(VERSION.question + CPR.question, mine=False)
    assert client.types(SHIFT_F3, VERSION.answer, *bytewise(CPR.answer)) == SHIFT_F3
    assert client.types(CPR.answer) == CPR.answer
    client.ask(CPR.question + DEVICE.question, mine=False)
    assert client.types(SHIFT_F3, DEVICE.answer, CPR.answer) == CPR.answer  # it was the place


def test_a_second_shift_f3_is_no_place_that_gives_the_first_one_back() -> None:
    client = Client()
    client.ask(CPR.question, mine=False)
    assert client.types(SHIFT_F3, SHIFT_F3 + b"a") == SHIFT_F3 + b"a"
    assert client.types(CPR.answer) == SHIFT_F3


def test_a_key_that_was_taken_for_our_cursors_place_is_typed_once() -> None:
    client = Client()
    client.ask(CPR.question, mine=True)
    assert client.types(SHIFT_F3, CPR.answer) == SHIFT_F3 + CPR.answer


def test_news_of_the_terminal_say_nothing_about_a_key_that_was_taken_for_the_cursors_place() -> None:
    client = Client()
    client.ask(CPR.question + b"\x1b[?1004h", mine=False)
    assert client.types(SHIFT_F3, FOCUS_IN, CPR.answer) == SHIFT_F3


def test_a_lone_escape_is_late_only_while_an_answer_may_begin_with_it() -> None:
    client = Client()
    client.ask(CPR.question, mine=False)
    assert client.types(b"\x1b") == b""
    assert client.answers.held
    assert client.answers.flush() == b"\x1b"
    assert not client.answers.held
    assert client.types(b"a" + CPR.answer) == b"a"
    assert client.types(b"\x1b") == b"\x1b"
    assert not client.answers.held


@pytest.mark.parametrize("key", KEYS)
def test_keys_are_held_back_no_further_than_an_answer_goes(key: bytes) -> None:
    client = Client()
    client.ask(b"".join(exchange.question for exchange in EXCHANGES), mine=False)
    typed = client.types(*bytewise(key))
    assert typed + client.answers.flush() == key
    assert client.types(b"x") == b"x"


def test_what_was_forwarded_in_part_is_forwarded_to_its_end() -> None:
    client = Client()
    client.ask(CPR.question + BACKGROUND.question, mine=False)
    assert client.types(CPR.answer[:4]) == b""
    assert client.answers.flush() == CPR.answer[:4]
    for byte in bytewise(CPR.answer[4:]):
        assert client.types(byte) == byte
        assert not client.answers.held
    assert client.types(BACKGROUND.answer[:2]) + client.answers.flush() == BACKGROUND.answer[:2]
    assert client.types(BACKGROUND.answer[2:] + b"a") == BACKGROUND.answer[2:] + b"a"


@pytest.mark.parametrize("key", [b"\x04", b"\x03", b"\r", b"\x1b[A"])
def test_a_string_without_an_end_locks_nobody_in(key: bytes) -> None:
    client = Client()
    client.ask(BACKGROUND.question, mine=False)
    assert client.types(b"\x1b]11;rgb:", b"00" + key + b"a") == key + b"a"
    client.ask(BACKGROUND.question, mine=False)
    assert client.types(b"\x1b]11;rgb:") == b""
    client.now += ANSWER_EXPECTED_SECONDS
    assert client.types(b"a") == b"a"


def test_an_escape_behind_an_unfinished_string_is_a_key() -> None:
    client = Client()
    client.ask(BACKGROUND.question, mine=False)
    assert client.types(b"\x1b]11;rgb:0\x1b") == b""
    assert client.answers.held
    assert client.answers.flush() == b"\x1b"
    assert client.types(b"a") == b"a"


def test_an_answer_of_any_length_is_dropped_without_being_kept() -> None:
    client = Client()
    client.ask(b"\x1b]52;c;?\x07", mine=False)
    assert client.types(b"\x1b]52;c;", *[b"QUJD" * 1000] * 100, b"\x07a") == b"a"


# -- pastes ----------------------------------------------------------------------------------------

PASTE = b"\x1b[200~" + CPR.answer + b"\x1b]11;?\x07\x1b[20\x1b[201" + b"\x1b[201~"


def test_an_answer_inside_a_paste_is_data() -> None:
    for typed in ([PASTE], bytewise(PASTE), [PASTE[:30], PASTE[30:]]):
        client = Client()
        client.ask(CPR.question + BACKGROUND.question, mine=False)
        kept = client.types(*typed, b"k")
        assert kept == PASTE + b"k"
        assert client.types(CPR.answer + BACKGROUND.answer + b"k") == b"k"


@given(st.lists(st.integers(min_value=0), max_size=6))
def test_a_paste_that_began_before_the_question_is_one_all_the_same(cuts: list[int]) -> None:
    client = Client()
    assert client.types(*pieces(b"a\x1b[200~b", cuts)) == b"a\x1b[200~b"
    client.ask(CPR.question, mine=False)
    assert client.types(CPR.answer, b"\x1b[201~", CPR.answer) == CPR.answer + b"\x1b[201~"


# -- terminals that do not know a question ---------------------------------------------------------


def test_an_answer_says_that_the_questions_before_it_are_not_answered() -> None:
    client = Client()
    client.ask(VERSION.question, mine=False)
    client.ask(CPR.question + DEVICE.question, mine=False)
    assert client.types(DEVICE.answer) == b""
    assert client.types(SHIFT_F3 + CPR.answer + VERSION.answer) == SHIFT_F3 + CPR.answer + VERSION.answer


def test_an_answer_that_somebody_else_is_asked_for_may_come_late() -> None:
    client = Client()
    client.ask(BACKGROUND.question + DEVICE.question, mine=False)
    assert client.types(DEVICE.answer + BACKGROUND.answer) == b""


def test_a_question_with_any_number_of_answers_waits_for_all_of_them() -> None:
    client = Client()
    client.ask(b"\x1b]5522;type=read;Lg==\x1b\\" + DEVICE.question, mine=False)
    parts = [b"\x1b]5522;type=read:status=%s\x1b\\" % status for status in (b"OK", b"DATA;QUJD", b"DONE")]
    assert client.types(DEVICE.answer + b"".join(parts) + b"a") == b"a"


def test_a_question_is_forgotten_after_a_while() -> None:
    client = Client()
    client.ask(CPR.question, mine=False)
    client.now += ANSWER_EXPECTED_SECONDS
    assert client.types(SHIFT_F3) == SHIFT_F3


def test_an_unanswered_question_of_ours_does_not_save_a_later_answer() -> None:
    client = Client()
    client.ask(VERSION.question, mine=True)
    client.now += ANSWER_EXPECTED_SECONDS
    client.ask(VERSION.question, mine=False)
    assert client.types(VERSION.answer) == b""


def test_a_flood_of_questions_is_kept_in_bounds() -> None:
    client = Client()
    client.turn(mine=False)
    for _ in range(20):
        client.show((CPR.question + DEVICE.question) * 100 + CPR.question * 1000)
    assert len(client.answers._outstanding._runs) <= QUESTIONS_MAX
    assert client.types(CPR.answer * 1000) == b""


# -- reports ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: report.name)
def test_what_a_terminal_says_at_once_to_a_replay_is_dropped_and_later_news_are_not(report: Exchange) -> None:
    client = Client()
    client.replay(b"screen" + report.question)
    assert client.types(b"a" + report.answer + b"b" + report.answer) == b"ab" + report.answer
    client.replay(report.question)
    client.now += REPORT_EXPECTED_SECONDS
    assert client.types(report.answer) == report.answer


def test_a_question_in_generated_bytes_is_nobodys_though_the_output_is_ours() -> None:
    client = Client()
    client.turn(mine=True)
    client.replay(CPR.question)
    client.show(CPR.question)
    assert client.types(CPR.answer + b"\x1b[2;3R") == b"\x1b[2;3R"


def test_a_question_that_begins_in_a_replay_and_ends_in_the_output_is_of_the_output() -> None:
    client = Client()
    client.turn(mine=True)
    client.replay(b"\x1b[")
    client.show(b"6n")
    assert client.types(CPR.answer) == CPR.answer


def test_news_of_the_terminal_do_not_end_the_wait_for_an_answer() -> None:
    client = Client()
    client.replay(b"\x1b[?1004h")
    client.ask(DEVICE.question + b"\x1b[?2048h", mine=False)
    assert client.types(FOCUS_IN + b"\x1b[O" + DEVICE.answer) == b"\x1b[O"
    client.ask(VERSION.question + b"\x1b[?1004h", mine=False)
    assert client.types(FOCUS_IN + VERSION.answer) == b""


# -- ENQ -------------------------------------------------------------------------------------------


def test_enq_reaches_only_a_terminal_that_is_to_answer_it() -> None:
    client = Client()
    answers = client.answers
    assert answers.silenced(b"a\x05b", 0) == b"a\x05b"
    assert answers.silenced(b"a\x05b", None) == b"a\x00b"
    client.turn(mine=False, ahead=2)
    client.turn(mine=True, ahead=4)
    assert answers.silenced(b"\x05\x05\x05\x05\x05\x05", 0) == b"\x05\x05\x00\x00\x05\x05"
    text = b"text"
    assert answers.silenced(text, 2) is text


# -- threads ---------------------------------------------------------------------------------------


def test_an_answer_that_is_faster_than_the_end_of_the_write_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cmdop.client.answers.KEY_HOLD_SECONDS", 60)
    answers = Answers()
    answers.told(0, mine=False)
    answers.showing()
    typed: list[bytes] = []
    typist = threading.Thread(target=lambda: typed.append(answers.sift(CPR.answer + b"a")))
    typist.start()
    typist.join(0.01)  # it has come as far as it can
    answers.shown(ModeTracker().feed(CPR.question), 0)
    typist.join(10)
    assert typed == [b"a"]


def test_a_write_that_hangs_does_not_keep_a_key() -> None:
    answers = Answers()
    answers.showing()
    begun = time.monotonic()
    assert answers.sift(b"\x04") == b"\x04"
    assert answers.sift(b"\x1b[100;5u") == b"\x1b[100;5u"
    assert time.monotonic() - begun < 5


# -- any schedule, any split -------------------------------------------------------------------------

SINGLE = [exchange for exchange in EXCHANGES if exchange.name != "OSC 5522" and exchange not in REPORTS]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(SINGLE), st.booleans()),
        st.sampled_from([*KEYS, PASTE]),
        st.none(),
    ),
    max_size=20,
)
"""A question and whose it is; a key; or the terminal gets to answering one."""
CUTS = st.lists(st.integers(min_value=0), max_size=8)


@given(STEPS, CUTS)
def test_all_keys_and_exactly_our_answers_are_typed_whatever_the_split(
    steps: list[tuple[Exchange, bool] | bytes | None], cuts: list[int]
) -> None:
    client = Client()
    unanswered: list[tuple[bytes, bool]] = []
    typed, kept = b"", b""
    result = b""
    for step in [*steps, *[None] * len(steps), b"end"]:
        if isinstance(step, tuple):
            result += client.types(*pieces(typed, cuts))
            typed = b""
            client.ask(step[0].question, step[1])
            unanswered.append((step[0].answer, step[1]))
        elif step is not None:
            typed += step
            kept += step
        elif unanswered:
            answer, mine = unanswered.pop(0)
            typed += answer
            kept += answer if mine else b""
    result += client.types(*pieces(typed, cuts))
    assert result + client.answers.flush() == kept


@given(st.lists(st.one_of(st.sampled_from([*KEYS, *(each.answer for each in EXCHANGES)]), st.binary(max_size=4))), CUTS)
def test_a_split_changes_nothing_whatever_is_typed(typed: list[bytes], cuts: list[int]) -> None:
    questions = b"".join(exchange.question for exchange in EXCHANGES)
    whole, torn = Client(), Client()
    for client in (whole, torn):
        client.ask(questions, mine=False)
    data = b"".join(typed)
    expected = whole.types(data) + whole.answers.flush()
    assert torn.types(*pieces(data, cuts)) + torn.answers.flush() == expected


@given(st.lists(st.one_of(st.sampled_from([*KEYS, CPR.answer, BACKGROUND.answer]), st.binary(max_size=4))), CUTS)
def test_without_a_question_every_byte_is_typed_once_in_order_and_at_once(typed: list[bytes], cuts: list[int]) -> None:
    client = Client()
    for piece in pieces(b"".join(typed), cuts):
        assert client.types(piece) == piece
        assert not client.answers.held


# -- speed -------------------------------------------------------------------------------------------


def test_a_flood_without_questions_costs_next_to_nothing() -> None:
    client = Client()
    client.turn(mine=False)
    tracker = ModeTracker()
    piece = b"the quick brown fox jumps over the lazy dog\r\n" * 364
    begun = time.thread_time()
    for _ in range(2000):
        assert client.answers.silenced(piece, 0) is piece
        client.answers.showing()
        client.answers.shown(tracker.feed(piece), 0)
    assert 2000 * len(piece) / (time.thread_time() - begun) > 400e6
