"""Records, and a relay without a network over them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cmdop.store.interface import Store
from cmdop.store.sqlite import SqliteStore
from tests.relay.rig import Rig
from tests.relay.talker import TIMEOUT_SECONDS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = SqliteStore(tmp_path / "relay.db")
    yield store
    store.close()


@pytest.fixture
def rig(store: Store) -> Iterator[Rig]:
    rig = Rig(store)
    yield rig
    rig.switch.close()
    for thread in rig.threads:
        thread.join(TIMEOUT_SECONDS)
        assert not thread.is_alive()
