"""A command as its client has it: the machine is played by the test."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from cmdop.client.delivery import Sink
from cmdop.client.executing import CommandEnd, Executing, executable
from cmdop.client.stream import MachineStream, StreamAbout
from cmdop.errors import CommandLost, ConnectionClosed, OutputLost, RemoteProtocolError, RoleTooLow, UsageError
from cmdop.limits import DATA_MAX_BYTES, WINDOW_MIN_BYTES
from cmdop.terminal.signals import handled
from cmdop.transport.memory import memory_pair
from cmdop.winsize import Winsize
from cmdop.wire.exec_messages import EXEC_MESSAGES, Execute, InputEnded, OutputEnded, Signal, Started
from cmdop.wire.frame import FrameKind, decode_frame, encode_frame
from cmdop.wire.message import Message, Unknown
from cmdop.wire.record import Record, RecordKind, decode_record, encode_record
from cmdop.wire.session_messages import SESSION_MESSAGES, Ended, Ready, Refused, Resize
from tests.client.elsewhere import POSIX_ONLY, elsewhere
from tests.client.far_end import STREAM, channels

TIMEOUT_SECONDS = 10.0
OUTPUT, ERROR = RecordKind.OUTPUT, RecordKind.ERROR_OUTPUT


class Machine:
    """Hears everything that the client says of a command, and says what the test wants."""

    def __init__(self) -> None:
        ours, self._channel = channels()
        mine, self.connection = memory_pair()
        self.stream = MachineStream(mine, ours, StreamAbout(STREAM, "prod", b"m" * 32, 0.001))
        # Guards what was heard; told of each.
        self.changed = threading.Condition()
        self.messages: list[Message] = []
        self.credits: list[Record] = []
        self.typed = b""
        self.gone = False
        threading.Thread(target=self._hear, name="test machine", daemon=True).start()

    def _hear(self) -> None:
        try:
            while True:
                frame = decode_frame(self.connection.receive())
                if frame.kind == FrameKind.SEALED:
                    self._take(decode_record(self._channel.open(frame.payload)))
        except ConnectionClosed:
            with self.changed:
                self.gone = True
                self.changed.notify_all()

    def _take(self, record: Record) -> None:
        with self.changed:
            if record.kind == RecordKind.CREDIT:
                self.credits.append(record)
            elif record.kind == RecordKind.INPUT:
                assert record.offset == len(self.typed)
                self.typed += record.payload
            else:
                found = [codec.decode(record.payload) for codec in (EXEC_MESSAGES, SESSION_MESSAGES)]
                self.messages += [message for message in found if not isinstance(message, Unknown)]
            self.changed.notify_all()

    def until(self, what: Callable[[], object]) -> None:
        with self.changed:
            assert self.changed.wait_for(what, TIMEOUT_SECONDS), (self.messages, self.credits)

    def sends(self, kind: RecordKind, offset: int = 0, payload: bytes = b"") -> None:
        sealed = self._channel.seal(encode_record(kind, offset, payload))
        self.connection.send(encode_frame(FrameKind.SEALED, STREAM, sealed))

    def says(self, message: Message) -> None:
        codec = EXEC_MESSAGES if type(message) in EXEC_MESSAGES.kinds else SESSION_MESSAGES
        self.sends(RecordKind.CONTROL, 0, codec.encode(message))


class Local:
    """Our side: what was written where, and a run of the command on a thread of its own."""

    def __init__(self, machine: Machine, given: list[bytes] | None = None, window_bytes: int = 100) -> None:
        self.machine = machine
        self.written = {OUTPUT: b"", ERROR: b""}
        self.let_go = threading.Event()
        self.may_write = threading.Event()
        self.may_write.set()
        self.fails: OSError | None = None
        self.asked: list[int] = []
        self._given = given
        read = None if given is None else self._read
        output = Sink(lambda data: self._write(OUTPUT, data), self.let_go.set)
        error = Sink(lambda data: self._write(ERROR, data))
        self.executing = Executing(machine.stream, Started(window_bytes), output, error, read)
        self.end: CommandEnd | BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="test main", daemon=True)
        self.timeout_seconds: float | None = None

    def _read(self, size: int) -> bytes:
        self.asked.append(size)
        assert self._given is not None
        return self._given.pop(0) if self._given else b""

    def _write(self, kind: RecordKind, data: bytes) -> None:
        assert self.may_write.wait(TIMEOUT_SECONDS)
        if self.fails is not None:
            raise self.fails
        self.written[kind] += data

    def _run(self) -> None:
        try:
            self.end = self.executing.run(self.timeout_seconds)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.end = error

    def start(self, timeout_seconds: float | None = None) -> Local:
        self.timeout_seconds = timeout_seconds
        self._thread.start()
        return self

    def ended_within(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return self.end is not None

    def ended(self) -> CommandEnd | BaseException:
        self._thread.join(TIMEOUT_SECONDS)
        assert self.end is not None, "it goes on"
        return self.end


@pytest.fixture
def machine() -> Iterator[Machine]:
    far = Machine()
    yield far
    far.connection.close()


def test_both_outputs_are_written_whole_before_the_end(machine: Machine) -> None:
    local = Local(machine).start()
    machine.sends(OUTPUT, 0, b"out ")
    machine.sends(ERROR, 0, b"err")
    machine.sends(OUTPUT, 4, b"more")
    machine.says(Ended(3, 0, 8))
    assert local.ended() == CommandEnd(3)
    assert (local.written[OUTPUT], local.written[ERROR]) == (b"out more", b"err")
    machine.until(lambda: machine.gone)


def test_the_end_waits_for_whoever_takes_the_output(machine: Machine) -> None:
    local = Local(machine)
    local.may_write.clear()
    local.start()
    machine.sends(OUTPUT, 0, b"slow")
    machine.says(Ended(0))
    assert not local.ended_within(0.2)
    local.may_write.set()
    assert local.ended() == CommandEnd(0)
    assert local.written[OUTPUT] == b"slow"


def test_credit_is_given_as_it_is_written_and_says_for_what(machine: Machine) -> None:
    local = Local(machine)
    local.may_write.clear()
    local.start()
    size = WINDOW_MIN_BYTES // 4
    for at in range(0, WINDOW_MIN_BYTES, size):
        machine.sends(ERROR, at, bytes(size)) if size <= DATA_MAX_BYTES else _in_pieces(machine, ERROR, at, size)
    assert machine.credits == []
    local.may_write.set()
    machine.until(lambda: machine.credits)
    assert machine.credits[0].payload == bytes([ERROR])
    assert machine.credits[0].offset > WINDOW_MIN_BYTES
    machine.says(Ended(0))
    local.ended()


def _in_pieces(machine: Machine, kind: RecordKind, at: int, size: int) -> None:
    half = size // 2
    machine.sends(kind, at, bytes(half))
    machine.sends(kind, at + half, bytes(size - half))


def test_an_output_that_ended_is_let_go_of_while_the_command_runs_on(machine: Machine) -> None:
    local = Local(machine).start()
    machine.sends(OUTPUT, 0, b"last")
    machine.says(OutputEnded())
    assert local.let_go.wait(TIMEOUT_SECONDS)
    assert local.written[OUTPUT] == b"last"
    assert local.end is None
    machine.says(Ended(0))
    local.ended()


def test_an_output_without_a_byte_is_let_go_of_too(machine: Machine) -> None:
    local = Local(machine).start()
    machine.says(OutputEnded())
    assert local.let_go.wait(TIMEOUT_SECONDS)
    machine.says(Ended(0))
    assert local.ended() == CommandEnd(0)


def test_when_nobody_reads_it_the_command_is_told_and_its_end_counts(machine: Machine) -> None:
    local = Local(machine)
    local.fails = BrokenPipeError()
    local.start()
    machine.sends(OUTPUT, 0, b"y\n")
    machine.until(lambda: OutputEnded() in machine.messages)
    machine.sends(OUTPUT, 2, b"y\n")
    machine.says(Ended(0, 13))
    end = local.ended()
    assert isinstance(end, CommandEnd)
    assert end.exit_status == 141


def test_what_cannot_be_written_for_another_reason_is_an_error(machine: Machine) -> None:
    local = Local(machine)
    local.fails = OSError(28, "No space left on device")
    local.start()
    machine.sends(ERROR, 0, b"x")
    machine.until(lambda: OutputEnded(True) in machine.messages)
    machine.says(Ended(0))
    end = local.ended()
    assert isinstance(end, OutputLost)
    assert end.details["reason"] == "no space left on device"


def test_input_goes_as_far_as_there_is_credit_and_then_its_end(machine: Machine) -> None:
    local = Local(machine, [b"a" * 60, b"b" * 40, b"c" * 7]).start()
    machine.until(lambda: len(machine.typed) == 100)
    machine.sends(RecordKind.CREDIT, 500, bytes([OUTPUT]))
    assert local.asked == [100, 40]
    machine.sends(RecordKind.CREDIT, 200, bytes([RecordKind.INPUT]))
    machine.until(lambda: InputEnded() in machine.messages)
    assert machine.typed == b"a" * 60 + b"b" * 40 + b"c" * 7
    assert local.asked[2] == 100
    machine.says(Ended(0))
    local.ended()


def test_a_command_that_takes_no_more_input_is_sent_none(machine: Machine) -> None:
    local = Local(machine, [b"a" * 100, b"b"]).start()
    machine.until(lambda: machine.typed)
    machine.says(InputEnded())
    machine.sends(RecordKind.CREDIT, 200, bytes([RecordKind.INPUT]))
    machine.says(Ended(0))
    local.ended()
    assert machine.typed == b"a" * 100


# -- signals and time -----------------------------------------------------------------------------


def test_an_interrupt_is_sent_and_then_a_kill_and_then_we_leave(machine: Machine) -> None:
    local = Local(machine).start()
    local.executing.interrupt()
    machine.until(lambda: machine.messages == [Signal("INT")])
    local.executing.interrupt()
    machine.until(lambda: machine.messages == [Signal("INT"), Signal("KILL")])
    local.executing.interrupt()
    end = local.ended()
    assert isinstance(end, CommandEnd)
    assert end.exit_status == 130
    machine.until(lambda: machine.gone)


def test_who_is_told_to_end_leaves_with_that_signal(machine: Machine) -> None:
    local = Local(machine).start()
    local.executing.leave(15)
    assert local.ended() == CommandEnd(0, 15)


@POSIX_ONLY
def test_an_interrupt_that_another_thread_gets_is_acted_on_before_anything_else_happens(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cmdop.client.executing.PING_INTERVAL_SECONDS", 1000.0)
    monkeypatch.setattr("cmdop.client.executing.LINK_DEAD_SECONDS", 1000.0)
    executing = Local(machine).executing

    def interrupt() -> None:
        machine.until(lambda: machine.credits)  # main is about to block
        send()
        with machine.changed:
            machine.changed.wait_for(lambda: machine.messages, TIMEOUT_SECONDS)
        machine.says(Ended(0))

    with (
        elsewhere(signal.SIGUSR2) as send,
        handled([signal.SIGUSR2], lambda _: executing.interrupt(), keep_ignored=False),
    ):
        for offset in range(0, WINDOW_MIN_BYTES - DATA_MAX_BYTES, DATA_MAX_BYTES):
            machine.sends(OUTPUT, offset, bytes(DATA_MAX_BYTES))
        threading.Thread(target=interrupt, daemon=True).start()
        assert executing.run(hears_signals=True) == CommandEnd(0)
    assert machine.messages == [Signal("INT")]


@POSIX_ONLY
def test_who_listens_for_signals_itself_goes_on_hearing_them(machine: Machine) -> None:
    """As asyncio does in the program of somebody who uses the Python API."""
    ear, bell = socket.socketpair()
    with ear, bell, handled([signal.SIGUSR2], lambda _: machine.says(Ended(0)), keep_ignored=False):
        ear.setblocking(False)
        bell.setblocking(False)
        signal.set_wakeup_fd(bell.fileno())
        try:
            executing = Local(machine).executing
            threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGUSR2]).start()
            assert executing.run() == CommandEnd(0)
        finally:
            assert signal.set_wakeup_fd(-1) == bell.fileno()
        assert ear.recv(1) == bytes([signal.SIGUSR2])


def test_a_new_size_is_told(machine: Machine) -> None:
    local = Local(machine).start()
    local.executing.resize(Winsize(5, 6))
    machine.until(lambda: machine.messages == [Resize(5, 6)])
    machine.says(Ended(0))
    local.ended()


def test_one_that_takes_too_long_is_killed_and_what_it_wrote_is_kept(machine: Machine) -> None:
    local = Local(machine).start(timeout_seconds=0.05)
    machine.until(lambda: machine.messages == [Signal("KILL")])
    machine.sends(OUTPUT, 0, b"early")
    machine.says(Ended(0, 9))
    end = local.ended()
    assert end == CommandEnd(0, 9, timed_out=True)
    assert isinstance(end, CommandEnd)
    assert end.exit_status == 124
    assert local.written[OUTPUT] == b"early"


# -- what goes wrong --------------------------------------------------------------------------------


def test_a_lost_machine_is_said_with_its_name(machine: Machine) -> None:
    local = Local(machine).start()
    machine.connection.close("bye")
    end = local.ended()
    assert isinstance(end, CommandLost)
    assert end.sentence.startswith("lost prod while the command ran: ")


def test_what_the_machine_refuses_is_raised(machine: Machine) -> None:
    local = Local(machine).start()
    machine.says(Refused("role-too-low", "no"))
    refused = local.ended()
    assert isinstance(refused, RoleTooLow)
    assert refused.next_step.endswith("--role operator")


@pytest.mark.parametrize("offset", [1, 2**40])
def test_output_with_a_gap_breaks_the_protocol(machine: Machine, offset: int) -> None:
    local = Local(machine).start()
    machine.sends(OUTPUT, offset, b"x")
    assert isinstance(local.ended(), RemoteProtocolError)


def test_more_output_than_was_granted_breaks_the_protocol(machine: Machine) -> None:
    local = Local(machine)
    local.may_write.clear()
    local.start()
    for at in range(0, WINDOW_MIN_BYTES + 1, DATA_MAX_BYTES):
        machine.sends(OUTPUT, at, bytes(DATA_MAX_BYTES))
    assert isinstance(local.ended(), RemoteProtocolError)
    local.may_write.set()


def test_what_a_machine_does_not_say_of_a_command_breaks_the_protocol(machine: Machine) -> None:
    local = Local(machine).start()
    machine.says(Ready("abcd1234abcd1234", 0, 0))
    assert isinstance(local.ended(), RemoteProtocolError)


# -- what is asked for --------------------------------------------------------------------------------


def test_the_first_credit_goes_with_it() -> None:
    assert executable(Execute((b"ls",))) == Execute((b"ls",), window_bytes=WINDOW_MIN_BYTES)


@pytest.mark.parametrize("words", [(b"x" * DATA_MAX_BYTES,), (b"x",) * 1025, (b"x" * 100,) * 700])
def test_a_command_that_does_not_fit_is_wrong_usage(words: tuple[bytes, ...]) -> None:
    with pytest.raises(UsageError, match="too long"):
        executable(Execute(words))
    with pytest.raises(UsageError, match="too long"):
        executable(Execute((b"ls",), env=words))


def test_the_longest_command_fits_a_record() -> None:
    words = (b"x" * (DATA_MAX_BYTES - 20_000),) + (b"y",) * 900
    assert len(EXEC_MESSAGES.encode(executable(Execute(words)))) <= DATA_MAX_BYTES
