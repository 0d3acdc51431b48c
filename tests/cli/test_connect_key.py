"""`cmdop connect key` as it is typed."""

from __future__ import annotations

import io
import json

import pytest

from cmdop.auth.credentials import secret_name
from cmdop.auth.keys import new_workspace_key
from cmdop.auth.vault import Vault
from cmdop.auth.workspaces import KnownRelay, Workspaces, load_workspaces
from cmdop.cli.root import run
from cmdop.home import Home
from cmdop.limits import DEFAULT_SERVER

Said = pytest.CaptureFixture[str]
KEY, OTHER = new_workspace_key(), new_workspace_key()


@pytest.fixture(autouse=True)
def where(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("CMDOP_HOME", str(home.path))
    return home


def test_a_key_is_kept_with_its_relay_and_shown_only_masked(where: Home, capsys: Said) -> None:
    assert run(["connect", "key", "set", KEY.text, "--server", "ws://127.0.0.1:7421"]) == 0
    said = capsys.readouterr()
    assert KEY.text not in said.out + said.err
    assert said.err == (
        f'{KEY.masked} (admin) is kept for workspace "default" at ws://127.0.0.1:7421, '
        f"in {where.path}/secrets.json (there is no keyring here)\n"
    )
    assert Vault(where).get(secret_name("default")) == KEY.text
    assert load_workspaces(where) == Workspaces("default", {"default": KnownRelay("ws://127.0.0.1:7421")})


def test_a_key_goes_to_the_usual_relay_or_the_one_that_was_known(where: Home) -> None:
    assert run(["connect", "key", "set", KEY.text]) == 0
    assert load_workspaces(where).servers == {"default": DEFAULT_SERVER}
    assert run(["connect", "key", "set", KEY.text, "-s", "relay.example.org"]) == 0
    assert run(["connect", "key", "set", OTHER.text]) == 0
    assert load_workspaces(where).servers == {"default": "wss://relay.example.org"}


@pytest.mark.parametrize(
    "words",
    [
        ["connect", "key", "set", KEY.text, "--workspace", "work", "--server", "ws://localhost"],
        ["connect", "--workspace", "work", "--server", "ws://localhost", "key", "set", KEY.text],
    ],
)
def test_another_workspace_may_be_named_before_or_after(where: Home, words: list[str]) -> None:
    assert run(words) == 0
    assert load_workspaces(where) == Workspaces("work", {"work": KnownRelay("ws://localhost")})
    assert Vault(where).get(secret_name("work")) == KEY.text


def test_a_key_may_come_on_stdin(where: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it is in no argv and in no shell's history."""
    monkeypatch.setattr("sys.stdin", io.StringIO(f"  {KEY.text}\n"))
    assert run(["connect", "key", "set", "-"]) == 0
    assert Vault(where).get(secret_name("default")) == KEY.text


@pytest.mark.parametrize(
    "text", ["nonsense", "ck_", KEY.text[:-1], KEY.text + "A", ""], ids=["nonsense", "begun", "short", "long", "empty"]
)
def test_what_is_no_key_is_refused_and_nothing_is_kept(where: Home, capsys: Said, text: str) -> None:
    assert run(["connect", "key", "set", text]) == 5
    assert capsys.readouterr().err.startswith("cmdop: that is not an API key: ")
    assert not where.path.exists()


def test_a_server_that_is_none_is_refused_and_nothing_is_kept(where: Home, capsys: Said) -> None:
    assert run(["connect", "key", "set", KEY.text, "--server", "ftp://x"]) == 2
    assert 'the server "ftp://x" is not a relay\'s address' in capsys.readouterr().err
    assert not where.path.exists()


def test_the_key_that_is_used_is_printed_whole(capsys: Said) -> None:
    run(["connect", "key", "set", KEY.text])
    capsys.readouterr()
    assert run(["connect", "key", "get"]) == 0
    assert capsys.readouterr() == (KEY.text + "\n", "")
    assert run(["connect", "--api-key", OTHER.text, "key", "get"]) == 0
    assert capsys.readouterr().out == OTHER.text + "\n"


def test_a_key_is_forgotten_once(where: Home, capsys: Said) -> None:
    run(["connect", "key", "set", KEY.text])
    capsys.readouterr()
    assert run(["connect", "key", "clear"]) == 0
    assert capsys.readouterr().err == 'the key of workspace "default" is forgotten\n'
    assert Vault(where).get(secret_name("default")) is None
    assert run(["connect", "key", "clear"]) == 5
    assert capsys.readouterr().err.startswith('cmdop: no API key for workspace "default"\n')


def test_where_there_is_no_key_it_says_so(capsys: Said) -> None:
    assert run(["connect", "--workspace", "production", "key", "get"]) == 5
    assert capsys.readouterr().err == (
        'cmdop: no API key for workspace "production"\n'
        "run cmdop connect key set KEY --workspace production, or cmdop login --workspace production\n"
    )
    assert run(["connect", "--json", "key", "get"]) == 5
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "no-api-key"
    assert error["details"]["sources"][0] == {"source": "--api-key", "reason": "not given", "odd": False}


def test_each_verb_prints_one_json_document(capsys: Said) -> None:
    fields = {"workspace": "default", "server": "ws://localhost", "role": "admin"}
    for words, more in [
        (["set", KEY.text, "-s", "ws://localhost"], {"key": KEY.masked, "key_in": "file"}),
        (["get"], {"key": KEY.text}),
        (["clear"], {"key": KEY.masked}),
    ]:
        assert run(["connect", "key", *words, "--json"]) == 0
        said = capsys.readouterr()
        assert (json.loads(said.out), said.err) == ({**fields, **more}, "")


def test_that_there_is_no_keyring_is_said_once(where: Home, capsys: Said) -> None:
    for name in ("home", "work"):
        run(["connect", "key", "set", KEY.text, "--workspace", name])
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith(f"in {where.path}/secrets.json (there is no keyring here)")
    assert second.endswith(f"in {where.path}/secrets.json")


def test_a_workspace_has_a_name_that_can_be_seen(where: Home, capsys: Said) -> None:
    for name in (" ", "a\x1b[2J", "x" * 1000):
        assert run(["connect", "key", "set", KEY.text, "--workspace", name]) == 2
    assert not where.path.exists()


def test_a_corrupt_file_is_set_aside_and_said(where: Home, capsys: Said) -> None:
    where.write_bytes("secrets.json", b"{")
    assert run(["connect", "key", "get"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"cmdop: {where.path}/secrets.json cannot be read: ")
    assert f"{where.path}/secrets.json.corrupt-1" in said


def test_alone_it_shows_its_verbs(capsys: Said) -> None:
    assert run(["connect", "key", "--help"]) == 0
    shown = capsys.readouterr().out
    for verb in ("set", "get", "clear"):
        assert f"  {verb} " in shown
