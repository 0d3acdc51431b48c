"""A certificate authority, and a look at what is left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.transport.ends import (
    PATIENCE_SECONDS,
    Authority,
    open_descriptors,
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def _nothing_is_left() -> Iterator[None]:
    """No test leaves a descriptor or a thread behind."""
    descriptors, threads = open_descriptors(), set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - threads:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive(), thread.name
    assert open_descriptors() <= descriptors
