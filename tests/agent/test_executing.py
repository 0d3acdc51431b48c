"""A command between a program that the test plays and its client's stream."""

from __future__ import annotations

import errno
import threading
from collections import deque
from collections.abc import Callable

import pytest

from cmdop.agent.admission import Guest
from cmdop.agent.executing import Execution
from cmdop.agent.executions import Executions
from cmdop.errors import CmdopError, CommandUnusable, RemoteProtocolError
from cmdop.exechost.interface import Exited, Program, ProgramReady, Wants
from cmdop.limits import DATA_MAX_BYTES, EXECUTIONS_MAX, WINDOW_MIN_BYTES
from cmdop.winsize import Winsize
from cmdop.wire.exec_messages import EXEC_MESSAGES, Execute, InputEnded, OutputEnded, Signal, Started
from cmdop.wire.message import Message, Unknown
from cmdop.wire.record import Record, RecordKind
from cmdop.wire.session_messages import SESSION_MESSAGES, Ended, Resize

TIMEOUT_SECONDS = 10.0
WINDOW = 1000
OUTPUT, ERROR = RecordKind.OUTPUT, RecordKind.ERROR_OUTPUT


class FakeProgram(Program):
    """Says what it is told to say, and takes `room` bytes of input."""

    def __init__(self) -> None:
        # Guards everything; told of every change.
        self.changed = threading.Condition()
        self.said: dict[bool, deque[bytes | None]] = {False: deque(), True: deque()}
        self.taken = bytearray()
        self.room: int | None = 10**9
        self.did: list[object] = []
        self.end: Exited | None = None
        self.dies_of_hangup = True
        self.woken = self.closed = False

    def change(self, what: Callable[[], object]) -> None:
        with self.changed:
            what()
            self.changed.notify_all()

    def say(self, data: bytes | None, error: bool = False) -> None:
        self.change(lambda: self.said[error].append(data))

    def finish(self, end: Exited) -> None:
        """Both outputs are closed, and it ends."""
        self.say(None)
        self.say(None, error=True)
        self.change(lambda: setattr(self, "end", end))

    def until(self, what: Callable[[], object]) -> None:
        with self.changed:
            assert self.changed.wait_for(what, TIMEOUT_SECONDS), self.did

    def wait(self, wants: Wants, timeout_seconds: float | None = None) -> ProgramReady:
        def ready() -> ProgramReady:
            return ProgramReady(
                wants.stdin and self.room != 0,
                wants.stdout and bool(self.said[False]),
                wants.stderr and bool(self.said[True]),
                self.end is not None,
            )

        with self.changed:
            self.changed.wait_for(lambda: self.woken or any(ready()), timeout_seconds)
            self.woken = False
            self.changed.notify_all()
            return ready()

    def write(self, data: bytes | memoryview) -> int | None:
        with self.changed:
            if self.room is None:
                return None
            piece = bytes(data[: self.room])
            self.taken += piece
            self.room -= len(piece)
            self.changed.notify_all()
            return len(piece)

    def close_input(self) -> None:
        self.change(lambda: self.did.append("input closed"))

    def read(self, error: bool, size: int) -> bytes | None:
        with self.changed:
            if not self.said[error]:
                return b""
            data = self.said[error].popleft()
            if data is not None and len(data) > size:
                self.said[error].appendleft(data[size:])
                data = data[:size]
            return data

    def close_output(self, error: bool) -> None:
        self.change(lambda: self.did.append(("output closed", error)))

    def wake(self) -> None:
        self.change(lambda: setattr(self, "woken", True))

    def signal(self, name: str) -> bool:
        self.change(lambda: self.did.append(name))
        return True

    def resize(self, winsize: Winsize) -> None:
        self.change(lambda: self.did.append(winsize))

    def hang_up(self) -> None:
        self.change(lambda: self.did.append("hung up"))
        if self.dies_of_hangup:
            self.change(lambda: setattr(self, "end", Exited(0, 1)))

    def kill(self) -> None:
        self.change(lambda: self.did.append("killed"))
        self.change(lambda: setattr(self, "end", self.end or Exited(0, 9)))

    def exited(self) -> Exited | None:
        return self.end

    def close(self) -> None:
        self.change(lambda: setattr(self, "closed", True))


class Client:
    """The stream of a command, as its client sees it."""

    def __init__(self, **wanted: object) -> None:
        self.program = FakeProgram()
        self.start: Callable[[Execute], Program] = lambda _: self.program
        self.executions = Executions(self._start)
        self.congested = False
        # Guards what was heard; told of each.
        self.changed = threading.Condition()
        self.bytes = {OUTPUT: bytearray(), ERROR: bytearray()}
        self.records: list[Record] = []
        self.messages: list[Message] = []
        self.refused: CmdopError | None = None
        self.finished = False
        self.token = ""
        fields = {"command": (b"true",), "stdin": True, "window_bytes": WINDOW, **wanted}
        self.wanted = Execute(**fields)  # type: ignore[arg-type]
        self.execution: Execution | None = None

    def _start(self, wanted: Execute) -> Program:
        return self.start(wanted)

    def begin(self, observer: bool = False, executions: Executions | None = None) -> Execution:
        guest = Guest("ann", observer)
        table = executions or self.executions
        self.execution = Execution(self.wanted, self, table, guest, lambda token: token == self.token)
        self.execution.begin()
        return self.execution

    def started(self) -> Execution:
        execution = self.begin()
        self.until(lambda: any(isinstance(message, Started) for message in self.messages))
        return execution

    # -- as the agent's stream

    def send_record(self, kind: int, offset: int, payload: bytes) -> None:
        with self.changed:
            self.records.append(Record(kind, offset, payload))
            if kind in (OUTPUT, ERROR):
                taken = self.bytes[RecordKind(kind)]
                assert offset == len(taken)
                taken += payload
            self.changed.notify_all()

    def send_payload(self, payload: bytes) -> None:
        found = [codec.decode(payload) for codec in (EXEC_MESSAGES, SESSION_MESSAGES)]
        with self.changed:
            self.messages += [message for message in found if not isinstance(message, Unknown)]
            self.changed.notify_all()

    def finish(self) -> None:
        assert self.execution is not None
        self.execution.close()
        with self.changed:
            self.finished = True
            self.changed.notify_all()

    def not_executed(self, error: CmdopError) -> None:
        with self.changed:
            self.refused = error
            self.changed.notify_all()

    # -- as the client

    def until(self, what: Callable[[], object]) -> None:
        with self.changed:
            assert self.changed.wait_for(what, TIMEOUT_SECONDS), (self.messages, self.refused)

    def round(self) -> None:
        """Until its thread has looked at everything once more: a second wake is heard behind that."""
        assert self.execution is not None
        for _ in range(2):
            self.execution.wake()
            self.program.until(lambda: not self.program.woken)

    def says(self, message: Message) -> None:
        codec = EXEC_MESSAGES if type(message) in EXEC_MESSAGES.kinds else SESSION_MESSAGES
        self.sends(RecordKind.CONTROL, 0, codec.encode(message))

    def sends(self, kind: RecordKind, offset: int, payload: bytes = b"") -> None:
        assert self.execution is not None
        hears = {
            RecordKind.INPUT: self.execution.on_input,
            RecordKind.CREDIT: self.execution.on_credit,
            RecordKind.CONTROL: self.execution.on_control,
        }
        hears[kind](Record(kind, offset, payload))

    def until_refused(self) -> CmdopError:
        self.until(lambda: self.refused)
        assert self.refused is not None
        return self.refused


@pytest.fixture
def client() -> Client:
    return Client()


def test_what_it_writes_arrives_in_order_and_its_end_comes_last(client: Client) -> None:
    client.started()
    client.program.say(b"out ")
    client.program.say(b"err", error=True)
    client.program.say(b"more")
    client.program.finish(Exited(3))
    client.until(lambda: client.finished)
    assert (client.bytes[OUTPUT], client.bytes[ERROR]) == (b"out more", b"err")
    assert client.messages[-1] == Ended(3, 0, 8)
    assert client.messages[0] == Started(WINDOW_MIN_BYTES)
    assert set(client.messages[1:-1]) == {OutputEnded(), OutputEnded(True)}
    assert client.program.closed
    assert client.program.did == [], "who has ended is left alone"


def test_each_output_goes_as_far_as_its_own_credit(client: Client) -> None:
    client.started()
    client.program.say(bytes(WINDOW + 5))
    client.program.say(bytes(WINDOW + 5), error=True)
    client.until(lambda: len(client.bytes[OUTPUT]) == len(client.bytes[ERROR]) == WINDOW)
    client.sends(RecordKind.CREDIT, WINDOW + 2, bytes([ERROR]))
    client.until(lambda: len(client.bytes[ERROR]) == WINDOW + 2)
    assert len(client.bytes[OUTPUT]) == WINDOW
    client.sends(RecordKind.CREDIT, WINDOW + 3)
    client.until(lambda: len(client.bytes[OUTPUT]) == WINDOW + 3)
    client.sends(RecordKind.CREDIT, WINDOW + 5, bytes([99]))
    client.sends(RecordKind.CREDIT, WINDOW + 4, bytes([OUTPUT]))
    client.until(lambda: len(client.bytes[OUTPUT]) == WINDOW + 4)


def test_a_record_is_never_too_long() -> None:
    client = Client(window_bytes=10 * DATA_MAX_BYTES)
    client.started()
    client.program.say(bytes(3 * DATA_MAX_BYTES))
    client.until(lambda: len(client.bytes[OUTPUT]) == 3 * DATA_MAX_BYTES)
    assert max(len(record.payload) for record in client.records) == DATA_MAX_BYTES


def test_a_congested_connection_is_not_given_more_until_it_wakes_us(client: Client) -> None:
    execution = client.started()
    client.congested = True
    client.round()
    client.program.say(b"later")
    client.round()
    assert client.bytes[OUTPUT] == b""
    client.congested = False
    execution.wake()
    client.until(lambda: client.bytes[OUTPUT] == b"later")


def test_input_reaches_it_and_its_end_behind_it(client: Client) -> None:
    client.program.room = 2
    client.started()
    client.sends(RecordKind.INPUT, 0, b"abc")
    client.sends(RecordKind.INPUT, 3, b"def")
    client.says(InputEnded())
    client.program.until(lambda: client.program.taken == b"ab")
    assert client.program.did == []
    client.program.change(lambda: setattr(client.program, "room", 100))
    client.program.until(lambda: client.program.did == ["input closed"])
    assert client.program.taken == b"abcdef"


def test_credit_for_input_comes_as_it_is_taken(client: Client) -> None:
    client.started()
    piece = bytes(DATA_MAX_BYTES)
    for at in range(0, 3 * DATA_MAX_BYTES, DATA_MAX_BYTES):
        client.sends(RecordKind.INPUT, at, piece)
    client.until(lambda: any(record.kind == RecordKind.CREDIT for record in client.records))
    credit = next(record for record in client.records if record.kind == RecordKind.CREDIT)
    assert credit.payload == bytes([RecordKind.INPUT])
    assert credit.offset > WINDOW_MIN_BYTES


@pytest.mark.parametrize(("size", "pieces"), [(0, 1), (1, 4)], ids=["empty", "small"])
def test_a_flood_of_small_records_takes_no_more_memory_than_its_bytes(client: Client, size: int, pieces: int) -> None:
    client.program.room = 0
    execution = client.started()
    client.sends(RecordKind.INPUT, 0, b"first")
    for number in range(3 * 4096):
        client.sends(RecordKind.INPUT, 5 + number * size, bytes(size))
    assert len(execution._pending) == pieces


@pytest.mark.parametrize("offset", [1, WINDOW_MIN_BYTES])
def test_input_with_a_gap_breaks_the_protocol(client: Client, offset: int) -> None:
    client.started()
    with pytest.raises(RemoteProtocolError, match="0 was next"):
        client.sends(RecordKind.INPUT, offset, b"x")


def test_more_input_than_it_has_credit_for_breaks_the_protocol(client: Client) -> None:
    client.program.room = 0
    client.started()
    client.sends(RecordKind.INPUT, 0, bytes(WINDOW_MIN_BYTES))
    with pytest.raises(RemoteProtocolError, match="credit"):
        client.sends(RecordKind.INPUT, WINDOW_MIN_BYTES, b"x")


def test_a_program_that_takes_no_more_input_is_told_and_what_comes_is_dropped(client: Client) -> None:
    client.program.room = None
    client.started()
    client.sends(RecordKind.INPUT, 0, b"abc")
    client.until(lambda: InputEnded() in client.messages)
    client.sends(RecordKind.INPUT, 3, b"def")
    assert client.program.taken == b""


def test_an_output_that_nobody_takes_is_closed_and_the_command_may_end(client: Client) -> None:
    client.started()
    client.says(OutputEnded())
    client.program.until(lambda: client.program.did == [("output closed", False)])
    client.program.say(None, error=True)
    client.program.change(lambda: setattr(client.program, "end", Exited(0, 13)))
    client.until(lambda: client.finished)
    assert client.messages[-1] == Ended(0, 13)


def test_signals_and_sizes_reach_it(client: Client) -> None:
    client.started()
    client.says(Signal("INT"))
    client.says(Resize(5, 6))
    assert client.program.did == ["INT", Winsize(5, 6)]


def test_what_no_client_says_breaks_the_protocol(client: Client) -> None:
    client.started()
    with pytest.raises(RemoteProtocolError, match="Started from a client"):
        client.says(Started())


# -- the end of the client ---------------------------------------------------------------------


def test_who_is_gone_has_its_command_hung_up(client: Client) -> None:
    client.started().close()
    client.program.until(lambda: client.program.closed)
    assert client.program.did == ["hung up", "killed"]
    assert not any(isinstance(message, Ended) for message in client.messages)


def test_a_command_that_cannot_wait_is_killed(client: Client) -> None:
    client.program.dies_of_hangup = False
    client.started()
    client.executions.close()
    assert client.program.closed
    assert client.program.did[0] == "killed"


def test_none_is_run_by_a_machine_that_is_stopping_until_it_goes_on(client: Client) -> None:
    client.executions.close()
    client.begin()
    assert client.until_refused().code == "command-refused"
    client.executions.reopen()
    client.refused = None
    client.started()


# -- who may, and what cannot be ---------------------------------------------------------------------


def test_an_observer_runs_nothing(client: Client) -> None:
    client.begin(observer=True)
    assert client.until_refused().code == "role-too-low"


def test_without_the_token_nothing_is_run() -> None:
    client = Client(session_token="wrong")
    client.token = "right"
    client.begin()
    assert client.until_refused().code == "token-missing"
    client = Client(session_token="right")
    client.token = "right"
    client.started()


def test_too_many_are_refused(client: Client) -> None:
    running = [Client() for _ in range(EXECUTIONS_MAX)]
    for one in running:
        one.begin(executions=client.executions)
    with client.executions._change:
        client.executions._change.wait_for(lambda: len(client.executions._running) == EXECUTIONS_MAX, TIMEOUT_SECONDS)
    client.begin()
    assert client.until_refused().sentence == "the machine runs no command for you: it runs 256 already"
    client.executions.close()


@pytest.mark.parametrize(("number", "status"), [(errno.ENOENT, 127), (errno.ENOTDIR, 127), (errno.EACCES, 126)])
def test_a_command_that_cannot_be_run_ends_as_a_shell_would_say_it(client: Client, number: int, status: int) -> None:
    def fail(_: Execute) -> Program:
        raise CommandUnusable(command="nosuch", reason="it is not there", errno=number)

    client.start = fail
    client.begin()
    client.until(lambda: client.finished)
    assert client.bytes[ERROR] == b"cmdop: nosuch cannot be run: it is not there\n"
    assert client.messages == [Started(), Ended(status)]


def test_what_is_wrong_with_how_it_was_asked_for_is_refused(client: Client) -> None:
    def fail(_: Execute) -> Program:
        raise CommandUnusable(command="ls", reason="its folder /nope: no such")

    client.start = fail
    client.begin()
    assert client.until_refused().code == "command-unusable"


def test_a_mistake_of_ours_is_refused_without_its_words(client: Client) -> None:
    def fail(_: Execute) -> Program:
        raise ZeroDivisionError("secret")

    client.start = fail
    client.begin()
    refused = client.until_refused()
    assert refused.code == "local-protocol"
    assert "secret" not in refused.sentence
