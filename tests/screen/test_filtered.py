"""What is shown again of old output: everything, but for the questions."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.screen.filtered import unfinished, without_questions

CAN = b"\x18"

_QUESTIONS = re.compile(
    rb"\x1bZ"
    rb"|\x1b\[[>=?]?[0-9;]*c"
    rb"|\x1b\[\??[0-9;]*n"
    rb"|\x1b\[\??[0-9;]*\$p"
    rb"|\x1b\[>[0-9;]*q"
    rb"|\x1b\[[0-9;]*x"
    rb"|\x1b\[(?:1[1-9]|2[01])[0-9;]*t"
    rb"|\x1b\[\?u"
    rb"|\x1b\[\?[0-9;]*S"
    rb"|\x1b\[[0-9;]*\$[uw]"
    rb"|\x1b\[\?[0-9;]*m"
    rb"|\x1b\[[0-9;]*(?:#[RS|]|'\||\*y)"
    rb"|\x1b\][0-9;]*;\?[^\x07\x18\x1a\x1b]*(?:\x07|\x1b\\)"
    rb"|\x1b\](?:52;|21;|1337;Report)[^\x07\x18\x1a\x1b]*(?:\x07|\x1b\\)"
    rb"|\x1bP[$+]q[^\x18\x1a\x1b]*\x1b\\"
    rb"|\x1b_G[^\x18\x1a\x1b]*\x1b\\"
)
"""Questions that are known, told apart by another way than the one under test."""

ANSWERED = {
    "device attributes": [b"\x1b[c", b"\x1b[0c", b"\x1b[>c", b"\x1b[>0;1c", b"\x1b[=c", b"\x1bZ"],
    "status reports": [b"\x1b[5n", b"\x1b[6n", b"\x1b[?6n", b"\x1b[?15n", b"\x1b[?996n"],
    "modes": [b"\x1b[?2026$p", b"\x1b[4$p", b"\x1b[?4m", b"\x1bP$qm\x1b\\", b"\x1bP$q q\x1b\\"],
    "versions": [b"\x1b[>q", b"\x1b[>0q", b"\x1bP+q544e\x1b\\"],
    "parameters": [b"\x1b[x", b"\x1b[1x"],
    "window reports": [b"\x1b[11t", b"\x1b[13;2t", b"\x1b[14t", b"\x1b[18t", b"\x1b[19t", b"\x1b[20t", b"\x1b[21t"],
    "the keyboard": [b"\x1b[?u"],
    "graphics": [b"\x1b[?1;1;0S", b"\x1b[1$w", b"\x1b[1$u", b"\x1b_Gi=31,a=q;AAAA\x1b\\"],
    "colours": [
        b"\x1b]4;1;?\x07",
        b"\x1b]10;?\x1b\\",
        b"\x1b]11;?\x07",
        b"\x1b]12;?\x07",
        b"\x1b]21;foreground=?\x1b\\",
        b"\x1b[#R",
    ],
    "the clipboard": [b"\x1b]52;c;?\x07", b"\x1b]52;c;aGk=\x07"],
    "iTerm2's": [b"\x1b]1337;ReportCellSize\x07", b"\x1b]1337;ReportVariable=bmFtZQ==\x1b\\"],
    "others": [b"\x1b[1'|", b"\x1b[1;1;1;1;5;5*y", b"\x1b[#S", b"\x1b[#|"],
}

NOT_ANSWERED = [
    b"plain text\r\n",
    "grüße, 日本語\r\n".encode(),
    b"\x1b[31mred\x1b[0m",
    b"\x1b[38;2;1;2;3m",
    b"\x1b[2J\x1b[H\x1b[10;20f",
    b"\x1b[?1049h\x1b[?25l\x1b[?2004h",
    b"\x1b[>4;1m\x1b[>1u\x1b[<u",
    b"\x1b[22;0t\x1b[23;0t",
    b"\x1b[2 q",
    b"\x1b[!p",
    b"\x1b[S\x1b[3S",
    b"\x1b[s\x1b[u",
    b"\x1b]0;a title?\x07",
    b"\x1b]2;what; ? is it\x1b\\",
    b"\x1b]4;1;rgb:00/00/00\x07",
    b"\x1b]8;;http://a/?b\x07link\x1b]8;;\x07",
    b"\x1b]133;A\x07\x1b]7;file://host/\x07",
    b"\x1b7\x1b8\x1b=\x1b>\x1bM\x1bc",
    b"\x1b(B\x0e\x0f",
]


@pytest.mark.parametrize("what", ANSWERED)
def test_a_question_is_not_asked_again(what: str) -> None:
    for question in ANSWERED[what]:
        shown = without_questions(b"before" + question + b"after", from_start=True)
        assert shown == b"before" + CAN + b"after", question


@pytest.mark.parametrize("output", NOT_ANSWERED)
def test_what_is_no_question_is_shown_as_it_was(output: bytes) -> None:
    assert without_questions(output, from_start=True) == output


def test_an_enquiry_goes_wherever_it_stands() -> None:
    assert without_questions(b"a\x05b\x1b[3\x051m", from_start=True) == b"ab\x1b[31m"
    assert without_questions(b"\x1b[\x056n.", from_start=True) == CAN + b"."


def test_what_stood_around_a_question_does_not_become_another_one() -> None:
    for output in (b"\x1b[\x1b[6n6n", b"\x1b[\x1b[6nc", b"\x1b\x1bZZ", b"\x1b]10;\x1b[6n?\x07"):
        assert not _QUESTIONS.search(without_questions(output, from_start=True))


PIECES = st.sampled_from(
    [question for questions in ANSWERED.values() for question in questions]
    + NOT_ANSWERED
    + [b"\x1b", b"\x1b[", b"\x1b]10;", b"?", b"6", b"n", b"c", b"\x07", b"\x05", b"\x1b\\", b"\n", b"\x1bP$q", CAN]
)


@given(st.lists(PIECES, max_size=12), st.booleans())
def test_no_output_whatever_asks_anything_when_it_is_shown_again(pieces: list[bytes], from_start: bool) -> None:
    shown = without_questions(b"".join(pieces), from_start)
    assert not _QUESTIONS.search(shown)
    assert b"\x05" not in shown


@given(st.lists(st.sampled_from(NOT_ANSWERED), max_size=12))
def test_nothing_else_is_lost_or_changed(pieces: list[bytes]) -> None:
    assert without_questions(b"".join(pieces), from_start=True) == b"".join(pieces)


def test_from_the_middle_it_begins_at_a_line() -> None:
    assert without_questions(b"1mtorn off\r\nwhole\r\n", from_start=False) == b"whole\r\n"
    assert without_questions(b"no line end", from_start=False) == b"no line end"
    assert without_questions(b"", from_start=False) == b""


@pytest.mark.parametrize(
    ("output", "torn"),
    [
        (b"", 0),
        (b"text", 0),
        (b"\x1b[31m", 0),
        (b"\x1b[31mtext", 0),
        (b"\x1b[6n", 0),
        (b"\x1b]0;title\x07", 0),
        (b"\x1b]0;title\x1b\\", 0),
        (b"\x1bM", 0),
        (b"\x1b]0;title\x18", 0),
        (b"text\x1b", 1),
        (b"text\x1b[", 2),
        (b"text\x1b[38;5;", 7),
        (b"text\x1b[?", 3),
        (b"text\x1b[1$", 4),
        (b"text\x1b(", 2),
        (b"text\x1b]0;ti", 6),
        (b"text\x1b]0;ti\x1b", 7),
        (b"text\x1bP$q", 4),
        (b"text\x1b_Gi=1;", 7),
    ],
)
def test_what_is_unfinished_is_only_what_is(output: bytes, torn: int) -> None:
    assert unfinished(output) == torn


@given(st.lists(PIECES, max_size=8))
def test_a_question_that_is_complete_is_never_taken_for_unfinished(pieces: list[bytes]) -> None:
    """What is unfinished goes on live, so it must hold no question."""
    output = b"".join(pieces)
    size = unfinished(output)
    assert 0 <= size <= len(output)
    assert not _QUESTIONS.search(output[len(output) - size :])


HOSTILE = {
    "nothing but ESC": b"\x1b" * 1_000_000,
    "sequences without end": b"\x1b[" * 500_000,
    "digits without end": b"\x1b[" + b"1;" * 500_000,
    "a string without end": b"\x1b]10;?" + b"x" * 1_000_000,
    "strings that begin": b"\x1b]4;?" * 200_000,
    "questions": b"\x1b[6n" * 250_000,
    "nested questions": b"\x1b[" * 300_000 + b"6n" * 150_000,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_no_output_takes_long(what: str) -> None:
    """A session stands still meanwhile; a mebibyte of anything takes tens of milliseconds."""
    began = time.process_time()
    without_questions(HOSTILE[what], from_start=True)
    unfinished(HOSTILE[what])
    assert time.process_time() - began < 5.0
