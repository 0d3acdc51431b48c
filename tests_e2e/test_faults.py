"""Sessions over a bad network, on either leg: every byte once and in order, in both directions.

CMDOP_TEST_LONG=1 does more of what chance decides about.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests_e2e import far
from tests_e2e.conftest import BadNetwork, Join, User, with_bad_way
from tests_e2e.exchange import Exchange, keys
from tests_e2e.terminal import CMDOP
from tests_e2e.timing import BULK_SECONDS, LONG, LONG_SECONDS, STEP_SECONDS, rounds

pytestmark = pytest.mark.timeout(LONG_SECONDS if LONG else 2 * BULK_SECONDS)

MB = 1_000_000
LINE_FROM_US = b"[connect] "
DARK_SECONDS = 11.0
"""Longer than any end takes to notice a dead link."""


@pytest.fixture
def ann(user: User, network: BadNetwork) -> User:
    return with_bad_way(user, network)


def exact(exchange: Exchange, typed: bytes) -> None:
    """What was typed was read as it was, and what is seen is what was said, byte for byte."""
    exchange.person.type(typed)
    output = exchange.stop(exchange.person)
    assert exchange.typed == typed + far.STOP
    assert LINE_FROM_US not in exchange.seen, "it took longer than the faults of this test may take"
    assert exchange.seen == output


@pytest.mark.parametrize("seed", range(rounds(1, 10)))
def test_cuts_and_resets_on_both_legs_lose_and_double_nothing(
    ann: User, network: BadNetwork, join: Join, seed: int
) -> None:
    dice = random.Random(seed)
    exchange = Exchange(join(ann, "alpha"), out_bytes=20 * MB)
    for leg in ("client", "agent"):
        at = 0
        for _ in range(5):
            at += dice.randrange(1 * MB, 3 * MB)
            way = network.way(leg)
            way.after(at, dice.choice([way.cut, way.reset]))
    exact(exchange, keys(seed, 2 * MB))
    assert network.client_way.planned == network.agent_way.planned == 0


def test_a_long_way_that_is_cut_loses_and_doubles_nothing(ann: User, network: BadNetwork, join: Join) -> None:
    network.client_way.slow(delay_seconds=0.05)
    network.agent_way.slow(delay_seconds=0.05)
    exchange = Exchange(join(ann, "alpha"), out_bytes=2 * MB)
    network.client_way.after(1 * MB, network.client_way.reset)
    exact(exchange, keys(1, MB // 5))


def test_a_narrow_way_that_is_cut_loses_and_doubles_nothing(ann: User, network: BadNetwork, join: Join) -> None:
    """1 Mbit/s, in both directions of the client's leg."""
    exchange = Exchange(join(ann, "alpha"), out_bytes=MB // 2)
    network.client_way.slow(delay_seconds=0.05, rate_bytes=MB / 8)
    network.client_way.after(MB // 4, network.client_way.cut)
    exact(exchange, keys(2, MB // 20))


def like_a_model(exchange: Exchange, typed: bytes) -> None:
    """What was typed was read as it was, and the screen is what a terminal shows that was attached all the time."""
    output = exchange.stop(exchange.person)
    assert exchange.typed == typed + far.STOP
    exchange.person.until_like(output)


@pytest.mark.parametrize("leg", ["client", "agent"] if LONG else ["client"])
def test_a_link_that_swallows_everything_is_noticed_and_replaced(
    ann: User, network: BadNetwork, join: Join, leg: str
) -> None:
    """The line that says so is drawn over by the resume."""
    exchange = Exchange(join(ann, "alpha"), pause_seconds=0.02)
    first, second = keys(3, MB // 10), keys(4, MB // 10)
    exchange.person.type(first)
    exchange.until_typed(len(first))
    network.way(leg).blackhole(DARK_SECONDS)
    exchange.person.type(second)
    exchange.person.until_seen(LINE_FROM_US, 2 * DARK_SECONDS)
    exchange.until_typed(len(first + second))
    like_a_model(exchange, first + second)


@pytest.mark.parametrize("leg", ["client", "agent"])
def test_a_relay_that_refuses_for_a_while_is_waited_for(ann: User, network: BadNetwork, join: Join, leg: str) -> None:
    exchange = Exchange(join(ann, "alpha"), pause_seconds=0.02)
    first, second = keys(5, 50_000), keys(6, 50_000)
    exchange.person.type(first)
    exchange.until_typed(len(first) // 2)
    network.way(leg).refuse(3.0)
    exchange.person.type(second)
    exchange.person.until_seen(LINE_FROM_US)
    exchange.until_typed(len(first + second))
    like_a_model(exchange, first + second)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_a_relay_that_comes_back_finds_everybody_again(
    ann: User, network: BadNetwork, join: Join, number: signal.Signals
) -> None:
    exchange = Exchange(join(ann, "alpha"), pause_seconds=0.02)
    first, second = keys(7, 50_000), keys(8, 50_000)
    exchange.person.type(first)
    exchange.until_typed(len(first) // 2)
    assert network.stack.relay is not None
    network.stack.relay.stop(number)
    exchange.person.type(second)
    network.stack.start_relay(network.stack.url.removeprefix("ws://"))
    exchange.until_typed(len(first + second))
    like_a_model(exchange, first + second)


def test_a_client_that_slept_while_its_network_went_goes_on(ann: User, network: BadNetwork, join: Join) -> None:
    sleeper = join(ann, "alpha")
    exchange = Exchange(sleeper, pause_seconds=0.005)
    typed = keys(9, MB)
    exchange.person.type(typed)
    exchange.until_typed(len(typed) // 10)
    sleeper.job.signal(signal.SIGSTOP)
    network.client_way.reset()
    network.client_way.until_connected(0, STEP_SECONDS)
    sleeper.job.signal(signal.SIGCONT)
    exchange.until_typed(len(typed))
    like_a_model(exchange, typed)


def test_sessions_outlive_a_restart_of_their_agent(ann: User, network: BadNetwork, join: Join) -> None:
    exchange = Exchange(join(ann, "alpha"), pause_seconds=0.005)
    typed = keys(10, MB)
    exchange.person.type(typed)
    exchange.until_typed(len(typed) // 10)
    network.stack.restart_agent("alpha")
    exchange.until_typed(len(typed))
    like_a_model(exchange, typed)


def until(happened: Callable[[], bool]) -> None:
    """Until a program has come that far. Nothing tells of it, so it is looked at."""
    deadline = time.monotonic() + BULK_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it never came"


def test_what_a_pipe_brings_into_a_session_that_is_there_arrives_whatever_is_cut(
    ann: User, network: BadNetwork, tmp_path: Path
) -> None:
    """The client leaves at its end by itself, and only when the machine has every byte."""
    brought, raw, arrived = keys(3, MB), tmp_path / "raw", tmp_path / "arrived"
    taking = ["sh", "-c", f"stty raw -echo; touch {raw}; head -c {MB} > {arrived}; sleep 60"]
    made = subprocess.run(
        [CMDOP, "session", "create", "alpha", "--", *taking], env=ann.env, capture_output=True, check=True
    )
    until(raw.exists)
    for way in (network.client_way, network.agent_way):
        way.after(MB // 3, way.cut)
        way.after(MB // 2, way.reset)
    words = [CMDOP, "session", "attach", made.stdout.decode().strip()]
    with subprocess.Popen(words, env=ann.env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as client:
        client.communicate(brought, timeout=BULK_SECONDS)
    assert client.returncode == 0
    until(lambda: arrived.stat().st_size == len(brought))
    assert arrived.read_bytes() == brought
