"""`cmdop connect exec` as it is typed: what it takes for wrong usage, and its document."""

from __future__ import annotations

import json

import pytest

from cmdop.cli.exec_document import fields
from cmdop.cli.root import run
from cmdop.client.delivery import Kept

Said = pytest.CaptureFixture[str]
AWAY = ["--server", "ws://127.0.0.1:1", "--api-key", "none"]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["prod"],
        ["prod", "--"],
        ["prod", "ls"],
        ["--host", "prod", "other", "--", "ls"],
        ["prod", "--timeout", "soon", "--", "ls"],
        ["prod", "--timeout", "0", "--", "ls"],
        ["prod", "--env", "A", "--", "ls"],
        ["prod", "--env", "=x", "--", "ls"],
        ["prod", "--tty", "--json", "--", "ls"],
        ["prod", "--no-such-option", "--", "ls"],
        ["prod", "--", "x" * 100_000],
    ],
)
def test_wrong_usage_is_said_before_anything_is_done(words: list[str], capsys: Said) -> None:
    assert run(["connect", "exec", *words]) == 2
    said = capsys.readouterr()
    assert said.err or json.loads(said.out)["error"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["connect", "exec", "prod", "ls", "-l"], "no such option '-l'; {}: cmdop connect exec HOST -- CMD..."),
        (["session", "create", "prod", "top"], "got unexpected extra argument (top); {}: cmdop session create HOST"),
        (["session", "create", "prod", "top", "-d", "1"], "no such option '-d'; {}: cmdop session create HOST"),
    ],
)
def test_a_command_typed_as_for_ssh_is_told_of_the_two_dashes(words: list[str], said: str, capsys: Said) -> None:
    assert run(words) == 2
    assert said.format("a command stands behind two dashes") in capsys.readouterr().err


@pytest.mark.parametrize("words", [["prod", "--tiemout", "5"], ["--tiemout", "5", "prod", "--", "ls"]])
def test_an_option_that_looks_like_one_of_ours_is_not_taken_for_a_command(words: list[str], capsys: Said) -> None:
    assert run(["connect", "exec", *words]) == 2
    assert "--timeout" in capsys.readouterr().err


def test_our_own_failure_is_255_and_has_its_own_code(capsys: Said) -> None:
    assert run(["connect", "exec", "prod", *AWAY, "--json", "--", "ls", "--json"]) == 255
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "bad-key"


def test_options_may_stand_on_both_sides_of_host_and_behind_the_dashes_all_is_the_commands(capsys: Said) -> None:
    for words in (["--cwd", "/", "prod", *AWAY], [*AWAY, "prod", "--cwd", "/"], ["--host", "prod", *AWAY]):
        assert run(["connect", "exec", *words, "--", "ls", "--help", "--json"]) == 255
        said = capsys.readouterr()
        assert (said.out, said.err.startswith("cmdop: that is not an API key")) == ("", True)


def test_the_help_has_examples(capsys: Said) -> None:
    assert run(["connect", "exec", "--help"]) == 0
    assert "cmdop connect exec prod-api-1 -- uptime" in capsys.readouterr().out


class TestOutputInADocument:
    def test_text_is_under_its_name(self) -> None:
        assert fields("stdout", kept("grün".encode())) == {"stdout": "grün"}

    def test_what_is_no_text_is_in_base64(self) -> None:
        assert fields("stderr", kept(b"\xff\x00")) == {"stderr_base64": "/wA="}

    def test_what_is_cut_ends_with_a_whole_character(self) -> None:
        assert fields("stdout", kept("xü".encode(), b"more", max_bytes=2)) == {"stdout": "x"}


def kept(*pieces: bytes, max_bytes: int = 100) -> Kept:
    output = Kept(max_bytes)
    for piece in pieces:
        output.write(piece)
    return output
