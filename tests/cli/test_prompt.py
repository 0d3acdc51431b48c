"""Questions, answered by keys as a terminal sends them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from cmdop.cli.prompt import ask_hidden, ask_text, can_ask, choose, confirm
from cmdop.winsize import Winsize


@pytest.fixture
def typed() -> Iterator[Callable[[str], None]]:
    """Types at the terminal that questions are asked on."""
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        yield keys.send_text


def test_an_answer_is_a_line_without_white_space_around_it(typed: Callable[[str], None]) -> None:
    typed("  ws://one \r")
    assert ask_text("Relay URL") == "ws://one"
    typed("ck_x\r")
    assert ask_hidden("API key") == "ck_x"


def test_an_empty_answer_is_the_default(typed: Callable[[str], None]) -> None:
    typed("\r")
    assert ask_text("Relay URL", "ws://usual") == "ws://usual"


def test_answers_that_were_pasted_together_go_to_one_question_each(typed: Callable[[str], None]) -> None:
    typed("ws://one\rck_x\r")
    assert (ask_text("Relay URL"), ask_hidden("API key")) == ("ws://one", "ck_x")


def test_a_pasted_line_may_bring_its_end_along(typed: Callable[[str], None]) -> None:
    typed("\x1b[200~ck_x\n\x1b[201~\r")
    assert ask_hidden("API key") == "ck_x"


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
@pytest.mark.parametrize("ask", [ask_text, ask_hidden])
def test_leaving_is_an_abort(typed: Callable[[str], None], ask: Callable[[str], str], key: str) -> None:
    typed(key)
    with pytest.raises(click.Abort):
        ask("?")


# -- lists ------------------------------------------------------------------------------------


class Keys:
    """A list that notes what was done to it."""

    def __init__(self, empty: bool = False) -> None:
        self.done: list[object] = []
        self.winsize = Winsize(0, 0)
        self.changed: Callable[[], None] | None = None
        self.drawn = threading.Event()
        self._empty = empty

    def fragments(self, winsize: Winsize) -> list[tuple[str, str]]:
        self.winsize = winsize
        self.drawn.set()
        return [("", "one\ntwo")]

    @contextmanager
    def refreshing(self, changed: Callable[[], None]) -> Iterator[None]:
        self.changed = changed
        try:
            yield
        finally:
            self.changed = None

    def typed(self, text: str) -> None:
        self.done.append(text)

    def rub_out(self) -> None:
        self.done.append("rub out")

    def rub_out_word(self) -> None:
        self.done.append("rub out a word")

    def clear(self) -> None:
        self.done.append("clear")

    def move(self, rows: int) -> None:
        self.done.append(rows)

    def can_choose(self) -> bool:
        return not self._empty


@pytest.mark.parametrize(
    ("keys", "done"),
    [
        ("jkq ß日1", ["j", "k", "q", " ", "ß", "日", "1"]),
        ("\x7f\x08", ["rub out", "rub out"]),
        ("\x17\x15", ["rub out a word", "clear"]),
        ("\x1b[A\x1b[B\x10\x0e", [-1, 1, -1, 1]),
        ("\x1b[5~\x1b[6~", [-10, 10]),
        ("\x1b[200~pasted text\x1b[201~", ["pasted text"]),
    ],
)
def test_keys_in_a_list_do_what_they_are_for(typed: Callable[[str], None], keys: str, done: list[object]) -> None:
    listing = Keys()
    typed(keys + "\r")
    assert choose("Which?", listing)
    assert listing.done == done
    assert listing.winsize == Winsize(40, 80)  # DummyOutput's
    assert listing.changed is None


def test_home_and_end_go_as_far_as_there_is(typed: Callable[[str], None]) -> None:
    listing = Keys()
    typed("\x1b[H\x1b[F\r")
    assert choose("Which?", listing)
    first, last = listing.done
    assert isinstance(first, int)
    assert isinstance(last, int)
    assert first == -last < -1_000_000


def test_where_nothing_is_pointed_at_enter_does_nothing(typed: Callable[[str], None]) -> None:
    typed("\r\n\r\x04")
    assert not choose("Which?", Keys(empty=True))


def test_leaving_a_list_is_an_answer_and_cancelling_it_is_an_abort(typed: Callable[[str], None]) -> None:
    typed("x\x04")
    assert choose("Which?", Keys()) is False
    typed("x\x03")
    with pytest.raises(click.Abort):
        choose("Which?", Keys())


def test_a_list_that_has_changed_is_drawn_anew(typed: Callable[[str], None]) -> None:
    listing = Keys()

    def change() -> None:
        assert listing.drawn.wait(10.0)
        listing.drawn.clear()
        assert listing.changed is not None
        listing.changed()
        assert listing.drawn.wait(10.0)
        typed("\r")

    changing = threading.Thread(target=change, daemon=True)
    changing.start()
    assert choose("Which?", listing)
    changing.join(10.0)


@pytest.mark.parametrize(("keys", "answer"), [("\r", True), ("y", True), ("n", False), ("N", False), ("\x04", None)])
def test_a_confirmation_is_yes_unless_something_else_is_said(
    typed: Callable[[str], None], keys: str, answer: bool | None
) -> None:
    typed(keys)
    assert confirm("Sure?") is answer


def test_cancelling_a_confirmation_is_an_abort(typed: Callable[[str], None]) -> None:
    typed("\x03")
    with pytest.raises(click.Abort):
        confirm("Sure?")


# -- where there is nobody ----------------------------------------------------------------------


def test_without_a_terminal_nobody_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        assert not can_ask()
    monkeypatch.setattr("sys.stdin", None)
    assert not can_ask()
