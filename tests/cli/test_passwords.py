"""`cmdop agent password`, `cmdop connect password`, and where the command line has a password from."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import click
import pytest

from cmdop.auth.kept_passwords import KeptPasswords
from cmdop.auth.machine_password import load_password
from cmdop.cli import agent_password, prompt
from cmdop.cli.passwords import (
    NOT_GIVEN,
    VARIABLE,
    AskedUser,
    GivenPassword,
    ToldUser,
    given_password,
    password_text,
    passwords_for,
)
from cmdop.cli.root import run
from cmdop.errors import NotATerminal, UsageError
from cmdop.home import Home
from cmdop.limits import PASSWORD_MAX_BYTES

Said = pytest.CaptureFixture[str]
SECRET = "correct horse ö"


@pytest.fixture(autouse=True)
def where(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("CMDOP_HOME", str(home.path))
    monkeypatch.setattr("cmdop.auth.machine_password.SCRYPT_N", 2)
    return home


def write(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Give that to standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))


def answers(monkeypatch: pytest.MonkeyPatch, *typed: str) -> None:
    """Somebody is there who types these."""
    waiting = list(typed)
    monkeypatch.setattr(prompt, "can_ask", lambda: True)
    monkeypatch.setattr(prompt, "ask_unseen", lambda _: waiting.pop(0))


# -- the machine's own ----------------------------------------------------------------------------


def test_a_password_is_asked_for_twice(where: Home, monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    answers(monkeypatch, SECRET, SECRET)
    assert run(["agent", "password", "set"]) == 0
    kept = load_password(where)
    assert kept is not None
    assert kept.matches(SECRET)
    assert "horse" not in "".join(capsys.readouterr())


def test_two_that_differ_change_nothing(where: Home, monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    answers(monkeypatch, SECRET, "another")
    assert run(["agent", "password", "set"]) == 2
    assert capsys.readouterr().err.startswith("cmdop: the two are not the same: nothing was changed\n")
    assert load_password(where) is None


@pytest.mark.parametrize("line", [f"{SECRET}\n", f"{SECRET}\r\n", SECRET, f"{SECRET}\nmore\n"])
def test_a_password_is_one_line_of_standard_input(where: Home, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    write(monkeypatch, line.encode())
    assert run(["agent", "password", "set"]) == 0
    kept = load_password(where)
    assert kept is not None
    assert kept.matches(SECRET)


@pytest.mark.parametrize("data", [b"", b"\n", b"\xff\n", b"x" * (PASSWORD_MAX_BYTES + 1)])
def test_what_is_no_password_is_refused(where: Home, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    write(monkeypatch, data)
    assert run(["agent", "password", "set"]) == 2
    assert load_password(where) is None


def test_its_state_is_told_and_it_can_be_cleared(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    assert run(["agent", "password", "status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"set": False, "since": None}
    write(monkeypatch, SECRET.encode())
    assert run(["agent", "password", "set", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["set"] is True
    assert run(["agent", "password", "status"]) == 0
    assert capsys.readouterr().out == f"a password is set, since {told['since']}\n"
    for said in ("the password is cleared: an operator's key is enough now\n", "there was no password\n"):
        assert run(["agent", "password", "clear"]) == 0
        assert capsys.readouterr().err == said
    assert run(["agent", "password", "status"]) == 0
    assert capsys.readouterr().out == "no password is set: an operator's key is enough\n"


def test_a_terminal_is_not_read_as_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", type("Terminal", (io.StringIO,), {"isatty": lambda _: True})())
    assert run(["agent", "password", "set", "--json"]) == 2


def test_the_module_has_nothing_that_keeps_a_password() -> None:
    assert not [name for name in vars(agent_password) if name.isupper()]


# -- what this client remembers -------------------------------------------------------------------


def test_what_is_remembered_is_listed_and_forgotten(where: Home, capsys: Said) -> None:
    assert run(["connect", "password", "list"]) == 0
    assert "no machine's password is remembered" in capsys.readouterr().err
    machine_id = "8f23a4b0-0000-4000-8000-000000000001"
    KeptPasswords(where).keep(machine_id, "prod-api-1", SECRET)
    assert run(["connect", "password", "list"]) == 0
    listed = capsys.readouterr().out
    assert listed.split() == ["NAME", "ID", "KEPT", "IN", "prod-api-1", machine_id, "file"]
    assert run(["connect", "password", "clear", "prod-api"]) == 0
    assert capsys.readouterr().err == "the password of prod-api-1 is forgotten\n"
    assert KeptPasswords(where).get(machine_id) is None
    assert run(["connect", "password", "clear", "prod-api-1"]) == 3
    assert capsys.readouterr().err.endswith("\nthose with a password here: cmdop connect password list\n")


# -- the options ----------------------------------------------------------------------------------


def test_a_password_of_the_command_line_or_of_a_file(tmp_path: Path) -> None:
    assert given_password(None, None) is NOT_GIVEN
    assert given_password(SECRET, None) == GivenPassword(SECRET, "--password")
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\nmore\n", encoding="utf-8")
    assert given_password(None, str(file)) == GivenPassword(SECRET, "--password-file")
    assert "horse" not in repr(given_password(SECRET, None))


@pytest.mark.parametrize(
    ("text", "file", "said"),
    [
        ("a", "b", "two passwords"),
        ("", None, "--password has no password"),
        (None, "missing", "missing cannot be read: no such file"),
        (None, ".", "cannot be read"),
        (None, os.devnull, "has no password"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="the words of a POSIX system")
def test_what_is_wrong_about_them_is_said(text: str | None, file: str | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        given_password(text, file)


def test_the_order_of_the_sources_is_the_promised_one(where: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    KeptPasswords(where).keep("id", "prod", "kept")
    monkeypatch.setenv(VARIABLE, "environment")
    passwords = passwords_for(where, GivenPassword("given", "--password"), ToldUser(lambda _: None))
    assert [offer.text for offer in passwords.silent("id")] == ["given", "kept", "environment"]
    assert [offer.text for offer in passwords.silent("another")] == ["given", "environment"]
    assert passwords.person is None


def test_what_is_said_of_them(where: Home) -> None:
    said: list[str] = []
    told = ToldUser(said.append)
    told.wrong("prod", "--password")
    told.wrong("prod", None)
    told.waits("prod", 31.7)
    assert said == [
        "wrong password for prod (--password)",
        "wrong password for prod",
        "prod was told wrong passwords: it looks at this one in 32 s",
    ]


class Lines:
    """What an attach says."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def notice(self, text: str) -> None:
        self.said.append(f"[connect] {text}")

    def interrupt(self, text: str) -> None:
        self.said.append(text)


def test_somebody_at_a_terminal_is_asked_with_the_promised_words(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Lines()
    asked: list[str] = []

    def type_it(question: str) -> str:
        asked.append(question)
        return SECRET

    monkeypatch.setattr(prompt, "ask_unseen", type_it)
    user = AskedUser(lines)
    user.asked()
    assert user.ask("prod-api-1") == SECRET
    user.wrong("prod-api-1", None)
    assert lines.said == ["password required", "password required", "[connect] wrong password for prod-api-1"]
    assert asked == ["Password for prod-api-1: "]


# -- the prompt -----------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX terminal")
def test_a_hidden_answer_that_could_not_be_hidden_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "open", lambda *_: (_ for _ in ()).throw(OSError("no /dev/tty")))
    monkeypatch.setattr(sys, "stdin", io.StringIO("typed\n"))
    with pytest.raises(NotATerminal):
        prompt.ask_unseen("Password: ")


@pytest.mark.parametrize("leaving", [KeyboardInterrupt(), EOFError()])
def test_leaving_the_question_is_leaving(monkeypatch: pytest.MonkeyPatch, leaving: BaseException, capsys: Said) -> None:
    def leave(*_: object) -> str:
        raise leaving

    monkeypatch.setattr("getpass.getpass", leave)
    with pytest.raises(click.Abort):
        prompt.ask_unseen("Password: ")
    assert capsys.readouterr().err == "\n"


def test_where_a_password_would_come_from_is_said_before_anybody_is_asked(
    where: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert password_text(where, NOT_GIVEN, "one", entered=False) == "asked for, if it has one"
    monkeypatch.setenv(VARIABLE, SECRET)
    assert password_text(where, NOT_GIVEN, "one", entered=False) == f"from {VARIABLE}, if it wants one"
    KeptPasswords(where).keep("one", "prod", SECRET)
    assert password_text(where, NOT_GIVEN, "one", entered=False) == "remembered here"
    assert password_text(where, NOT_GIVEN, "two", entered=False) == f"from {VARIABLE}, if it wants one"
    given = GivenPassword(SECRET, "--password-file")
    assert password_text(where, given, "one", entered=False) == "from --password-file, if it wants one"
    assert password_text(where, given, "one", entered=True) == "not asked for again"
    (where.path / "secrets.json").write_text("{")
    said = password_text(where, NOT_GIVEN, "one", entered=False)
    assert "secrets.json cannot be read" in said
    assert "secrets.json.corrupt-1" in said
