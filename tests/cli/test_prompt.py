"""Questions, answered by keys as a terminal sends them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import click
import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from cmdop.cli.prompt import ask_hidden, ask_text, can_ask


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


def test_without_a_terminal_nobody_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        assert not can_ask()
    monkeypatch.setattr("sys.stdin", None)
    assert not can_ask()
