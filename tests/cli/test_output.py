"""How results and errors look."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cmdop.cli.output import print_json, print_table, report_error
from cmdop.errors import AgentRunning, AmbiguousMachine, CmdopError

Said = pytest.CaptureFixture[str]


def in_ascii(show: Callable[[], None]) -> str:
    """What is shown on a stdout of a locale that has next to no characters."""
    written = io.BytesIO()
    stdout = io.TextIOWrapper(written, encoding="ascii")
    with contextlib.redirect_stdout(stdout):
        show()
        stdout.flush()
    return written.getvalue().decode("ascii")


def test_a_document_is_one_and_readable(capsys: Said) -> None:
    print_json({"name": "größe", "list": [1, None, True], "path": Path("/x")})
    shown = capsys.readouterr().out
    assert json.loads(shown) == {"name": "größe", "list": [1, None, True], "path": "/x"}
    assert "größe" in shown
    assert shown.endswith("}\n")


@pytest.mark.parametrize("text", ["größe", "日本", "\udcff", "a\x00b\x1b"])
def test_a_document_is_the_same_in_any_encoding(text: str) -> None:
    assert json.loads(in_ascii(lambda: print_json([text]))) == [text]


def test_half_a_character_is_a_document_too(capsys: Said) -> None:
    """What an argument that is no UTF-8 becomes (PEP 383)."""
    print_json(["\udcff"])
    assert json.loads(capsys.readouterr().out) == ["\udcff"]


def test_a_table_is_aligned_and_ends_where_its_text_does(capsys: Said) -> None:
    print_table(("NAME", "ID"), [("prod", "8f23a4b0"), ("a", "")])
    assert capsys.readouterr().out == "NAME  ID\nprod  8f23a4b0\na\n"


def test_columns_stay_where_they_are_beside_names_in_wide_characters(capsys: Said) -> None:
    print_table(("NAME", "ID"), [("日本", "8f23"), ("e\u0301te", "a0b4")])
    assert capsys.readouterr().out == "NAME  ID\n日本  8f23\ne\u0301te   a0b4\n"


def test_a_table_without_rows_is_its_header(capsys: Said) -> None:
    print_table(("NAME", "ID"), [])
    assert capsys.readouterr().out == "NAME  ID\n"


def test_what_a_terminal_would_act_on_is_not_in_a_table(capsys: Said) -> None:
    print_table(("NAME",), [("\x1b]0;owned\x07\r\nnext",)])
    assert capsys.readouterr().out == "NAME\n?]0;owned???next\n"


def test_a_table_is_no_crash_where_characters_are_missing() -> None:
    assert in_ascii(lambda: print_table(("NAME", "X"), [("größe", "x")])) == "NAME   X\ngr??e  x\n"


def test_an_error_is_a_sentence_and_a_step_on_stderr(capsys: Said) -> None:
    report_error(AgentRunning(pid=5))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "cmdop: an agent is already running here (pid 5)\n"
        "cmdop agent restart starts it anew with the same options; for other ones run cmdop agent stop first\n"
    )


def test_candidates_are_a_line_each_without_what_a_terminal_acts_on(capsys: Said) -> None:
    report_error(AmbiguousMachine(query="prod", candidates="  one\n  two\x1b[31m"))
    said = capsys.readouterr().err
    assert said.splitlines()[:3] == [
        'cmdop: ambiguous machine "prod"',
        AmbiguousMachine.hint.partition("\n")[0],
        "  one",
    ]
    assert "\x1b" not in said


def test_an_error_as_a_document_has_all_its_fields(capsys: Said) -> None:
    report_error(CmdopError(reason="x", path=Path("/x"), number=1.5, list=["a"], deep={"raw": b"\xff"}), as_json=True)
    said = capsys.readouterr()
    assert said.err == ""
    error = json.loads(said.out)["error"]
    assert set(error) == {"code", "message", "hint", "details"}
    assert error["details"] == {"reason": "x", "path": "/x", "number": 1.5, "list": ["a"], "deep": {"raw": "b'\\xff'"}}


def test_a_row_may_have_lines_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("A", "B"), [("1", "2"), ("wide", "3")], [["  below\x1b"], []])
    assert capsys.readouterr().out == "A     B\n1     2\n  below?\nwide  3\n"
