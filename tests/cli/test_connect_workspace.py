"""`cmdop connect workspace` as it is typed."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from cmdop.auth.credentials import Credential, Given, find_credential, keep_credential, kept_places, secret_name
from cmdop.auth.keys import Role, new_key_id, new_relay_half, new_workspace_key
from cmdop.auth.vault import Vault
from cmdop.auth.workspaces import KnownRelay, Workspaces, changing_workspaces, load_workspaces
from cmdop.cli.root import run
from cmdop.home import Home

Said = pytest.CaptureFixture[str]
ADMIN = new_workspace_key()
OPERATOR = ADMIN.for_role(Role.OPERATOR, new_key_id(), new_relay_half())


@pytest.fixture(autouse=True)
def where(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("CMDOP_HOME", str(home.path))
    return home


@pytest.fixture
def two(where: Home) -> Home:
    """Two workspaces; home is the active one, and work has an operator's key."""
    keep_credential(where, Credential(ADMIN, "ws://one", "home"))
    keep_credential(where, Credential(OPERATOR, "wss://two", "work"))
    return where


def workspace(*words: str) -> int:
    return run(["connect", "workspace", *words])


def document(capsys: Said, *words: str) -> object:
    """What a verb prints with --json, and nothing else."""
    assert workspace(*words, "--json") == 0
    said = capsys.readouterr()
    assert said.err == ""
    return json.loads(said.out)


# -- list -----------------------------------------------------------------------------------


def test_the_list_shows_which_is_active_and_keys_only_masked(two: Home, capsys: Said) -> None:
    assert workspace("list") == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["NAME", "RELAY", "KEY", "ROLE", "KEPT", "IN"]
    assert [row.split() for row in rows] == [
        ["*", "home", "ws://one", ADMIN.masked, "admin", "file"],
        ["work", "wss://two", OPERATOR.masked, "operator", "file"],
    ]


def test_the_list_is_one_json_document(two: Home, capsys: Said) -> None:
    Vault(two).forget(secret_name("work"))
    with changing_workspaces(two) as file:
        file.known = file.known.with_relay("work", KnownRelay("wss://two", Path("/ca.pem")))
    assert document(capsys, "list") == [
        {
            "workspace": "home",
            "active": True,
            "server": "ws://one",
            "ca_file": None,
            "key": ADMIN.masked,
            "role": "admin",
            "key_in": "file",
        },
        {
            "workspace": "work",
            "active": False,
            "server": "wss://two",
            "ca_file": "/ca.pem",
            "key": None,
            "role": None,
            "key_in": None,
        },
    ]


def test_where_there_is_none_the_list_says_how_to_get_one(capsys: Said) -> None:
    assert workspace("list") == 0
    assert capsys.readouterr() == ("", "no workspaces are known here; add one with: cmdop login\n")
    assert document(capsys, "list") == []


def test_a_key_that_cannot_be_read_is_said_and_the_others_are_listed(two: Home, capsys: Said) -> None:
    Vault(two).keep(secret_name("home"), "nonsense")
    assert workspace("list") == 0
    said = capsys.readouterr()
    assert 'the key of "home": that is not an API key' in said.err
    assert OPERATOR.masked in said.out


def test_keys_whose_workspaces_were_lost_are_listed(two: Home, capsys: Said) -> None:
    """The file was corrupt: what it said is gone, and the keys are not."""
    two.write_bytes("workspaces.json", b"{")
    assert workspace("list") == 1
    assert f"{two.path}/workspaces.json.corrupt-1" in capsys.readouterr().err
    assert workspace("list") == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split()[:3] for row in rows] == [["home", "-", ADMIN.masked], ["work", "-", OPERATOR.masked]]
    assert workspace("add", "work", "--server", "wss://two") == 0
    assert find_credential(two, Given()) == Credential(OPERATOR, "wss://two", "work")


def test_json_may_be_asked_for_before_the_verb(two: Home, capsys: Said) -> None:
    for words in (["connect", "--json", "workspace", "list"], ["connect", "workspace", "list", "--json"]):
        assert run(words) == 0
        assert [row["workspace"] for row in json.loads(capsys.readouterr().out)] == ["home", "work"]


# -- use ------------------------------------------------------------------------------------


def test_the_one_that_is_used_is_the_active_one(two: Home, capsys: Said) -> None:
    assert workspace("use", "work") == 0
    assert capsys.readouterr().err == '"work" at wss://two is the active workspace\n'
    assert find_credential(two, Given()) == Credential(OPERATOR, "wss://two", "work")
    assert document(capsys, "use", "home") == {"workspace": "home", "active": True, "server": "ws://one"}


def test_an_unknown_one_cannot_be_used_and_the_known_ones_are_named(two: Home, capsys: Said) -> None:
    assert workspace("use", "third") == 3
    said = capsys.readouterr().err.splitlines()
    assert said[0] == 'cmdop: there is no workspace "third" here'
    assert said[1].startswith("known here: home, work;")
    assert load_workspaces(two).active == "home"


# -- add ------------------------------------------------------------------------------------


def test_one_is_added_with_a_relay_and_without_a_key(where: Home, capsys: Said) -> None:
    assert workspace("add", "home", "--server", "localhost:7421") == 0
    assert capsys.readouterr().err == 'the workspace "home" at ws://localhost:7421 is known now\n'
    assert load_workspaces(where) == Workspaces("home", {"home": KnownRelay("ws://localhost:7421")})
    assert kept_places(where) == {}


@pytest.mark.parametrize("on_stdin", [True, False])
def test_one_is_added_with_its_key(where: Home, capsys: Said, monkeypatch: pytest.MonkeyPatch, on_stdin: bool) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{OPERATOR.text}\n"))
    key = "-" if on_stdin else OPERATOR.text
    assert document(capsys, "add", "work", "--server", "wss://two", "--api-key", key) == {
        "workspace": "work",
        "active": True,
        "server": "wss://two",
        "key": OPERATOR.masked,
        "key_in": "file",
    }
    assert find_credential(where, Given(workspace="work")) == Credential(OPERATOR, "wss://two", "work")


def test_a_key_in_the_environment_is_not_kept_unasked(where: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMDOP_API_KEY", ADMIN.text)
    assert workspace("add", "work", "--server", "wss://two") == 0
    assert kept_places(where) == {}


def test_options_of_connect_hold_for_its_verbs(where: Home) -> None:
    assert run(["connect", "-s", "ws://one", "-k", ADMIN.text, "workspace", "add", "home"]) == 0
    assert find_credential(where, Given()) == Credential(ADMIN, "ws://one", "home")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["home"], 2, "the relay's URL is missing, and nobody may be asked for it"),
        (["home", "--server", "ftp://x"], 2, 'the server "ftp://x" is not a relay\'s address'),
        (["home", "--server", "ws://one", "-k", "nonsense"], 5, "that is not an API key"),
        (["a\tb", "--server", "ws://one"], 2, "a workspace's name has"),
    ],
)
def test_what_is_missing_or_wrong_is_said_and_nothing_is_kept(
    where: Home, capsys: Said, words: list[str], status: int, said: str
) -> None:
    assert workspace("add", *words) == status
    assert said in capsys.readouterr().err
    assert load_workspaces(where).servers == {}
    assert kept_places(where) == {}


def test_a_name_that_has_another_relay_is_not_taken_from_it(two: Home, capsys: Said) -> None:
    assert workspace("add", "work", "--server", "ws://three", "-k", ADMIN.text) == 2
    assert 'the workspace "work" that is known here has another relay, wss://two' in capsys.readouterr().err
    assert find_credential(two, Given(workspace="work")) == Credential(OPERATOR, "wss://two", "work")
    assert workspace("add", "work", "--server", "wss://two", "-k", ADMIN.text) == 0
    assert find_credential(two, Given(workspace="work")).key == ADMIN


# -- remove ---------------------------------------------------------------------------------


def test_one_is_removed_with_its_key_and_says_so(two: Home, capsys: Said) -> None:
    assert workspace("remove", "work") == 0
    assert capsys.readouterr().err == f'the workspace "work" and its key {OPERATOR.masked} are forgotten\n'
    assert load_workspaces(two) == Workspaces("home", {"home": KnownRelay("ws://one")})
    assert kept_places(two) == {"home": "file"}
    assert OPERATOR.text.encode() not in two.file("secrets.json").read_bytes()


def test_when_the_active_one_is_removed_it_is_said_which_one_is_now(two: Home, capsys: Said) -> None:
    assert workspace("remove", "home") == 0
    assert capsys.readouterr().err.splitlines()[1] == '"work" is the active one now'
    for name in ("a", "b"):
        workspace("add", name, "--server", "ws://one")
    capsys.readouterr()
    assert workspace("remove", "work") == 0
    assert capsys.readouterr().err.splitlines()[1] == "none is active now; there are: a, b"


def test_one_without_a_key_is_removed(two: Home, capsys: Said) -> None:
    Vault(two).forget(secret_name("work"))
    assert workspace("remove", "work") == 0
    assert capsys.readouterr().err == 'the workspace "work" (it had no key) is forgotten\n'
    assert document(capsys, "remove", "home") == {"workspace": "home", "key": ADMIN.masked, "active": None}


def test_an_unknown_one_cannot_be_removed(two: Home, capsys: Said) -> None:
    assert workspace("remove", "third") == 3
    assert 'there is no workspace "third" here' in capsys.readouterr().err
    assert load_workspaces(two).names == "home, work"
