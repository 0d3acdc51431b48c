"""Joins, told to a plain list at the same time; and frames that must not go astray."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from cmdop.errors import RemoteProtocolError
from cmdop.relay.router import Far, Router, Send
from cmdop.wire.frame import FrameKind, decode_frame
from cmdop.wire.relay_messages import Closed, Open

MACHINES = [f"8f23a4b0-0000-4000-8000-00000000000{digit}" for digit in range(3)]
GONE = Closed("machine-offline", "gone")


def opening(machine: str = MACHINES[0]) -> Open:
    return Open(machine, "operator", "anna", "aa11", "127.0.0.1:9")


@pytest.fixture
def router() -> Router[str]:
    return Router()


def test_an_open_goes_to_the_machine_on_a_stream_of_its_own(router: Router[str]) -> None:
    client = router.add_client("client", "home")
    agent = router.add_agent("agent", "home", MACHINES[0])
    assert router.open("client", 7, opening()) == [Send("agent", 1, opening())]
    assert client[7][:2] == ("agent", 1)
    assert agent[1][:2] == ("client", 7)


def test_a_join_has_the_header_of_the_frames_to_its_far_end(router: Router[str]) -> None:
    client = router.add_client("client", "home")
    router.add_agent("agent", "home", MACHINES[0])
    router.open("client", 7, opening())
    assert decode_frame(client[7].header + b"sealed") == (FrameKind.SEALED, 1, b"sealed")


def test_a_machine_of_another_workspace_is_not_there(router: Router[str]) -> None:
    client = router.add_client("client", "home")
    agent = router.add_agent("agent", "attic", MACHINES[0])
    (answer,) = router.open("client", 7, opening())
    assert answer.to == "client"
    assert isinstance(answer.message, Closed)
    assert answer.message.code == "machine-offline"
    assert not client
    assert not agent


@pytest.mark.parametrize("stream", [0, 3, 7])
def test_a_stream_number_that_is_not_above_all_before_breaks_the_protocol(router: Router[str], stream: int) -> None:
    client = router.add_client("client", "home")
    router.add_agent("agent", "home", MACHINES[0])
    router.open("client", 7, opening())
    before = dict(client)
    with pytest.raises(RemoteProtocolError):
        router.open("client", stream, opening())
    with pytest.raises(RemoteProtocolError):
        router.refuse("client", stream, GONE)
    assert client == before


def test_a_refused_stream_number_is_spent(router: Router[str]) -> None:
    router.add_client("client", "home")
    assert router.refuse("client", 7, GONE) == [Send("client", 7, GONE)]
    with pytest.raises(RemoteProtocolError):
        router.open("client", 7, opening())


def test_closing_a_stream_twice_or_one_that_never_was_is_quiet(router: Router[str]) -> None:
    router.add_client("client", "home")
    router.add_agent("agent", "home", MACHINES[0])
    router.open("client", 7, opening())
    assert router.close("agent", 1, GONE) == [Send("client", 7, GONE)]
    assert router.close("client", 7, GONE) == []
    assert router.close("agent", 1, GONE) == []
    assert router.close("agent", 99, GONE) == []


def test_no_more_streams_than_a_connection_may_have() -> None:
    router: Router[str] = Router(joins_max=2)
    router.add_client("client", "home")
    router.add_agent("agent", "home", MACHINES[0])
    router.open("client", 1, opening())
    router.open("client", 2, opening())
    (answer,) = router.open("client", 3, opening())
    assert (answer.to, answer.stream) == ("client", 3)
    assert answer.message == Closed("session-refused", "2 streams are open already")
    router.close("client", 1, GONE)
    assert router.open("client", 4, opening()) == [Send("agent", 3, opening())]


def test_stream_numbers_that_are_used_up_are_not_used_again() -> None:
    router: Router[str] = Router(stream_max=2)
    router.add_client("client", "home")
    router.add_agent("agent", "home", MACHINES[0])
    for stream in (1, 2):
        router.open("client", stream, opening())
        router.close("client", stream, GONE)
    (answer,) = router.open("client", 3, opening())
    assert answer.to == "client"


def test_the_end_of_a_connection_is_told_to_all_who_were_joined_to_it(router: Router[str]) -> None:
    first, second = router.add_client("a", "home"), router.add_client("b", "home")
    router.add_agent("agent", "home", MACHINES[0])
    router.open("a", 1, opening())
    router.open("b", 1, opening())
    router.open("b", 2, opening())
    assert router.end("agent", GONE) == [Send("a", 1, GONE), Send("b", 1, GONE), Send("b", 2, GONE)]
    assert not first
    assert not second
    assert router.agent(MACHINES[0]) is None
    assert router.end("agent", GONE) == []


def test_adding_twice_is_our_own_mistake(router: Router[str]) -> None:
    router.add_client("a", "home")
    router.add_agent("agent", "home", MACHINES[0])
    with pytest.raises(ValueError, match="twice"):
        router.add_client("a", "home")
    with pytest.raises(ValueError, match="has a connection"):
        router.add_agent("other", "home", MACHINES[0])


@dataclass(frozen=True)
class Joined:
    """A join as the test remembers it."""

    client: str
    client_stream: int
    agent: str
    agent_stream: int


class Joins(RuleBasedStateMachine):
    """Any order of connecting, opening, closing and ending, beside a plain set of joins.

    `stale` are frames that were looked up before their join ended: wherever they land,
    no later join may be there.
    """

    clients = Bundle("clients")
    agents = Bundle("agents")

    def __init__(self) -> None:
        super().__init__()
        self.router: Router[str] = Router(joins_max=3)
        self.tables: dict[str, dict[int, Far[str]]] = {}
        self.workspace_of: dict[str, str] = {}
        self.machine_of: dict[str, str] = {}
        self.joined: set[Joined] = set()
        self.ever: set[tuple[str, int]] = set()
        self.number = 0

    def _connection(self, kind: str, workspace: str) -> str:
        self.number += 1
        name = f"{kind}{self.number}"
        self.workspace_of[name] = workspace
        return name

    @rule(target=clients, workspace=st.sampled_from(["home", "attic"]))
    def connect_client(self, workspace: str) -> str:
        name = self._connection("client", workspace)
        self.tables[name] = self.router.add_client(name, workspace)  # type: ignore[assignment]
        return name

    @rule(target=agents, workspace=st.sampled_from(["home", "attic"]), machine=st.sampled_from(MACHINES))
    def connect_agent(self, workspace: str, machine: str) -> str:
        older = self.router.agent(machine)
        if older is not None:
            self._ended(older)
        name = self._connection("agent", workspace)
        self.tables[name] = self.router.add_agent(name, workspace, machine)  # type: ignore[assignment]
        self.machine_of[machine] = name
        return name

    @rule(client=clients, stream=st.integers(0, 12), machine=st.sampled_from(MACHINES))
    def open(self, client: str, stream: int, machine: str) -> None:
        if client not in self.tables:
            return
        spent = max((number for name, number in self.ever if name == client), default=0)
        if stream <= spent:
            with pytest.raises(RemoteProtocolError):
                self.router.open(client, stream, opening(machine))
            return
        (send,) = self.router.open(client, stream, opening(machine))
        self.ever.add((client, stream))
        agent = self.machine_of.get(machine)
        if send.to == client:
            assert isinstance(send.message, Closed)
            assert send.stream == stream
            full = [sum(name in (join.client, join.agent) for join in self.joined) >= 3 for name in (client, agent)]
            assert agent is None or self.workspace_of[agent] != self.workspace_of[client] or any(full)
            return
        assert agent is not None
        assert send.to == agent
        assert send.message == opening(machine)
        assert self.workspace_of[agent] == self.workspace_of[client]
        assert (agent, send.stream) not in self.ever, "a stream number was used twice"
        self.ever.add((agent, send.stream))
        self.joined.add(Joined(client, stream, agent, send.stream))

    @rule(client=clients, stream=st.integers(0, 12))
    def client_closes(self, client: str, stream: int) -> None:
        if client in self.tables:
            self._closed(client, stream)

    @rule(agent=agents, stream=st.integers(0, 12))
    def agent_closes(self, agent: str, stream: int) -> None:
        if agent in self.tables:
            self._closed(agent, stream)

    def _closed(self, name: str, stream: int) -> None:
        sends = self.router.close(name, stream, GONE)
        ended = {
            join
            for join in self.joined
            if (name, stream) in ((join.client, join.client_stream), (join.agent, join.agent_stream))
        }
        assert [(send.to, send.stream) for send in sends] == [self._other(join, name) for join in ended]
        self.joined -= ended

    @rule(client=consumes(clients))
    def client_ends(self, client: str) -> None:
        self._ended(client)

    @rule(agent=consumes(agents))
    def agent_ends(self, agent: str) -> None:
        self._ended(agent)

    def _ended(self, name: str) -> None:
        sends = self.router.end(name, GONE)
        ended = {join for join in self.joined if name in (join.client, join.agent)}
        assert {(send.to, send.stream) for send in sends} == {self._other(join, name) for join in ended}
        assert len(sends) == len(ended)
        self.joined -= ended
        table = self.tables.pop(name, None)
        assert not table
        for machine, agent in list(self.machine_of.items()):
            if agent == name:
                del self.machine_of[machine]

    @staticmethod
    def _other(join: Joined, name: str) -> tuple[str, int]:
        return (join.agent, join.agent_stream) if name == join.client else (join.client, join.client_stream)

    @invariant()
    def the_tables_hold_exactly_the_joins(self) -> None:
        there = {
            (name, stream, far.connection, far.stream) for name, t in self.tables.items() for stream, far in t.items()
        }
        expected = {(j.client, j.client_stream, j.agent, j.agent_stream) for j in self.joined}
        expected |= {(j.agent, j.agent_stream, j.client, j.client_stream) for j in self.joined}
        assert there == expected

    @invariant()
    def the_agents_are_those_that_are_connected(self) -> None:
        assert {machine: self.router.agent(machine) for machine in MACHINES} == {
            machine: self.machine_of.get(machine) for machine in MACHINES
        }

    def teardown(self) -> None:
        for name in list(self.tables):
            self._ended(name)
        assert not self.joined
        assert not self.router._entries
        assert not self.router._agents


TestJoins = Joins.TestCase
TestJoins.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
