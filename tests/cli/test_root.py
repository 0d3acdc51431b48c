"""The one place that exits: every error becomes a sentence or a document, and a status."""

from __future__ import annotations

import inspect
import json
import os
import re
from collections.abc import Callable
from itertools import pairwise

import click
import pytest

from cmdop.cli import root as root_module
from cmdop.cli.debug import FILE
from cmdop.cli.root import VERBS, cmdop, run
from cmdop.errors import AgentNotRunning, CmdopError, MachineOffline
from cmdop.home import Home
from tests.test_docs import TREE

Said = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def where(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("CMDOP_HOME", str(home.path))
    monkeypatch.delenv("CMDOP_DEBUG", raising=False)
    return home


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Put a verb `try` on the list that does what it is told."""

    def add(work: Callable[[], object]) -> None:
        @click.command("try")
        @click.option("--json", is_flag=True)
        @click.argument("words", nargs=-1)
        def tried(json: bool, words: tuple[str, ...]) -> object:
            return work()

        monkeypatch.setattr(root_module, "try", tried, raising=False)
        monkeypatch.setitem(VERBS, "try", ("cmdop.cli.root", "Try it."))

    return add


def fail(error: BaseException) -> Callable[[], object]:
    def work() -> object:
        raise error

    return work


Verb = Callable[[Callable[[], object]], None]


# -- the verbs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TREE)
def test_a_help_fits_into_80_columns_and_its_summaries_are_whole_sentences(name: str) -> None:
    command = TREE[name]
    shown = command.get_help(click.Context(command, info_name=name)).splitlines()
    assert [line for line in shown if len(line) > 80] == []
    _, _, verbs = "\n".join(shown).partition("Commands:\n")
    assert [line for line in verbs.splitlines() if not line.endswith(".") or line.endswith("...")] == []


@pytest.mark.parametrize("name", TREE)
def test_an_example_stands_apart_from_the_words_above_it(name: str) -> None:
    lines = inspect.cleandoc(TREE[name].help or "").splitlines()
    glued = [line for before, line in pairwise(lines) if line.startswith("  cmdop ") and before[:1].strip(" \b")]
    assert glued == []


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_on_the_list_is_there_and_has_a_help_line(name: str, capsys: Said) -> None:
    assert run([name, "--help"]) == 0
    assert f"cmdop {name}" in capsys.readouterr().out
    assert VERBS[name][1].endswith(".")


def test_the_help_names_every_verb_without_importing_one(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root_module.importlib, "import_module", pytest.fail)
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert [name for name in VERBS if f"  {name} " not in shown] == []


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"]])
def test_alone_it_shows_its_help(words: list[str], capsys: Said) -> None:
    assert run(words) in (0, 2)
    said = capsys.readouterr()
    assert "Usage: cmdop" in said.out + said.err


@pytest.mark.parametrize("verb", [[], ["session"], ["connect", "key"]])
def test_verbs_without_a_verb_show_their_help_and_with_json_say_what_is_missing(verb: list[str], capsys: Said) -> None:
    assert run(verb) == 2
    assert capsys.readouterr().err.startswith(f"Usage: {' '.join(['cmdop', *verb])} [OPTIONS]")
    if verb:
        assert run([*verb, "--json"]) == 2
        said = json.loads(capsys.readouterr().out)["error"]
        assert (said["code"], said["hint"]) == ("usage", f"see {' '.join(['cmdop', *verb])} --help")


@pytest.mark.parametrize(
    ("words", "like"),
    [(["help"], ["--help"]), (["help", "connect", "key"], ["connect", "key", "--help"]), (["version"], ["--version"])],
)
def test_help_and_version_may_be_typed_as_verbs(words: list[str], like: list[str], capsys: Said) -> None:
    assert run(words) == run(like) == 0
    shown = capsys.readouterr().out
    assert shown[: len(shown) // 2] == shown[len(shown) // 2 :] != ""


def test_an_unknown_verb_is_wrong_usage(capsys: Said) -> None:
    assert run(["nonsense"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert 'no such command "nonsense"' in said.err


# -- statuses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("result", "status"), [(None, 0), (0, 0), (7, 7), (255, 255), ("text", 0)])
def test_what_a_verb_returns_is_the_status(verb: Verb, result: object, status: int) -> None:
    verb(lambda: result)
    assert run(["try"]) == status


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (click.exceptions.Exit(3), 3),
        (SystemExit(143), 143),
        (SystemExit("words"), 1),
        (BrokenPipeError(), 0),
    ],
)
def test_what_needs_no_words_has_only_a_status(verb: Verb, capsys: Said, error: BaseException, status: int) -> None:
    verb(fail(error))
    assert run(["try"]) == status
    assert capsys.readouterr() == ("", "")


# -- errors -----------------------------------------------------------------------------------------


def test_an_error_is_a_sentence_and_what_to_do_next(verb: Verb, capsys: Said) -> None:
    verb(fail(MachineOffline(name="vps-audi", last_heard="last heard 3 min ago")))
    assert run(["try"]) == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        'cmdop: machine "vps-audi" is offline\nlast heard 3 min ago; on that machine, look at: cmdop agent status\n'
    )


def test_with_json_it_is_one_document_on_stdout(verb: Verb, capsys: Said) -> None:
    verb(fail(MachineOffline(name="vps-audi", last_heard="never")))
    assert run(["try", "--json"]) == 4
    said = capsys.readouterr()
    assert said.err == ""
    assert json.loads(said.out) == {
        "error": {
            "code": "machine-offline",
            "message": 'machine "vps-audi" is offline',
            "hint": "never; on that machine, look at: cmdop agent status",
            "details": {"name": "vps-audi", "last_heard": "never"},
        }
    }


def test_json_behind_the_dashes_is_a_word_of_the_command_s(verb: Verb, capsys: Said) -> None:
    verb(fail(AgentNotRunning()))
    assert run(["try", "--", "ls", "--json"]) == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("cmdop: no agent is running here\n")


@pytest.mark.parametrize("words", [["--nonsense"], ["connect", "--nonsense"], ["connect", "--session"], ["nonsense"]])
def test_wrong_usage_is_said_and_with_json_it_is_a_document_too(words: list[str], capsys: Said) -> None:
    assert run(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(r"cmdop: (?!usage)[^\n]+[^.\n]\nsee cmdop( connect)? --help\n", said.err)
    assert run(["connect", *words, "--json"] if words[0] == "--nonsense" else [*words[:1], "--json", *words[1:]]) == 2
    said = capsys.readouterr()
    assert said.err == ""
    document = json.loads(said.out)["error"]
    assert document["code"] == "usage"
    assert document["message"]


UNEXPECTED = [
    ZeroDivisionError("division by zero"),
    ValueError(),
    OSError(13, "Permission denied", "/etc/shadow"),
    RecursionError("maximum recursion depth exceeded"),
    MemoryError(),
    UnicodeEncodeError("ascii", "ü", 0, 1, "ordinal not in range"),
    AssertionError(),
    EOFError(),
    KeyError("x"),
]


@pytest.mark.parametrize("error", UNEXPECTED, ids=lambda error: type(error).__name__)
def test_what_nobody_expected_is_one_sentence_too(verb: Verb, capsys: Said, error: Exception, where: Home) -> None:
    verb(fail(error))
    assert run(["try"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    assert lines[0].startswith(f"cmdop: something unexpected went wrong: {type(error).__name__}")
    assert lines[1] == CmdopError.hint
    assert len(lines) == 2
    assert run(["try", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "unexpected"
    assert not where.file(FILE).exists()


def test_details_that_are_no_json_are_told_as_text(verb: Verb, capsys: Said, where: Home) -> None:
    verb(fail(CmdopError(reason="x", path=where.path, nested={"raw": b"\xff"})))
    assert run(["try", "--json"]) == 1
    details = json.loads(capsys.readouterr().out)["error"]["details"]
    assert details["path"] == str(where.path)


def test_control_characters_of_a_peer_do_not_reach_the_terminal(verb: Verb, capsys: Said) -> None:
    verb(fail(CmdopError(reason="\x1b]0;owned\x07 and\nmore")))
    run(["try"])
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "\x07" not in said


# -- CMDOP_DEBUG ------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ZeroDivisionError("a mistake"), MachineOffline(name="a mistake")])
def test_with_debug_the_traceback_is_in_a_private_file(
    verb: Verb, capsys: Said, where: Home, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setenv("CMDOP_DEBUG", "1")
    verb(fail(error))
    run(["try"])
    run(["try"])
    assert "Traceback" not in capsys.readouterr().err
    log = where.file(FILE).read_text()
    assert log.count("Traceback (most recent call last):") == 2
    assert "a mistake" in log
    if os.name == "posix":
        assert where.file(FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("value", ["", "0"])
def test_debug_can_be_off(verb: Verb, where: Home, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CMDOP_DEBUG", value)
    verb(fail(ZeroDivisionError()))
    assert run(["try"]) == 1
    assert not where.file(FILE).exists()


def test_a_log_that_cannot_be_written_changes_nothing(
    verb: Verb, capsys: Said, where: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CMDOP_DEBUG", "1")
    where.path.write_bytes(b"a file in its place")
    verb(fail(ZeroDivisionError("a mistake")))
    assert run(["try"]) == 1
    assert capsys.readouterr().err.startswith("cmdop: something unexpected")


# -- an output that fails ---------------------------------------------------------------------------


class Broken:
    """A stream that takes nothing."""

    encoding = "utf-8"

    def __init__(self, error: OSError) -> None:
        self.error = error

    def write(self, text: str) -> int:
        raise self.error

    def flush(self) -> None:
        raise self.error

    def fileno(self) -> int:
        raise OSError("it has none")


@pytest.mark.parametrize(("error", "status"), [(BrokenPipeError(32, "Broken pipe"), 0), (OSError(28, "No Space"), 1)])
def test_a_stdout_that_fails_is_said_and_nothing_is_raised(
    verb: Verb, capsys: Said, monkeypatch: pytest.MonkeyPatch, error: OSError, status: int
) -> None:
    verb(lambda: click.echo("result"))
    monkeypatch.setattr("sys.stdout", Broken(error))
    assert run(["try"]) == status
    said = capsys.readouterr().err
    assert said.splitlines()[:1] == (["cmdop: the output cannot be written: no space"] if status else [])


def test_a_stderr_that_fails_loses_the_words_and_not_the_status(verb: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    verb(fail(AgentNotRunning()))
    for broken in (Broken(OSError(28, "No Space")), None):
        monkeypatch.setattr("sys.stderr", broken)
        assert run(["try"]) == 4
        assert run(["nonsense"]) == 2


def test_it_is_one_tree() -> None:
    assert set(cmdop.list_commands(click.Context(cmdop))) == set(VERBS)
    assert cmdop.get_command(click.Context(cmdop), "nonsense") is None
