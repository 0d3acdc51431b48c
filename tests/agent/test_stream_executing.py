"""A command on a real stream: when it may be asked for, and what ends it."""

from __future__ import annotations

import pytest

from cmdop.agent.executions import Executions
from cmdop.agent.stream import AgentStream
from cmdop.exechost.interface import Exited
from cmdop.limits import EXECUTIONS_MAX, WINDOW_MIN_BYTES
from cmdop.wire.call_messages import ListSessions, Sessions
from cmdop.wire.exec_messages import EXEC_MESSAGES, Execute
from cmdop.wire.message import Unknown
from cmdop.wire.record import RecordKind
from cmdop.wire.relay_messages import Open
from cmdop.wire.session_messages import Ended, Refused, Resize
from tests.agent.knocking import MACHINE_ID, PSK, STATIC, Client, Machine, until_forgotten
from tests.agent.test_executing import FakeProgram

WANTED = Execute((b"true",), stdin=True, window_bytes=WINDOW_MIN_BYTES)


class Asking(Client):
    """A client of a machine that runs commands which the test plays."""

    def __init__(self, role: str = "operator") -> None:
        super().__init__(1, role, PSK)
        self.program = FakeProgram()
        self.machine = Machine()
        self.executions = Executions(lambda _: self.program)
        opened = Open(MACHINE_ID, role, "anna", "key", "192.0.2.1")
        self.stream = AgentStream(1, opened, PSK, STATIC, self, self.machine.admission, self.executions)
        self.shake()

    def round(self) -> None:
        """Until the command's thread has looked at everything once more."""
        for _ in range(2):
            self.stream.pump()
            self.program.until(lambda: not self.program.woken)

    def execute(self) -> None:
        self.send(RecordKind.CONTROL, 0, EXEC_MESSAGES.encode(WANTED))

    def started(self) -> None:
        self.execute()
        self.hear(Unknown)  # Started, which the codecs of sessions and calls do not know


@pytest.fixture
def client() -> Asking:
    return Asking()


def test_a_command_runs_on_a_stream_on_which_nobody_registered(client: Asking) -> None:
    client.started()
    client.send(RecordKind.INPUT, 0, b"typed")
    client.program.until(lambda: client.program.taken == b"typed")
    client.program.say(b"out")
    client.program.finish(Exited(3))
    assert client.hear(Ended) == Ended(3, 0, 3)
    assert client.until_closed() == ("", "")
    assert client.until_shown(3) == b"out"


def test_a_command_may_come_behind_calls_and_no_call_behind_it(client: Asking) -> None:
    client.call(ListSessions())
    client.hear(Sessions)
    client.started()
    client.execute()
    assert client.until_closed()[0] == "remote-protocol"
    client.program.until(lambda: client.program.closed)


def test_after_a_refusal_the_stream_may_be_used_for_something_else() -> None:
    client = Asking("observer")
    client.execute()
    assert client.hear(Refused).code == "role-too-low"
    client.call(ListSessions())
    client.hear(Sessions)


def test_a_size_does_not_reach_a_session_from_there(client: Asking) -> None:
    client.started()
    client.say(Resize(5, 6))
    client.program.until(lambda: client.program.did)


def test_the_end_of_the_stream_is_that_of_the_command(client: Asking) -> None:
    client.started()
    client.stream.closed()
    client.stream.closed()
    client.program.until(lambda: client.program.closed)
    assert client.program.did[0] == "hung up"


def test_input_without_a_command_breaks_the_protocol(client: Asking) -> None:
    client.send(RecordKind.INPUT, 0, b"x")
    assert client.until_closed()[0] == "remote-protocol"


def test_a_connection_that_takes_more_goes_on_with_the_output(client: Asking) -> None:
    client.started()
    client.program.say(b"first")
    client.until_shown(5)
    client.congested = True  # in this turn it has sent something
    client.round()
    client.program.say(b" more")
    client.round()
    assert client.output == b"first"
    client.congested = False
    client.stream.pump()
    assert client.until_shown(10) == b"first more"


def test_a_stream_without_commands_refuses_them() -> None:
    client = Machine().knock()
    client.shake()
    client.send(RecordKind.CONTROL, 0, EXEC_MESSAGES.encode(WANTED))
    assert client.until_closed()[0] == "command-refused"
    assert EXECUTIONS_MAX >= 50


def test_a_stream_whose_command_is_over_does_not_wait_for_the_garbage_collector(client: Asking) -> None:
    client.started()
    client.program.finish(Exited(0))
    until_forgotten(client, lambda client: client.hear(Ended))
