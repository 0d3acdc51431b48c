"""`cmdop login` and `cmdop logout` as they are typed, with a real relay."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import click
import keyring
import pytest

from cmdop.auth.credentials import Credential, Given, find_credential, keep_credential, kept_places, secret_name
from cmdop.auth.keys import ApiKey, Role, new_workspace_key
from cmdop.auth.vault import Vault
from cmdop.auth.workspaces import KnownRelay, Workspaces, load_workspaces
from cmdop.cli import login as login_module
from cmdop.cli.root import run
from cmdop.home import Home
from cmdop.relay import admin
from cmdop.relay.server import RelayServer
from cmdop.store.sqlite import SqliteStore
from tests.auth.keyrings import MemoryKeyring

Said = pytest.CaptureFixture[str]
STRANGER = new_workspace_key()


class Relay:
    """A relay with the workspace `production`, and keys of each role."""

    def __init__(self, db: Path) -> None:
        self.store = SqliteStore(db)
        self.server = RelayServer(self.store, ("127.0.0.1", 0))
        self.server.start()
        self.url = f"ws://127.0.0.1:{self.server.address[1]}"
        self.admin_key = admin.create_workspace(self.store, "production", "root", 1.0)

    def key(self, role: Role) -> ApiKey:
        return admin.create_key(self.store, self.admin_key, "production", "ann", role, 2.0)

    def close(self) -> None:
        self.server.close()
        self.store.close()


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    relay = Relay(tmp_path / "relay.db")
    yield relay
    relay.close()


@pytest.fixture(autouse=True)
def where(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("CMDOP_HOME", str(home.path))
    return home


class Person:
    """What somebody writes to standard input, or answers."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.questions: list[str] = []
        self._patch = patch

    def writes(self, *lines: str) -> None:
        self._patch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))

    def answers(self, *answers: str | BaseException) -> None:
        left = list(answers)

        def ask(question: str, default: str = "") -> str:
            self.questions.append(f"{question} [{default}]" if default else question)
            answer = left.pop(0)
            if isinstance(answer, BaseException):
                raise answer
            return answer or default

        self._patch.setattr(login_module, "can_ask", lambda: True)
        self._patch.setattr(login_module, "ask_text", ask)
        self._patch.setattr(login_module, "ask_hidden", ask)


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Person:
    return Person(monkeypatch)


def nothing_is_kept(where: Home) -> bool:
    return load_workspaces(where).servers == {} and kept_places(where) == {}


# -- logging in -----------------------------------------------------------------------------


def test_it_asks_for_relay_and_key_checks_them_and_keeps_them(
    relay: Relay, where: Home, person: Person, capsys: Said
) -> None:
    key = relay.key(Role.OPERATOR)
    person.answers(relay.url, key.text)
    assert run(["login"]) == 0
    assert person.questions == ["Relay URL [ws://127.0.0.1:7420]", "API key"]
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        f'logged in to {relay.url} as ann (operator); "production" is the active workspace',
        f"the key {key.masked} is kept in {where.path}/secrets.json (there is no keyring here)",
    ]
    assert find_credential(where, Given()) == Credential(key, relay.url, "production")


@pytest.mark.parametrize("how", ["two lines", "an option", "a variable", "known"])
def test_both_may_come_from_elsewhere(
    relay: Relay, where: Home, person: Person, capsys: Said, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    key = relay.key(Role.OBSERVER)
    person.writes(*([relay.url] if how == "two lines" else []), f"  {key.text} ")
    if how == "a variable":
        monkeypatch.setenv("CMDOP_SERVER", relay.url)
    if how == "known":
        run(["connect", "key", "set", STRANGER.text, "--workspace", "production", "--server", relay.url])
        capsys.readouterr()
    assert run(["login", "--json", *(["--server", relay.url] if how == "an option" else [])]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert json.loads(said.out) == {
        "workspace": "production",
        "active": True,
        "server": relay.url,
        "ca_file": None,
        "operator": "ann",
        "role": "observer",
        "key": key.masked,
        "key_in": "file",
    }
    assert find_credential(where, Given()) == Credential(key, relay.url, "production")


def test_the_workspace_may_have_another_name_here_and_becomes_active(relay: Relay, where: Home, person: Person) -> None:
    keep_credential(where, Credential(STRANGER, "ws://one", "home"))
    person.writes(relay.url, relay.admin_key.text)
    assert run(["login", "--workspace", "work"]) == 0
    assert load_workspaces(where) == Workspaces("work", {"home": KnownRelay("ws://one"), "work": KnownRelay(relay.url)})
    assert find_credential(where, Given(workspace="home")).key == STRANGER


def test_whom_to_trust_is_kept_with_the_relay_until_another_is_named(
    relay: Relay, where: Home, person: Person, capsys: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    person.writes(relay.url, relay.admin_key.text)
    assert run(["login", "--ca-file", "ca.pem"]) == 0
    assert f"{tmp_path / 'ca.pem'} says whom to trust there" in capsys.readouterr().err
    assert find_credential(where, Given()).ca_file == tmp_path / "ca.pem"
    for said in (["key", "set", STRANGER.text], ["workspace", "add", "production", "-k", STRANGER.text]):
        assert run(["connect", *said, "--server", relay.url]) == 0  # they ask nobody, and change nothing of it
        assert find_credential(where, Given()) == Credential(STRANGER, relay.url, "production", tmp_path / "ca.pem")
    for name in ("production", "another"):
        person.writes(relay.url, relay.admin_key.text)
        assert run(["login", "--workspace", name]) == 0
        assert find_credential(where, Given(workspace=name)).ca_file == tmp_path / "ca.pem"
    assert "whom to trust" not in capsys.readouterr().err
    person.writes(relay.url, relay.admin_key.text)
    assert run(["login", "--ca-file", "other.pem"]) == 0
    assert find_credential(where, Given(workspace="production")).ca_file == tmp_path / "other.pem"


def test_a_name_that_another_relay_has_is_not_taken_from_it(
    relay: Relay, where: Home, person: Person, capsys: Said
) -> None:
    keep_credential(where, Credential(STRANGER, "ws://one", "production"))
    person.writes(relay.url, relay.admin_key.text)
    assert run(["login"]) == 2
    said = capsys.readouterr().err
    assert 'the workspace "production" that is known here has another relay, ws://one' in said
    assert "--workspace NAME" in said
    assert find_credential(where, Given()) == Credential(STRANGER, "ws://one", "production")


def test_a_workspace_that_is_named_moves_to_the_relay_and_says_so(
    relay: Relay, where: Home, person: Person, capsys: Said
) -> None:
    keep_credential(where, Credential(STRANGER, "ws://one", "production"))
    person.writes(relay.url, relay.admin_key.text)
    assert run(["login", "--workspace", "production"]) == 0
    assert 'the workspace "production" was at ws://one before' in capsys.readouterr().err
    assert find_credential(where, Given()) == Credential(relay.admin_key, relay.url, "production")


def test_a_key_in_the_environment_that_comes_before_it_is_said(
    relay: Relay, person: Person, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CMDOP_API_KEY", STRANGER.text)
    person.writes(relay.url, relay.admin_key.text)
    assert run(["login"]) == 0
    assert capsys.readouterr().err.endswith("CMDOP_API_KEY is set, and comes before every key that is kept\n")


def test_where_there_is_a_keyring_the_key_is_in_it_and_in_no_file(
    relay: Relay, where: Home, person: Person, capsys: Said
) -> None:
    before = keyring.get_keyring()
    keyring.set_keyring(MemoryKeyring())
    try:
        person.writes(relay.url, relay.admin_key.text)
        assert run(["login"]) == 0
        assert capsys.readouterr().err.endswith("is kept in the keyring\n")
        assert find_credential(where, Given()).key == relay.admin_key
    finally:
        keyring.set_keyring(before)
    assert relay.admin_key.text.encode() not in b"".join(path.read_bytes() for path in where.path.iterdir())


# -- and not --------------------------------------------------------------------------------


def test_a_key_that_the_relay_refuses_is_not_kept(relay: Relay, where: Home, person: Person, capsys: Said) -> None:
    person.writes(relay.url, STRANGER.text)
    assert run(["login"]) == 5
    assert f"refused the API key {STRANGER.masked}" in capsys.readouterr().err
    assert nothing_is_kept(where)


def test_a_key_that_only_enrols_machines_is_not_kept(relay: Relay, where: Home, person: Person, capsys: Said) -> None:
    person.writes(relay.url, relay.key(Role.AGENT).text)
    assert run(["login"]) == 5
    assert "needs the role operator, and this key has the role agent" in capsys.readouterr().err
    assert nothing_is_kept(where)


def test_a_relay_that_is_not_there_is_said_and_nothing_is_kept(where: Home, person: Person, capsys: Said) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"ws://127.0.0.1:{free.getsockname()[1]}"
    person.writes(url, STRANGER.text)
    assert run(["login"]) == 4
    assert f"cannot reach the relay {url}" in capsys.readouterr().err
    assert nothing_is_kept(where)


@pytest.mark.parametrize(
    ("lines", "words", "status", "said"),
    [
        ([], [], 2, "the API key is missing, and nobody may be asked for it"),
        ([STRANGER.text], [], 2, "the relay's URL is missing, and nobody may be asked for it"),
        (["ws://one", STRANGER.text, "more"], [], 2, "standard input has 3 lines"),
        (["ws://one", STRANGER.text], ["--server", "ws://two"], 2, "the relay is named twice: ws://two and ws://one"),
        (["ftp://x", STRANGER.text], [], 2, 'the server "ftp://x" is not a relay\'s address'),
        (["ws://one", "nonsense"], [], 5, "that is not an API key"),
        (["ws://relay.example.org", STRANGER.text], [], 4, "would be plain text over a network"),
        (["ws://one", STRANGER.text], ["--workspace", "a\tb"], 2, "a workspace's name has"),
    ],
)
def test_what_is_missing_or_wrong_is_said_and_nothing_is_kept(
    where: Home, person: Person, capsys: Said, lines: list[str], words: list[str], status: int, said: str
) -> None:
    person.writes(*lines)
    assert run(["login", *words]) == status
    shown = capsys.readouterr().err
    assert said in shown
    assert STRANGER.text not in shown
    assert not where.path.exists()


@pytest.mark.parametrize("words", [["-q"], ["--no-interactive"], ["--json"]])
def test_without_questions_a_terminal_is_not_read(
    person: Person, capsys: Said, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    person.answers()
    monkeypatch.setattr("sys.stdin", Terminal(STRANGER.text))
    assert run(["login", "--server", "ws://one", *words]) == 2
    said = capsys.readouterr()
    assert "the API key is missing" in said.out + said.err


@pytest.mark.parametrize("answers", [(click.Abort(),), ("ws://one", click.Abort())])
def test_leaving_a_question_keeps_nothing(
    where: Home, person: Person, capsys: Said, answers: tuple[str | BaseException, ...]
) -> None:
    person.answers(*answers)
    assert run(["login"]) == 130
    assert capsys.readouterr() == ("", "cancelled: nothing was kept\n")
    assert not where.path.exists()


def test_a_wrong_relay_is_said_before_the_key_is_asked_for(person: Person) -> None:
    person.answers("ftp://x")
    assert run(["login"]) == 2
    assert person.questions == ["Relay URL [ws://127.0.0.1:7420]"]


def test_the_relay_of_the_workspace_is_the_usual_one(where: Home, person: Person) -> None:
    keep_credential(where, Credential(STRANGER, "ws://one", "home"))
    keep_credential(where, Credential(STRANGER, "ws://two", "work"))
    for words in ([], ["--workspace", "work"]):
        person.answers(click.Abort())
        run(["login", *words])
    assert person.questions == ["Relay URL [ws://one]", "Relay URL [ws://two]"]


# -- logging out ----------------------------------------------------------------------------


def test_logging_out_forgets_the_key_and_says_which(where: Home, capsys: Said) -> None:
    keep_credential(where, Credential(STRANGER, "ws://one", "home"))
    assert run(["logout"]) == 0
    assert capsys.readouterr() == ("", f'the key {STRANGER.masked} of workspace "home" is forgotten\n')
    assert load_workspaces(where) == Workspaces("home", {"home": KnownRelay("ws://one")})
    assert kept_places(where) == {}


def test_without_a_key_there_is_nothing_to_forget(where: Home, capsys: Said) -> None:
    keep_credential(where, Credential(STRANGER, "ws://one", "home"))
    assert run(["logout", "--workspace", "production"]) == 5
    said = capsys.readouterr().err.splitlines()
    assert said[0] == 'cmdop: no API key for workspace "production"'
    assert said[2] == '--workspace "production": there is no such one here; there are: home'
    assert kept_places(where) == {"home": "file"}


def test_the_named_workspace_is_the_one_that_is_logged_out_of(where: Home, capsys: Said) -> None:
    for name in ("home", "work"):
        keep_credential(where, Credential(STRANGER, f"ws://{name}", name))
    Vault(where).keep(secret_name("work"), "nonsense")
    assert run(["logout", "--workspace", "work", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"workspace": "work", "server": "ws://work", "key": None}
    assert kept_places(where) == {"home": "file"}
