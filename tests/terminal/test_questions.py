"""Questions are found where they end, at any split, and answers are known by their shape."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.screen.filtered import without_questions
from cmdop.terminal.modes import Asked, ModeTracker
from cmdop.terminal.questions import CURSOR, Kind
from tests.questions import EXCHANGES, KEYS, Exchange

each_exchange = pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: repr(exchange.question))


def questions_in(*written: bytes) -> list[tuple[str, int]]:
    """What these writes asked, and where in all of them each question ended."""
    tracker = ModeTracker()
    found, before = [], 0
    for piece in written:
        found += [(asked.kind.name, before + asked.last) for asked in tracker.feed(piece)]
        before += len(piece)
    return found


def names(written: bytes) -> list[str]:
    return [name for name, _ in questions_in(written)]


def kind_of(exchange: Exchange) -> Kind:
    (asked,) = ModeTracker().feed(exchange.question)
    return asked.kind


def splits(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    for cut in range(len(data) + 1):
        yield data[:cut], data[cut:]


@each_exchange
def test_a_question_is_found_at_its_last_byte_at_any_split(exchange: Exchange) -> None:
    question = exchange.question
    last = len(question) - (2 if question.endswith(b"\x1b\\") else 1)
    expected = [(exchange.name, len(b"text") + last)]
    written = b"text" + question + b"\r\nmore"
    for pieces in splits(written):
        assert questions_in(*pieces) == expected
    assert questions_in(*(written[at : at + 1] for at in range(len(written)))) == expected


@each_exchange
def test_an_answer_has_the_shape_that_its_question_says(exchange: Exchange) -> None:
    kind = kind_of(exchange)
    length = kind.match(exchange.answer)
    assert 0 < length <= len(exchange.answer)
    assert kind.is_string == (length < len(exchange.answer))
    for beginning in range(1, length):
        assert kind.match(exchange.answer[:beginning]) == 0
        assert kind.may_become(exchange.answer[:beginning])


@each_exchange
def test_no_key_has_the_shape_of_an_answer(exchange: Exchange) -> None:
    assert [key for key in KEYS if kind_of(exchange).match(key)] == []


def test_answers_of_one_shape_are_of_one_kind_except_for_reports() -> None:
    kinds = {kind_of(exchange): exchange.answer for exchange in EXCHANGES}
    for (one, answer), other in itertools.product(kinds.items(), kinds):
        if other.match(answer) and one != other:
            assert one.unasked or other.unasked, (one.name, other.name)


def test_shift_f3_is_shaped_like_the_cursors_place() -> None:
    assert CURSOR.match(b"\x1b[1;2R")
    assert not CURSOR.match(b"\x1b[R")


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        (b"\x1b]10;?;?;red;?\x07", ["OSC 10", "OSC 11", "OSC 13"]),
        (b"\x1b]4;1;?;2;red;3;?\x07", ["OSC 4", "OSC 4"]),
        (b"\x1bP+q544e;436f\x1b\\", ["XTGETTCAP", "XTGETTCAP"]),
        (b"\x1b[?1;1004;2048h", ["focus", "size report"]),
        (b"\x1b[6n\x1b[c\x1b[6n", ["CPR", "DA1", "CPR"]),
        (b"\x1b[?2\r026$p", ["DECRQM private"]),
        (b"\x1b]11;?\x18", ["OSC 11"]),
    ],
)
def test_several_questions_are_found_in_their_order(written: bytes, asked: list[str]) -> None:
    assert names(written) == asked


def test_a_string_that_is_too_long_to_be_kept_counts_as_all_that_it_may_ask() -> None:
    palette = b"\x1b]4" + b"".join(b";%d;?" % number for number in range(256)) + b"\x1b\\"
    assert names(palette) == ["OSC 4"] * 256


@pytest.mark.parametrize(
    "written",
    [
        *(b"text?", b"\x1b[31m", b"\x1b[2J", b"\x1b[3t", b"\x1b[22;0t", b"\x1b[?1004l", b"\x1b[?25h", b"\x1b[4n"),
        *(b"\x1b[?64;1;2c", b"\x1b[0n", b"\x1b[24;80R", b"\x1b[?2026;2$y", b"\x1b[ q", b"\x1b[2 q", b"\x1b[s\x1b[u"),
        *(b"\x1b[>1u", b"\x1b[>4;2m", b"\x1b[1;1;2;2$x", b"\x1b[2*x"),
        *(b"\x1b]0;what?\x07", b"\x1b]2;?\x07", b"\x1b]8;;http://a/?\x07", b"\x1b]9;done?\x07", b"\x1b]104;?\x07"),
        *(b"\x1b]11;red\x07", b"\x1b]52;c;aGVsbG8=\x07", b"\x1b]1337;SetMark\x07", b"\x1b]x;?\x07", b"\x1b]\x07"),
        *(
            b"\x1bPq#0~\x1b\\",
            b"\x1b_Ga=T,f=24;AAAA\x1b\\",
            b"\x1b_Gi=1,q=2;AAAA\x1b\\",
            b"\x1b_x?\x1b\\",
            b"\x1bX?\x1b\\",
        ),
    ],
)
def test_what_terminals_do_not_answer_is_no_question(written: bytes) -> None:
    assert names(written + b"x") == []


@each_exchange
def test_what_asks_is_left_out_of_what_is_shown_again(exchange: Exchange) -> None:
    assert names(without_questions(b"text" + exchange.question + b"more", from_start=True)) == []


PIECES = st.sampled_from(
    [
        *(
            b"\x1b",
            b"[",
            b"]",
            b"P",
            b"_G",
            b"?",
            b">",
            b"=",
            b"$",
            b"#",
            b"'",
            b"*",
            b"&",
            b'"',
            b" ",
            b";",
            b"\x1b\\",
        ),
        *(b"0", b"5", b"6", b"11", b"18", b"52", b"996", b"1004", b"2048", b"i=1", b"+q", b"$q", b"@kitty-cmd"),
        *(
            b"c",
            b"n",
            b"p",
            b"q",
            b"R",
            b"S",
            b"Z",
            b"g",
            b"h",
            b"m",
            b"t",
            b"u",
            b"v",
            b"w",
            b"x",
            b"y",
            b"|",
            b"\x07",
        ),
        *(exchange.question for exchange in EXCHANGES),
    ]
)


@given(st.lists(PIECES, max_size=12).map(b"".join))
def test_nothing_that_is_shown_again_asks_a_question(output: bytes) -> None:
    assert names(without_questions(output, from_start=True)) == []


@given(st.lists(PIECES, max_size=12).map(b"".join), st.lists(st.integers(min_value=0), max_size=6))
def test_any_split_finds_the_same_questions(output: bytes, cuts: list[int]) -> None:
    marks = [0, *sorted(cut % (len(output) + 1) for cut in cuts), len(output)]
    pieces = [output[start:end] for start, end in itertools.pairwise(marks)]
    assert questions_in(*pieces) == questions_in(output)


def test_text_without_questions_finds_none() -> None:
    assert ModeTracker().feed(b"text") == []
    assert ModeTracker().feed(b"\x1b[c") == [Asked(kind_of(EXCHANGES[0]), 2)]
