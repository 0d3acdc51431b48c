"""An attached session whose far end the test plays: exactness over lost connections, and every way it ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

import cmdop
from cmdop.api.attached import AttachedSession
from cmdop.client import outage as outage_module
from cmdop.client.connect import Joined
from cmdop.errors import (
    CmdopError,
    ConnectionClosed,
    RelayLost,
    RelayUnreachable,
    RemoteProtocolError,
    SealRefused,
    SessionGone,
)
from cmdop.limits import INPUT_BACKLOG_MAX_BYTES, INPUT_WINDOW_BYTES, WINDOW_MIN_BYTES
from cmdop.terminal.in_process import InProcessTerminal
from cmdop.transport.backoff import Backoff
from cmdop.winsize import Winsize
from cmdop.wire.record import RecordKind
from cmdop.wire.session_messages import Detach, Ended, Ready, Resize
from tests.api.reading import read_to_end, read_until
from tests.client.attached import MACHINE, WaysBack
from tests.client.far_end import READY, TIMEOUT_SECONDS, FarEnd

UNREACHABLE = RelayUnreachable(server="ws://relay", reason="no route to host")


class Program:
    """An attached session, the machine behind it, and the ways back to it."""

    def __init__(self, ready: Ready = READY) -> None:
        self.far, self.ways = FarEnd(), WaysBack()
        joined = Joined(self.far.stream, ready, MACHINE, "token 1")
        self.session = AttachedSession(joined, InProcessTerminal(Winsize(30, 100)), self.ways)

    def cut(self) -> None:
        self.far.connection.close("the network is gone")

    def come_back(self, far: FarEnd, ready: Ready) -> None:
        self.ways.leads_to(far, ready)
        self.far = far

    def leave(self) -> None:
        """Whatever still hangs."""
        self.session.detach()
        self.ways.fails(UNREACHABLE)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for the next try."""
    monkeypatch.setattr(Backoff, "next_seconds", lambda _: 0.0)


@pytest.fixture
def program() -> Iterator[Program]:
    program = Program()
    yield program
    program.leave()


def ready(output_offset: int, input_offset: int) -> Ready:
    return Ready(READY.session_id, output_offset, input_offset)


# -- both directions -----------------------------------------------------------------------------------


def test_both_directions_go_on_where_they_were(program: Program) -> None:
    program.far.send(RecordKind.OUTPUT, 0, b"before ")
    program.session.write(b"first")
    program.far.until_typed(5)
    assert read_until(program.session, b"before ") == b"before "
    program.cut()
    place = program.ways.until_dialled()
    assert (place.output_offset, place.input_offset, place.winsize) == (7, 0, Winsize(30, 100))
    program.session.write(b" second")  # while there is no connection
    program.come_back(FarEnd(typed_from=3), ready(7, 3))
    assert program.far.until_typed(9) == b"st second"
    program.far.send(RecordKind.OUTPUT, 7, b"after")
    program.far.say(Ended(7))
    assert read_to_end(program.session) == b"after"
    assert program.session.ended == cmdop.Ended(7)


def test_what_was_put_out_before_a_cut_is_read_after_it(program: Program) -> None:
    program.far.send(RecordKind.OUTPUT, 0, b"x" * 1000)
    program.cut()
    assert program.ways.until_dialled().output_offset == 1000
    assert read_until(program.session, b"x{1000}") == b"x" * 1000


def test_a_program_that_does_not_read_holds_the_machine_back(program: Program) -> None:
    for offset in range(0, WINDOW_MIN_BYTES, 32 * 1024):
        program.far.send(RecordKind.OUTPUT, offset, b"x" * 32 * 1024)
    program.far.until(lambda far: bool(far.credits))  # for what waits in this process
    assert max(program.far.credits) < WINDOW_MIN_BYTES + WINDOW_MIN_BYTES * 7 // 8
    taken = 0
    while taken < WINDOW_MIN_BYTES:
        taken += len(program.session.read())
    program.far.until(lambda far: max(far.credits) >= WINDOW_MIN_BYTES + WINDOW_MIN_BYTES * 7 // 8)


def test_nothing_is_asked_of_the_program_and_nothing_is_undone_in_its_output(program: Program) -> None:
    """Modes and questions are a terminal's business."""
    output = b"\x1b[?1049h\x1b[?2004h\x1b[6n\x1b]0;title\x07"
    program.far.send(RecordKind.OUTPUT, 0, output)
    program.far.say(Ended(0))
    assert read_to_end(program.session) == output
    assert program.far.typed == b""


def test_time_that_is_up_is_no_end(program: Program) -> None:
    assert program.session.read(0.0) is None
    assert program.session.read(0.01) is None
    assert program.session.ended is None


def test_a_size_is_told_once(program: Program) -> None:
    program.session.resize(50, 132)
    assert program.far.until_said(Resize) == [Resize(50, 132)]
    program.session.resize(50, 132)
    program.session.write(b"x")
    program.far.until_typed(1)
    assert program.far.until_said(Resize) == [Resize(50, 132)]


# -- leaving ---------------------------------------------------------------------------------------------


def test_leaving_says_goodbye_behind_what_was_written(program: Program) -> None:
    program.session.write(b"x" * INPUT_WINDOW_BYTES)
    program.session.detach()
    assert program.far.until_said(Detach) == [Detach()]
    assert program.far.until_typed(INPUT_WINDOW_BYTES) == b"x" * INPUT_WINDOW_BYTES
    with pytest.raises(ConnectionClosed, match="detached"):
        program.session.write(b"more")


def test_leaving_ends_a_read_of_another_thread(program: Program) -> None:
    found: list[bytes] = []
    reading = threading.Thread(target=lambda: found.append(program.session.read()), daemon=True)
    reading.start()
    program.session.detach()
    reading.join(TIMEOUT_SECONDS)
    assert found == [b""]


def test_leaving_does_not_wait_for_a_machine_that_reads_nothing(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cmdop.api.attached.CLOSE_TIMEOUT_SECONDS", 0.05)
    much = b"x" * (INPUT_WINDOW_BYTES + INPUT_BACKLOG_MAX_BYTES + 4096)
    writing = threading.Thread(target=lambda: program.session.write(much * 2), daemon=True)
    writing.start()
    program.far.until_typed(INPUT_WINDOW_BYTES)
    program.session.detach()
    assert program.far.until_said(Detach) == [Detach()]
    writing.join(TIMEOUT_SECONDS)
    assert not writing.is_alive()


def test_leaving_needs_no_connection(program: Program) -> None:
    program.cut()
    program.ways.until_dialled()
    program.session.detach()
    assert program.session.read() == b""


# -- what ends it ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ended", "status"), [(Ended(3), 3), (Ended(0, 9), 137)])
def test_the_end_of_the_session_is_told(program: Program, ended: Ended, status: int) -> None:
    program.far.say(ended)
    assert list(program.session) == []
    assert program.session.ended is not None
    assert program.session.ended.status == status
    with pytest.raises(SessionGone):
        program.session.write(b"x")


def test_what_another_try_does_not_help_against_is_raised_behind_the_output(program: Program) -> None:
    program.far.send(RecordKind.OUTPUT, 0, b"last")
    program.cut()
    program.ways.until_dialled()
    program.ways.fails(SealRefused(peer="the machine prod"))
    assert program.session.read() == b"last"
    for _ in range(2):
        with pytest.raises(SealRefused):
            program.session.read()
    with pytest.raises(SealRefused):
        program.session.write(b"x")
    assert program.session.ended is None


def test_a_link_that_is_down_for_longer_than_the_session_is_kept_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage_module, "LINK_TELL_SECONDS", 0.01)
    program = Program(Ready(READY.session_id, 0, 0, created=True, kept_seconds=0.05))
    program.cut()
    program.ways.until_dialled()
    with pytest.raises(RelayLost):
        program.session.read()
    program.leave()


def test_a_machine_that_breaks_the_protocol_is_left(program: Program) -> None:
    program.far.send(RecordKind.OUTPUT, 5, b"from nowhere")
    with pytest.raises(RemoteProtocolError):
        list(program.session)


def test_a_mistake_of_ours_is_an_error_and_no_silence(program: Program) -> None:
    program.cut()
    program.ways.until_dialled()
    program.ways.fails(ZeroDivisionError("ours"))
    with pytest.raises(CmdopError, match="ours"):
        program.session.read()
