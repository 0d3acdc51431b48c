"""`cmdop connect key create|list|revoke` as they are typed, with a relay that is not on this machine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cmdop.auth.keys import Role, half_matches, parse_key
from cmdop.cli.root import run
from cmdop.home import Home
from cmdop.relay import admin
from cmdop.store.sqlite import SqliteStore
from cmdop.transport.dial import Dialling
from tests.network import Network, wire_up

Said = pytest.CaptureFixture[str]


@pytest.fixture
def network(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """A relay; the user has its workspace's admin key."""
    store = SqliteStore(tmp_path / "relay.db")
    network = Network(store)
    wire_up(network, monkeypatch.setattr)
    monkeypatch.setenv("CMDOP_HOME", str(home.path))
    monkeypatch.setenv("CMDOP_API_KEY", network.rig.admin.text)
    yield network
    network.close()
    store.close()


@pytest.mark.parametrize("role", list(Role))
def test_a_key_is_made_here_and_the_relay_has_only_a_hash_of_its_half(
    network: Network, capsys: Said, role: Role
) -> None:
    assert run(["connect", "key", "create", "--label", "anna", "--role", role.value]) == 0
    said = capsys.readouterr()
    made = parse_key(said.out)
    assert said.out == f"{made.text}\n"
    assert said.err == f"This is the {role.value} key {made.masked} of home. It is shown only this once.\n"
    record = network.rig.store.key(made.key_id)
    assert record is not None
    assert (record.workspace, record.label, record.role) == ("home", "anna", role.value)
    assert half_matches(made.relay_half, record.half_hash)
    at_hand = network.rig.admin.for_role(role, made.key_id, made.relay_half)
    assert made == at_hand, "the same as one that was made where the relay is"


def test_a_key_comes_as_a_document_too(network: Network, capsys: Said) -> None:
    assert run(["connect", "key", "create", "--label", "anna", "--role", "observer", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert set(made) == {"workspace", "key_id", "label", "role", "key"}
    assert parse_key(made["key"]).key_id == made["key_id"]


def test_the_keys_are_listed_masked(network: Network, capsys: Said) -> None:
    network.rig.unix_now.now += 1
    anna = network.rig.key(Role.OPERATOR, "anna")
    network.rig.store.revoke_key(anna.key_id, 1_700_000_060.0)
    assert run(["connect", "key", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.split(r"  +", lines[0]) == ["KEY ID", "LABEL", "ROLE", "WORKSPACE", "CREATED", "LAST USED", "REVOKED"]
    assert lines[1].startswith(f"{network.rig.admin.masked}  root")
    assert lines[2].startswith(f"{anna.masked}  anna")
    assert "2023-11-14T22:14:20Z" in lines[2]
    assert run(["connect", "key", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(key["key_id"], key["revoked"]) for key in listed] == [
        (network.rig.admin.key_id, None),
        (anna.key_id, "2023-11-14T22:14:20Z"),
    ]
    assert set(listed[0]) == {"key_id", "label", "role", "workspace", "created", "last_used", "revoked"}


def test_a_revoked_key_is_closed_out(network: Network, capsys: Said) -> None:
    anna = network.rig.key(Role.OPERATOR, "anna")
    client = network.rig.client(anna)
    assert run(["connect", "key", "revoke", anna.masked]) == 0
    assert capsys.readouterr().err == f"revoked {anna.masked} (anna), 1 connection closed\n"
    client.hear_closed("key-refused")
    assert run(["connect", "key", "revoke", anna.key_id, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["key_id"], again["closed_connections"]) == (anna.key_id, 0)


def test_the_last_admin_key_is_revoked_only_on_demand(network: Network, capsys: Said) -> None:
    own = network.rig.admin
    assert run(["connect", "key", "revoke", own.key_id]) == 5
    assert f"{own.masked} is the last admin key of the workspace home" in capsys.readouterr().err
    assert run(["connect", "key", "revoke", own.key_id, "--last-admin"]) == 0
    assert "warning: home has no admin key left" in capsys.readouterr().err
    assert run(["connect", "key", "list"]) == 5


VERBS = [["create", "--label", "x", "--role", "operator"], ["list"], ["revoke", "0102030405a6"]]


@pytest.mark.parametrize("words", VERBS, ids=["create", "list", "revoke"])
@pytest.mark.parametrize("role", [Role.OPERATOR, Role.OBSERVER, Role.AGENT])
def test_who_is_no_admin_reads_which_role_it_takes(
    network: Network, capsys: Said, monkeypatch: pytest.MonkeyPatch, words: list[str], role: Role
) -> None:
    monkeypatch.setenv("CMDOP_API_KEY", network.rig.key(role).text)
    assert run(["connect", "key", *words]) == 5
    said = capsys.readouterr().err
    assert f"keys needs the role admin, and this key has the role {role.value}" in said
    assert "cmdop connect key create --role admin" in said
    assert network.dialled == []


def test_of_a_whole_key_only_its_id_is_sent(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = bytearray()
    usual = network.dial

    def dial(to: Dialling) -> object:
        connection = usual(to)
        send = connection.send

        def noted(message: bytes) -> None:
            sent.extend(message)
            send(message)

        monkeypatch.setattr(connection, "send", noted)
        return connection

    monkeypatch.setattr("cmdop.client.link.dial", dial)
    anna = network.rig.key(Role.OPERATOR, "anna")
    assert run(["connect", "key", "revoke", anna.text]) == 0
    assert anna.key_id.encode() in sent
    private = anna.text[40:60].lower().encode()
    assert private not in sent.lower()
    # One letter is wrong, so it is no key, and where its id is nobody knows.
    for mistyped in (anna.text[:-1] + "?", anna.text.removeprefix("ck_")):
        del sent[:]
        assert run(["connect", "key", "revoke", mistyped]) == 3
        assert private not in sent.lower()


def test_a_key_that_is_not_there_is_none(network: Network, capsys: Said) -> None:
    away = admin.create_workspace(network.rig.store, "away", "olga", 1.0)
    assert run(["connect", "key", "revoke", away.key_id]) == 3
    assert f'this workspace has no key "{away.key_id}"' in capsys.readouterr().err
    assert run(["connect", "key", "create", "--label", "a\tb", "--role", "operator"]) == 2


def test_the_options_of_connect_hold_for_its_verbs(
    network: Network, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CMDOP_API_KEY")
    assert run(["connect", "-k", network.rig.admin.text, "key", "list"]) == 0
    assert run(["connect", "key", "list", "-k", network.rig.admin.text]) == 0
    assert run(["connect", "key", "list"]) == 5
    assert "no API key" in capsys.readouterr().err
