"""What every test stands on: an environment of its own, and Hypothesis without a clock."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from cmdop.home import Home
from cmdop.transport.memory import MemoryConnection
from cmdop.transport.proxy import VARIABLES
from tests.documents import watched

# Whoever runs the tests in the background may ignore these, and so would all that they start.
for name, handler in (("SIGINT", signal.default_int_handler), ("SIGQUIT", signal.SIG_DFL)):
    number = getattr(signal, name, None)
    if number is not None and signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

# A slow machine is no reason to fail: nothing here may depend on timing.
settings.register_profile("cmdop", deadline=None, print_blob=True)
settings.register_profile("long", deadline=None, print_blob=True, max_examples=5000)
# What CI says of a change is about that change: the search goes on where people work.
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "cmdop"))


def pytest_addoption(parser: pytest.Parser) -> None:
    help_text = "how many schedules tests/session/test_simulation.py plays"
    parser.addoption("--schedules", type=int, default=100_000, metavar="N", help=help_text)


@pytest.fixture(scope="session", autouse=True)
def _own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test sees or changes the user's own cmdop or keyring, or goes through the user's proxy."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("CMDOP_") or name in VARIABLES]:
            patch.delenv(name)
        patch.delenv("SSL_CERT_FILE", raising=False)
        patch.setenv("CMDOP_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
        yield


@pytest.fixture(scope="session", autouse=True)
def _documents_as_described() -> Iterator[None]:
    """Every JSON document that a test sees is as its schema says."""
    with watched():
        yield


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """What a program of ours sets up to be told of its log ends with its test."""
    logger = logging.getLogger("cmdop")
    handlers, level = logger.handlers.copy(), logger.level
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.fixture(autouse=True)
def _own_connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Connections in memory end with their test, and with them whoever waits for one: or else
    thousands of tests would leave a process with more descriptors than select knows."""
    made: list[MemoryConnection] = []
    begin = MemoryConnection.__init__

    def begin_and_remember(connection: MemoryConnection, remote: str) -> None:
        begin(connection, remote)
        made.append(connection)

    monkeypatch.setattr(MemoryConnection, "__init__", begin_and_remember)
    yield
    for connection in made:
        connection.close("its test is over")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty CMDOP_HOME."""
    return Home(tmp_path / "cmdop")
