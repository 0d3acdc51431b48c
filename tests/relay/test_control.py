"""Admin commands act on a relay that runs, and do without one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cmdop.auth.keys import Role
from cmdop.control import ask
from cmdop.errors import StoreUnusable
from cmdop.home import Home
from cmdop.relay import admin
from cmdop.relay.control import RelayControl, ask_online, tell_key_revoked, tell_machine_removed
from tests.relay.rig import Rig
from tests.relay.talker import MACHINE_ID


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "relay.db"


@pytest.fixture
def control(rig: Rig, database: Path) -> Iterator[RelayControl]:
    control = RelayControl(database, rig.switch)
    yield control
    control.close()
    control.close()


@pytest.mark.usefixtures("control")
def test_a_revocation_returns_when_the_connections_are_closed(rig: Rig, database: Path) -> None:
    key = rig.key(Role.OPERATOR)
    client = rig.client(key)
    admin.revoke_key(rig.store, key.key_id, 1.0)
    assert tell_key_revoked(database, key.key_id) == 1
    assert [peer for peer in rig.switch._board.peers() if peer.caller.key_id == key.key_id] == []
    client.hear_closed("key-refused")
    client.hear_end()
    assert tell_key_revoked(database, key.key_id) == 0


@pytest.mark.usefixtures("control")
def test_a_removal_returns_when_the_machine_is_gone(rig: Rig, database: Path) -> None:
    agent = rig.agent()
    rig.now.now += 2
    assert ask_online(database) == {MACHINE_ID: 2.0}
    admin.remove_machine(rig.store, MACHINE_ID)
    assert tell_machine_removed(database, MACHINE_ID) == 1
    agent.hear_closed("not-enrolled")
    assert ask_online(database) == {}


@pytest.mark.usefixtures("control")
def test_a_second_relay_over_the_same_records_is_refused(rig: Rig, database: Path) -> None:
    with pytest.raises(StoreUnusable, match="another relay is serving them"):
        RelayControl(database, rig.switch)
    assert ask_online(database) == {}


@pytest.mark.usefixtures("control")
def test_a_request_nobody_knows_is_answered_so(database: Path) -> None:
    assert ask(Home(database.parent), "relay.db.control", {"do": "dance"}) == {
        "error": "this relay does not know that request"
    }


def test_without_a_relay_there_is_nothing_to_close(database: Path) -> None:
    assert tell_key_revoked(database, "aa11") == 0
    assert tell_machine_removed(database, MACHINE_ID) == 0
    assert ask_online(database) == {}
