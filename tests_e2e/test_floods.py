"""A flood with one client stopped in the middle of it: it holds nobody up and costs no memory."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path

import pytest

from tests_e2e.conftest import Join, User, as_operator
from tests_e2e.exchange import Exchange
from tests_e2e.stack import Stack
from tests_e2e.timing import BULK_SECONDS, LONG, LONG_SECONDS, rounds

pytestmark = [
    pytest.mark.timeout(LONG_SECONDS if LONG else 2 * BULK_SECONDS),
    pytest.mark.skipif(sys.platform != "linux", reason="how much memory a process had at most is told by /proc"),
]

MB = 1_000_000
FLOOD_BYTES = rounds(40 * MB, 2000 * MB)
GROWTH_MAX_BYTES = 32 * MB
"""Far more than all windows and rings together, and far less than the flood."""


@pytest.fixture
def ann(user: User, own_stack: Stack) -> User:
    return as_operator(user, own_stack)


def most_bytes(pid: int) -> int:
    """The most memory that a process had resident so far (proc(5), VmHWM)."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def test_a_client_that_is_stopped_in_a_flood_costs_the_others_nothing(ann: User, own_stack: Stack, join: Join) -> None:
    reading, stopped = join(ann, "alpha"), join(ann, "alpha")
    assert own_stack.relay is not None
    status = own_stack.status("alpha")
    pids = {
        "the relay": own_stack.relay.process.pid,
        "the agent": status["pid"],
        "its session host": status["host_pid"],
        "the stopped client": stopped.job.pid,
        "the reading client": reading.job.pid,
    }
    before = {name: most_bytes(pid) for name, pid in pids.items()}
    exchange = Exchange(reading, FLOOD_BYTES)
    stopped.job.signal(signal.SIGSTOP)
    output = exchange.stop(reading.person)
    assert exchange.seen == output
    growth = {name: most_bytes(pid) - before[name] for name, pid in pids.items()}
    assert all(grown < GROWTH_MAX_BYTES for grown in growth.values()), growth
    stopped.job.signal(signal.SIGCONT)
    stopped.person.until_like(output)
