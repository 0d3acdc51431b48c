"""A relay that was reached: one connection for the list, a survey and the first calls, and others when it is spent."""

from __future__ import annotations

import pytest

from cmdop.auth.credentials import Credential
from cmdop.client import reach as reach_module
from cmdop.client.passwords import Passwords
from cmdop.client.reach import Access, Reach
from cmdop.errors import MachineOffline, NoSuchMachine
from cmdop.wire.call_messages import Sessions
from cmdop.wire.message import Message
from cmdop.wire.relay_messages import Closed
from tests.client.far_end import TIMEOUT_SECONDS
from tests.client.far_machines import KEY, FarMachines, machine, record
from tests.client.trusting import Trusting

ID = "abcd1234abcd1234"
ONE, TWO, OFF = machine(1, ID), machine(2), machine(3, online=False)


def told(_: Message) -> Message:
    return Sessions((record(ID),))


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> FarMachines:
    far = FarMachines({ONE.machine_id: told, TWO.machine_id: told}, machines=(ONE, TWO, OFF))
    monkeypatch.setattr(reach_module, "reach_relay", lambda *_, **__: far.dial())
    return far


@pytest.fixture
def reach(far: FarMachines) -> Reach:
    return Reach(Access(Credential(KEY, "ws://relay", "home"), b"d" * 32, Trusting(), Passwords()))


def ended(far: FarMachines) -> list[bool]:
    """Which of the connections were given back, in order."""
    return [connection.ended.wait(TIMEOUT_SECONDS) for connection in far.connections]


def test_a_name_is_resolved_to_a_machine_that_is_online(reach: Reach) -> None:
    assert reach.machine("name-1") == ONE
    with pytest.raises(MachineOffline):
        reach.machine("name-3")
    with pytest.raises(NoSuchMachine):
        reach.machine("nowhere")
    assert reach.workspace == "home"


def test_a_survey_and_then_calls_take_one_connection(reach: Reach, far: FarMachines) -> None:
    assert len(reach.surveyor.ask([ONE, TWO]).found) == 2
    calls = reach.calls(ONE)
    assert calls.sessions() == [record(ID)]
    assert len(far.connections) == 1
    calls.close()
    assert ended(far) == [True]


def test_calls_on_two_machines_have_a_connection_each(reach: Reach, far: FarMachines) -> None:
    first, second = reach.calls(ONE), reach.calls(TWO)
    assert first.sessions() == second.sessions() == first.sessions() == [record(ID)]
    assert len(far.connections) == 2
    for calls in (first, second):
        calls.close()
    assert ended(far) == [True, True]


def test_what_was_never_used_is_given_back(reach: Reach, far: FarMachines) -> None:
    reach.close()
    reach.close()
    assert ended(far) == [True]


def test_a_machine_that_cannot_be_opened_leaves_nothing_open(reach: Reach, far: FarMachines) -> None:
    far.closed_with[ONE.machine_id] = Closed("machine-offline", "last heard 3 s ago")
    with pytest.raises(MachineOffline):
        reach.calls(ONE).sessions()
    assert ended(far) == [True]
