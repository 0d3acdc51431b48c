"""What the end-to-end tests stand on: a user, a mock relay, and the real thing."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests_e2e.mock_relay import MockRelay
from tests_e2e.stack import Stack, new_stack
from tests_e2e.terminal import CMDOP, Job, UserTerminal
from tests_e2e.timing import START_SECONDS


def clean_environment(home: Path) -> dict[str, str]:
    """An environment in which nothing of the user's own is found."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "CMDOP_HOME": str(home / "cmdop"),
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
    }


@dataclass
class User:
    """Somebody at a terminal, who has a key."""

    terminal: UserTerminal
    home: Path
    env: dict[str, str] = field(default_factory=dict)

    def cmdop(self, *words: str, **env: str) -> Job:
        """Run cmdop in the foreground of the terminal."""
        return self.terminal.run([CMDOP, *words], {**self.env, **env}, self.home)


@pytest.fixture
def relay() -> Iterator[MockRelay]:
    """A relay and a machine that do what they are told."""
    mock = MockRelay()
    yield mock
    mock.close()


@pytest.fixture
def terminal() -> Iterator[UserTerminal]:
    """A terminal of 24 by 80."""
    opened = UserTerminal()
    yield opened
    opened.close()


@pytest.fixture
def user(terminal: UserTerminal, tmp_path: Path) -> User:
    """Somebody who has no relay and no key yet."""
    return User(terminal, tmp_path, clean_environment(tmp_path))


@pytest.fixture
def ann(user: User, relay: MockRelay) -> User:
    """Somebody with a key for the mock relay."""
    user.env |= {"CMDOP_SERVER": relay.url, "CMDOP_API_KEY": relay.key.text}
    return user


PROMPT = b"prod-api-1 $ "


def attach(somebody: User, mock: MockRelay, *more: str) -> Job:
    """Connect to `prod-api-1` and wait for its prompt."""
    job = somebody.cmdop("connect", "prod-api-1", *more)
    mock.wait_attached()
    mock.say(PROMPT)
    somebody.terminal.expect_exact(b"Ctrl-C forwards as SIGINT\r\n")
    somebody.terminal.expect_exact(PROMPT)
    return job


@pytest.fixture
def attached(ann: User, relay: MockRelay) -> tuple[Job, MockRelay, UserTerminal]:
    """Somebody who is attached to `prod-api-1` and sees its prompt."""
    return attach(ann, relay), relay, ann.terminal


# -- the real thing -----------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """A test that fails shows what the relay and the agents logged."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for value in item.funcargs.values():
            if isinstance(value, Stack):
                report.sections.append(("relay and agents", value.log))
    return report


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A relay and the agents `alpha` and `beta`, for the tests of one module; they may not be harmed."""
    folder = tmp_path_factory.mktemp("stack")
    running = new_stack(folder, clean_environment(folder), "alpha", "beta")
    yield running
    running.close()


@pytest.fixture
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A relay and the agent `alpha`, for one test that will harm them."""
    folder = tmp_path_factory.mktemp("stack")
    running = new_stack(folder, clean_environment(folder), "alpha")
    yield running
    running.close()


def as_operator(somebody: User, running: Stack) -> User:
    """The same user, with an operator's key for this relay."""
    somebody.env |= {"CMDOP_SERVER": running.url, "CMDOP_API_KEY": running.operator_key}
    return somebody


READY = b"re-dy> "


def shell(somebody: User, host: str) -> Job:
    """A new shell on a machine, as far as a prompt that nothing else prints."""
    job = somebody.cmdop("connect", "--new", host)
    somebody.terminal.expect_exact(b"Ctrl-C forwards as SIGINT\r\n", START_SECONDS)
    somebody.terminal.expect_exact(b"$ " if os.geteuid() else b"# ")
    somebody.terminal.type(b"PS1='re''-dy> '\r")
    somebody.terminal.expect_exact(READY)
    return job
