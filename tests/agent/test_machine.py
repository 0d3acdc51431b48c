"""What of a machine outlives its agents."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator

import pytest

from cmdop.agent import machine as machine_module
from cmdop.agent.admission import Guest
from cmdop.agent.machine import Machine
from cmdop.agent.options import AgentOptions
from cmdop.errors import CommandUnusable, SessionGone, ShellUnusable
from cmdop.wire.session_messages import Register

pytestmark = pytest.mark.skipif(os.name != "posix", reason="it wants a PTY")

ANN = Guest("ann", observer=False)


def wanted(*command: str, **more: object) -> Register:
    return Register(1, "test", "c1", 24, 80, new=True, command=command, **more)  # type: ignore[arg-type]


@pytest.fixture
def machine() -> Iterator[Machine]:
    machine = Machine()
    machine.open_with(AgentOptions(shell="/bin/cat", environment={"PATH": "/usr/bin:/bin"}))
    yield machine
    machine.close()


def test_shells_are_opened_as_the_last_agent_wants_it(machine: Machine) -> None:
    assert not machine.any
    machine.shells.join_or_open(wanted(), "ann")
    assert machine.any
    machine.open_with(AgentOptions(shell="/nonexistent/shell"))
    with pytest.raises(ShellUnusable):
        machine.shells.join_or_open(wanted(), "ann")
    assert len(machine.statuses()) == 1


def test_a_clients_command_that_is_not_there_is_no_fault_of_the_agents_shell(machine: Machine) -> None:
    with pytest.raises(CommandUnusable, match=r"^/nonexistent/program cannot be run: there is no such program$"):
        machine.shells.join_or_open(wanted("/nonexistent/program", "-x"), "ann")
    assert machine.statuses() == []


def test_a_clients_command_comes_before_the_agents_shell(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []
    opened = machine_module.open_login_shell

    def tell(about: Register, session_id: str, shell: str | None, environment: object) -> object:
        asked.append(shell)
        return opened(about, session_id, shell, {})

    monkeypatch.setattr(machine_module, "open_login_shell", tell)
    machine.shells.join_or_open(wanted("/bin/cat", "two words"), "ann")
    assert asked == ["/bin/cat 'two words'"]


def test_everybody_who_listens_hears_of_changes_until_they_do_not_want_to(machine: Machine) -> None:
    heard: list[int] = []
    ends: list[Callable[[], None]] = [machine.listen(lambda n=n: heard.append(n)) for n in (1, 2)]  # type: ignore[misc]
    machine.shells.wake()
    assert heard == [1, 2]
    ends[0]()
    machine.shells.wake()
    assert heard == [1, 2, 2]


def test_whoever_was_let_in_may_come_back_to_the_program_that_it_becomes(machine: Machine) -> None:
    token = machine.admission.success(wanted(), ANN).session_token
    state, blobs = json.loads(json.dumps(machine.hand_over()))
    machine.thaw()
    back = wanted(resume=True, session_token=token)
    another = Machine()
    try:
        with pytest.raises(SessionGone):
            another.admission.success(back, ANN)
        another.take_over(state, blobs)
        assert another.admission.success(back, ANN).session_token == token
    finally:
        another.close()


def test_a_session_that_was_frozen_in_vain_goes_on(machine: Machine) -> None:
    shell, _ = machine.shells.join_or_open(wanted(), "ann")
    machine.hand_over()
    machine.thaw()
    assert machine.statuses()[0]["session_id"] == shell.opened.session_id
    machine.close()
    assert not machine.any
