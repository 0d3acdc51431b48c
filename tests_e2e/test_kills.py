"""Client, relay and agent killed in the middle of traffic: nothing is lost but what a killed client had not yet sent.

CMDOP_TEST_LONG=1 kills 200 times.
"""

from __future__ import annotations

import random
import signal

import pytest

from tests_e2e import far
from tests_e2e.conftest import Join, User, as_operator
from tests_e2e.exchange import Exchange, keys
from tests_e2e.stack import Stack
from tests_e2e.timing import BULK_SECONDS, LONG, LONG_SECONDS, rounds

pytestmark = pytest.mark.timeout(LONG_SECONDS if LONG else 2 * BULK_SECONDS)

PAUSE_SECONDS = 0.02
"""Between the pieces that the program says, so that there is traffic all the time and no flood."""
TYPED_MAX = 50_000
MARK = b"<mark>"


@pytest.fixture
def ann(user: User, own_stack: Stack) -> User:
    return as_operator(user, own_stack)


@pytest.mark.parametrize("who", ["relay", "agent"])
def test_a_killed_relay_or_agent_costs_no_byte(ann: User, own_stack: Stack, join: Join, who: str) -> None:
    dice = random.Random(who)
    exchange = Exchange(join(ann, "alpha"), pause_seconds=PAUSE_SECONDS)
    typed = b""
    for number in range(rounds(3, 70)):
        before, more = len(typed), keys(number, dice.randrange(1, TYPED_MAX))
        typed += more
        exchange.person.type(more)
        exchange.until_typed(before + dice.randrange(len(more)))
        if who == "relay":
            assert own_stack.relay is not None
            own_stack.relay.stop(signal.SIGKILL)
            own_stack.start_relay(own_stack.url.removeprefix("ws://"))
        else:
            own_stack.kill_agent("alpha")
            own_stack.start_agent("alpha")
        exchange.until_typed(len(typed))
    output = exchange.stop(exchange.person)
    assert exchange.typed == typed + far.STOP
    exchange.person.until_like(output)


def test_a_killed_client_takes_nothing_along_but_what_it_had_not_sent(ann: User, own_stack: Stack, join: Join) -> None:
    dice = random.Random(1)
    exchange = Exchange(join(ann, "alpha"), pause_seconds=PAUSE_SECONDS)
    arrived = 0
    for number in range(rounds(4, 60)):
        client = join(ann, "alpha")
        sure, unsure = (keys(seed, dice.randrange(1, TYPED_MAX)) for seed in (2 * number, 2 * number + 1))
        client.person.type(sure)
        exchange.until_typed(arrived + len(sure))
        client.person.type(unsure)
        exchange.until_typed(arrived + len(sure) + dice.randrange(len(unsure)))
        client.kill()
        client.close()
        own_stack.until_clients("alpha", 1)
        arrived = settled(exchange, arrived, sure, unsure)
    output = exchange.stop(exchange.person)
    successor = join(ann, "alpha")
    successor.person.until_like(output, history=True)
    exchange.person.until_like(output, history=True)


def settled(exchange: Exchange, arrived: int, sure: bytes, unsure: bytes) -> int:
    """How much was typed in all, with what a killed client typed checked: its end is known once its mark is there."""
    exchange.person.type(MARK)
    exchange.until_typed_last(MARK)
    its_own = exchange.typed[arrived : -len(MARK)]
    assert its_own[: len(sure)] == sure
    assert unsure.startswith(its_own[len(sure) :])
    return len(exchange.typed)


def test_a_client_that_is_killed_alone_leaves_its_screen_to_the_next(ann: User, join: Join) -> None:
    alone, typed = join(ann, "alpha"), keys(1, TYPED_MAX)
    exchange = Exchange(alone, pause_seconds=PAUSE_SECONDS)
    exchange.person.type(typed)
    exchange.until_typed(len(typed))
    alone.kill()
    successor = join(ann, "alpha")
    output = exchange.stop(successor.person)
    assert exchange.typed == typed + far.STOP
    successor.person.until_like(output, history=True)
