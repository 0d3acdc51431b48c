"""A relay and an agent of this process, and somebody with a key for them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import cmdop
from cmdop.auth.credentials import Credential, keep_credential
from cmdop.auth.keys import Role
from cmdop.home import Home
from cmdop.store.sqlite import SqliteStore
from tests.network import SERVER, Network, RunningAgent, wire_up

HOST = "prod-api-1"


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    store = SqliteStore(tmp_path / "relay.db")
    network = Network(store)
    wire_up(network, monkeypatch.setattr)
    # The relay's clock is the test's; the client compares with it.
    network.rig.unix_now.now = time.time()
    yield network
    network.close()
    store.close()


@pytest.fixture
def agent(network: Network, tmp_path: Path) -> Iterator[RunningAgent]:
    """The machine `prod-api-1`."""
    agent = RunningAgent(Home(tmp_path / "agent"), network.rig.key(Role.AGENT), name=HOST)
    agent.until_online()
    yield agent
    agent.stop()


@pytest.fixture
def annas(network: Network, home: Home) -> Home:
    """The home of an operator, whose key is kept in it."""
    keep_credential(home, Credential(network.rig.key(Role.OPERATOR, "anna"), SERVER, "production"))
    return home


@pytest.fixture
def machine(agent: RunningAgent, annas: Home) -> Iterator[cmdop.Machine]:
    """The machine, as anna reached it."""
    with cmdop.connect(HOST, home=annas.path) as reached:
        yield reached
