"""What the end-to-end tests stand on: a user, a mock relay, and the real thing."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cmdop.auth.known_machines import KnownMachines, Sighting
from cmdop.auth.workspaces import DEFAULT_WORKSPACE
from cmdop.home import Home
from cmdop.seal.noise import public_key
from cmdop.transport.address import parse_server
from tests.documents import watched
from tests_e2e.exchange import Client
from tests_e2e.fault import FaultProxy, bad_way
from tests_e2e.mock_machine import MACHINE, STATIC_KEY
from tests_e2e.mock_relay import MockRelay
from tests_e2e.stack import Stack, new_stack
from tests_e2e.terminal import CMDOP, Job, UserTerminal
from tests_e2e.timing import START_SECONDS

# Whoever runs the tests in the background may ignore these, and so would all that they start.
for name, handler in (("SIGINT", signal.default_int_handler), ("SIGQUIT", signal.SIG_DFL)):
    number = getattr(signal, name, None)
    if number is not None and signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


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


@pytest.fixture(scope="session", autouse=True)
def _documents_as_described() -> Iterator[None]:
    """Every JSON document that a test sees is as its schema says."""
    with watched():
        yield


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


def acquaint(somebody: User, url: str, *machines: Sighting) -> None:
    """Let them be known from before: the first sight of one has a line of its own."""
    known = KnownMachines(Home(Path(somebody.env["CMDOP_HOME"])), parse_server(url).url, DEFAULT_WORKSPACE)
    known.load()
    known.proven(*machines)


@pytest.fixture
def ann(user: User, relay: MockRelay) -> User:
    """Somebody with a key for the mock relay, who knows its machine."""
    user.env |= {"CMDOP_SERVER": relay.url, "CMDOP_API_KEY": relay.key.text}
    acquaint(user, relay.url, Sighting(MACHINE.machine_id, MACHINE.name, public_key(STATIC_KEY)))
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
    """The same user, with an operator's key for this relay, who knows its machines."""
    somebody.env |= {"CMDOP_SERVER": running.url, "CMDOP_API_KEY": running.operator_key}
    acquaint(somebody, running.url, *[running.sighting(name) for name in running.agents])
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


Join = Callable[..., Client]


@pytest.fixture
def join() -> Iterator[Join]:
    """Attaches a user at one more terminal: `join(user, "alpha")`."""
    attached: list[Client] = []

    def attach_one(somebody: User, *words: str, answer: Callable[[bytes], bytes] | None = None) -> Client:
        attached.append(Client(somebody, *words, answer=answer))
        return attached[-1]

    yield attach_one
    for client in attached:
        client.close()


# -- a bad network ------------------------------------------------------------------------


@dataclass
class BadNetwork:
    """A relay, the agent `alpha`, and bad ways from a client and from the agent to the relay."""

    stack: Stack
    client_way: FaultProxy
    agent_way: FaultProxy

    def way(self, leg: str) -> FaultProxy:
        return {"client": self.client_way, "agent": self.agent_way}[leg]


@pytest.fixture
def lone_relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    stack = new_stack(folder, clean_environment(folder))
    yield stack
    stack.close()


@pytest.fixture
def network(lone_relay: Stack) -> Iterator[BadNetwork]:
    with bad_way(lone_relay.address) as client_way, bad_way(lone_relay.address) as agent_way:
        lone_relay.start_agent("alpha", server=agent_way.url)
        yield BadNetwork(lone_relay, client_way, agent_way)


def with_bad_way(somebody: User, network: BadNetwork) -> User:
    """The same user, with an operator's key, behind the client's bad way."""
    as_operator(somebody, network.stack)
    somebody.env["CMDOP_SERVER"] = network.client_way.url
    return somebody
