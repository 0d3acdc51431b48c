"""Client, relay and agent over arbitrary schedules of faults: every byte once and in order.

The world is tests/session/simulation/. It is played here by any bytes, a hundred thousand
times, and by a state machine whose examples are easier to read. A longer run:

    ./dev tests tests/session/test_simulation.py -n auto --schedules 10000000
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cmdop.winsize import Winsize
from tests.session.simulation.client import Client
from tests.session.simulation.network import Connection, Entry
from tests.session.simulation.scale import small_limits
from tests.session.simulation.schedule import SCHEDULE_BYTES, play_all
from tests.session.simulation.world import World

PARTS = 8
"""Tests that the schedules are spread over, to run side by side."""
TOGETHER = 10
"""Schedules in one example: making an example takes about half as long as playing a schedule."""


@pytest.fixture(scope="module", autouse=True)
def _small_limits() -> Iterator[None]:
    with small_limits():
        yield


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "examples" in metafunc.fixturenames:
        schedules = metafunc.config.getoption("schedules")
        examples = max(1, schedules // (PARTS * TOGETHER))
        patience = pytest.mark.timeout(120 + schedules / PARTS / 20)  # many times what it takes
        metafunc.parametrize("examples", [pytest.param(examples, marks=patience)] * PARTS)


def test_whatever_breaks_every_byte_arrives_once_and_in_order(examples: int) -> None:
    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(st.binary(min_size=TOGETHER * SCHEDULE_BYTES, max_size=TOGETHER * SCHEDULE_BYTES))
    def any_bytes_are_schedules(schedules: bytes) -> None:
        play_all(schedules)

    any_bytes_are_schedules()


numbers = st.integers(0, 7)
sizes = st.integers(1, 40)


class Sessions(RuleBasedStateMachine):
    """The same world, one rule for each thing that can happen."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    def client(self, number: int) -> Client:
        return self.world.clients[number % len(self.world.clients)]

    def connection(self, number: int) -> Connection:
        connections = self.world.connections
        return connections[number % len(connections)] if connections else Connection()

    # -- people and programs

    @rule(number=numbers, size=sizes)
    def a_client_types(self, number: int, size: int) -> None:
        self.world.type(self.client(number), size)

    @rule(number=numbers)
    def a_client_begins_or_ends_a_paste(self, number: int) -> None:
        self.world.paste(self.client(number))

    @rule(number=numbers, size=sizes)
    def a_terminal_takes_some_bytes(self, number: int, size: int) -> None:
        self.client(number).take(size)

    @rule(number=numbers, cols=st.integers(1, 200))
    def a_window_gets_another_size(self, number: int, cols: int) -> None:
        self.world.resize(self.client(number), Winsize(24, cols))

    @rule(observer=st.booleans(), drawn=st.booleans())
    def somebody_joins(self, observer: bool, drawn: bool) -> None:
        self.world.join(Entry("", observer=observer, drawn=drawn))

    @rule()
    def somebody_takes_the_session_over(self) -> None:
        self.world.join(Entry("", takeover=True))

    @rule(number=numbers, politely=st.booleans())
    def a_client_leaves(self, number: int, politely: bool) -> None:
        self.world.leave(self.client(number), politely)

    @rule(size=sizes, seconds=st.sampled_from([2.0, 64.0]))
    def a_call_types(self, size: int, seconds: float) -> None:
        self.world.call(b"!" * size, seconds)

    @rule(size=sizes)
    def the_program_prints(self, size: int) -> None:
        self.world.program.print(size)

    @rule(size=sizes)
    def the_program_reads(self, size: int) -> None:
        self.world.program.read_input(size)

    @rule(kept=st.integers(0, 20))
    def an_interrupt_flushes_the_output(self, kept: int) -> None:
        self.world.program.interrupt(kept)

    # -- the network and the agent

    @rule(number=numbers, count=st.integers(1, 8))
    def records_reach_the_agent(self, number: int, count: int) -> None:
        self.world.deliver_up(self.connection(number), count)

    @rule(number=numbers, count=st.integers(1, 8))
    def records_reach_a_client(self, number: int, count: int) -> None:
        self.world.deliver_down(self.connection(number), count)

    @rule(rounds=st.integers(1, 4))
    def the_agent_reads_and_writes_the_pty(self, rounds: int) -> None:
        for _ in range(rounds):
            self.world.agent.turn()

    @rule(number=numbers)
    def a_connection_is_cut(self, number: int) -> None:
        self.connection(number).lose()

    @rule(number=numbers)
    def a_client_gives_its_connection_up(self, number: int) -> None:
        self.world.client_notices(self.connection(number))

    @rule(number=numbers)
    def the_agent_hears_of_a_lost_connection(self, number: int) -> None:
        self.world.agent_notices(self.connection(number))

    @rule(number=numbers, spoilt=st.booleans())
    def a_client_dials_again(self, number: int, spoilt: bool) -> None:
        self.world.dial(self.client(number), spoilt)

    @rule()
    def the_relay_stops(self) -> None:
        self.world.relay_stops()

    @rule()
    def the_relay_starts(self) -> None:
        self.world.relay_starts()

    @rule()
    def the_agent_goes_on_in_another_process(self) -> None:
        self.world.agent_renews()

    @rule(seconds=st.sampled_from([0.125, 0.5, 2.0, 8.0, 32.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.world.tick(seconds)

    # -- what holds

    @invariant()
    def nothing_is_lost_doubled_or_torn(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        if sys.exception() is None:  # else what broke is to be seen, and not what came of it
            self.world.settle()


TestSessions = Sessions.TestCase
TestSessions.settings = settings(max_examples=200, stateful_step_count=60, suppress_health_check=list(HealthCheck))
