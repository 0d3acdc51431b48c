"""The attach loop: exact in both directions, and out of it whatever hangs."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from cmdop.client import typist as typist_module
from cmdop.client.attach import Attach
from cmdop.client.connect import Joined
from cmdop.client.keys import KeyMachine
from cmdop.client.outcome import Detached, Failed, Killed, SessionEnded
from cmdop.errors import ConnectionClosed, KeyRefused, RemoteProtocolError, SealRefused, TakenOver, TerminalGone
from cmdop.limits import DATA_MAX_BYTES, INPUT_BACKLOG_MAX_BYTES, INPUT_WINDOW_BYTES, KIB, WINDOW_MIN_BYTES
from cmdop.winsize import Winsize
from cmdop.wire.frame import FrameKind, encode_frame
from cmdop.wire.record import RecordKind
from cmdop.wire.session_messages import Answers, Detach, Ended, Notice, PeerJoined, PeerLeft, Ready, Refused, Resize
from cmdop.wire.session_messages import Detached as DetachedByAgent
from tests.client.attached import MACHINE, OPENING, Attached, WaysBack
from tests.client.fake_terminal import FakeTerminal
from tests.client.far_end import READY, STREAM, TIMEOUT_SECONDS, FarEnd

AT_ONCE_SECONDS = 3.0
"""Ample for leaving on a busy machine, and far from every timeout on the way out."""


@pytest.fixture
def attached() -> Iterator[Attached]:
    attached = Attached()
    yield attached
    attached.terminal.kill(15) if attached._thread.is_alive() else None
    attached._thread.join(TIMEOUT_SECONDS)


# -- output ---------------------------------------------------------------------------------------


def test_output_is_shown_once_and_in_order_and_granted_as_it_is_shown(attached: Attached) -> None:
    said = b"".join(b"%07d\n" % number for number in range(90_000))
    granted = WINDOW_MIN_BYTES

    def print_all() -> None:
        nonlocal granted
        at = 0
        while at < len(said):
            size = min(DATA_MAX_BYTES, len(said) - at, granted - at)
            if size == 0:
                attached.far.until(lambda far, granted=granted: max(far.credits, default=0) > granted)  # type: ignore[misc]
                granted = attached.far.credits[-1]
                continue
            attached.far.send(RecordKind.OUTPUT, at, said[at : at + size])
            at += size

    printing = threading.Thread(target=print_all, daemon=True)
    printing.start()
    shown = attached.terminal.output.until_shown(len(OPENING) + len(said))
    assert shown == OPENING + said
    printing.join(TIMEOUT_SECONDS)
    assert attached.far.credits == sorted(set(attached.far.credits))


def test_nothing_is_granted_while_the_terminal_takes_nothing(attached: Attached) -> None:
    for at in range(0, WINDOW_MIN_BYTES, 32 * KIB):
        attached.far.send(RecordKind.OUTPUT, at, b"x" * 32 * KIB)
    attached.terminal.press(b"k")  # it is not held up by that
    assert attached.far.until_typed(1) == b"k"
    assert attached.far.credits == []
    attached.terminal.output.until_shown(WINDOW_MIN_BYTES)
    attached.far.until(lambda far: bool(far.credits))


def test_a_replay_is_shown_before_what_follows(attached: Attached) -> None:
    attached.far.send(RecordKind.REPLAY, 0, b"old ")
    attached.far.send(RecordKind.OUTPUT, 0, b"new")
    assert attached.terminal.output.until_shown(len(OPENING) + 7) == OPENING + b"old new"


def test_without_a_terminal_the_bytes_are_shown_as_they_are() -> None:
    attached = Attached(FakeTerminal(is_tty=False, blind=True))
    attached.far.send(RecordKind.OUTPUT, 0, b"plain")
    assert attached.terminal.output.until_shown(5) == b"plain"
    attached.far.say(Ended(0, 0, 5))
    assert attached.outcome() == SessionEnded(Ended(0, 0, 5))
    assert bytes(attached.terminal.output.shown) == b"plain"


def test_output_goes_on_where_ready_says() -> None:
    attached = Attached(ready=Ready("0" * 16, 1000, 0))
    attached.far.send(RecordKind.OUTPUT, 1000, b"on")
    assert attached.terminal.output.until_shown(len(OPENING) + 2).endswith(b"on")
    attached.terminal.press(b"\x04")
    assert attached.outcome() == Detached()


# -- input ----------------------------------------------------------------------------------------


def test_what_is_typed_is_sent_once_and_in_order_and_never_beyond_its_window(attached: Attached) -> None:
    said = b"".join(b"%07d\n" % number for number in range(100_000))
    attached.terminal.press(*(said[at : at + 50_000] for at in range(0, len(said), 50_000)))
    acked = 0
    while acked < len(said):
        typed = attached.far.until_typed(min(acked + INPUT_WINDOW_BYTES, len(said)))
        assert len(typed) <= acked + INPUT_WINDOW_BYTES
        assert said.startswith(typed)
        acked = min(acked + 100_000, len(typed))
        attached.far.send(RecordKind.ACK, acked)
    assert attached.far.typed == said


def test_ctrl_c_is_forwarded_and_so_is_everything_but_the_leaving_key(attached: Attached) -> None:
    everything = bytes(byte for byte in range(256) if byte != 4)
    attached.terminal.press(b"\x03", everything)
    assert attached.far.until_typed(256) == b"\x03" + everything


def test_a_lone_escape_is_held_only_for_a_moment(attached: Attached) -> None:
    attached.terminal.press(b"\x1b")
    assert attached.far.until_typed(1) == b"\x1b"
    assert {None, typist_module.KEY_HOLD_SECONDS} == set(attached.terminal.timeouts)


def test_an_observer_types_nothing_and_may_leave() -> None:
    attached = Attached(read_only=True)
    attached.terminal.press(b"rm -rf /\n", b"\x1b", b"more\x04")
    assert attached.outcome() == Detached()
    attached.far.until_said(Detach)
    assert attached.far.typed == b""


def test_the_end_of_a_pipe_is_typed_into_a_shell_that_was_opened_for_it() -> None:
    attached = Attached(FakeTerminal(is_tty=False))
    attached.terminal.press(b"echo hi\n", b"")
    assert attached.far.until_typed(9) == b"echo hi\n\x04"
    attached.far.send(RecordKind.OUTPUT, 0, b"hi\r\n")
    attached.far.say(Ended(0, 0, 4))
    assert attached.outcome() == SessionEnded(Ended(0, 0, 4))
    assert attached.terminal.output.look() == b"hi\r\n"


@pytest.mark.parametrize("created", [True, False])
def test_the_end_of_a_terminal_leaves(created: bool) -> None:
    attached = Attached(FakeTerminal(), ready=Ready("0" * 16, 0, 0, created=created))
    attached.terminal.press(b"echo\x1b", b"")
    assert attached.outcome() == Detached()
    assert attached.far.until_typed(5) == b"echo\x1b"


def test_the_end_of_a_pipe_leaves_a_session_of_somebody_else_once_the_machine_has_all_of_it() -> None:
    attached, typed = Attached(FakeTerminal(is_tty=False), ready=Ready("0" * 16, 0, 0)), bytes(2 * INPUT_WINDOW_BYTES)
    attached.terminal.press(typed, b"\x1b", b"")
    attached.far.until_typed(INPUT_WINDOW_BYTES)
    assert attached.far.messages == []
    for acked in range(INPUT_WINDOW_BYTES // 4, len(typed), INPUT_WINDOW_BYTES // 4):
        attached.far.until_typed(acked)
        attached.far.send(RecordKind.ACK, acked)
    assert attached.far.until_typed(len(typed) + 1) == typed + b"\x1b"
    assert attached.far.until_said(Detach) == [Detach()]
    attached.far.send(RecordKind.ACK, len(typed) + 1)
    attached.far.close_stream()
    assert attached.outcome() == Detached()
    assert attached.far.messages == [Detach()]


# -- leaving --------------------------------------------------------------------------------------


def test_ctrl_d_leaves_after_what_was_typed_before_it(attached: Attached) -> None:
    attached.terminal.press(b"make &\n\x04exit\n")
    assert attached.outcome() == Detached()
    assert attached.far.until_typed(7) == b"make &\n"
    assert attached.far.until_said(Detach) == [Detach()]
    attached.far.until(lambda far: far.end == "detached")


def test_whoever_runs_it_can_leave_without_a_key(attached: Attached) -> None:
    attached.attach.leave()
    attached.attach.leave()
    assert attached.outcome() == Detached()
    assert attached.far.until_said(Detach) == [Detach()]


def test_the_modes_are_undone_before_the_terminal_is_put_back(attached: Attached) -> None:
    attached.far.send(RecordKind.OUTPUT, 0, b"\x1b[?1049h\x1b[?1000h")
    attached.terminal.output.until_shown(len(OPENING) + 16)
    attached.terminal.press(b"\x04")
    assert attached.outcome() == Detached()
    undone = attached.terminal.output.look()[len(OPENING) + 16 :]
    assert b"\x1b[?1049l" in undone
    assert b"\x1b[?1000l" in undone
    log = attached.terminal.log
    assert log.index("drained") < log.index("restored")


def test_ctrl_d_leaves_while_the_terminal_takes_nothing(attached: Attached) -> None:
    for at in range(0, WINDOW_MIN_BYTES, 32 * KIB):
        attached.far.send(RecordKind.OUTPUT, at, b"x" * 32 * KIB)
    attached.terminal.until_read()
    began = time.monotonic()
    attached.terminal.press(b"\x04")
    assert attached.outcome() == Detached()
    assert time.monotonic() - began < AT_ONCE_SECONDS


def test_ctrl_d_leaves_while_nothing_of_the_network_answers() -> None:
    attached = Attached(far=FarEnd(deaf=True))
    began = time.monotonic()
    attached.terminal.press(b"lost?", b"\x04")
    assert attached.outcome() == Detached()
    assert time.monotonic() - began < AT_ONCE_SECONDS


def test_ctrl_d_leaves_while_the_window_of_what_is_typed_is_full(attached: Attached) -> None:
    attached.terminal.press(*[b"x" * 60_000] * (INPUT_WINDOW_BYTES // 60_000 + 2), b"y\x04")
    assert attached.outcome() == Detached()
    attached.far.until_typed(INPUT_WINDOW_BYTES)


def test_ctrl_d_leaves_though_what_stands_before_it_fills_the_backlog(attached: Attached) -> None:
    reads = (INPUT_BACKLOG_MAX_BYTES + INPUT_WINDOW_BYTES) // 65_536
    attached.terminal.press(*[b"x" * 65_535] * (reads - 1), b"x" * (65_536 + reads) + b"\x04")
    assert attached.outcome() == Detached()


def test_past_its_backlog_typing_waits_and_goes_on_with_the_acks(attached: Attached) -> None:
    reads = (INPUT_BACKLOG_MAX_BYTES + INPUT_WINDOW_BYTES) // 65_536
    attached.terminal.press(*[b"x" * 65_536] * (reads + 3))
    attached.terminal.until(lambda terminal: len(terminal._reads) == 3)
    size = 0
    while size < (reads + 3) * 65_536:
        attached.far.send(RecordKind.ACK, size)
        attached.far.until(lambda far, size=size: len(far.typed) > size)  # type: ignore[misc]
        size = len(attached.far.typed)
    assert set(attached.far.typed) == set(b"x")


# -- the session's end ----------------------------------------------------------------------------


def test_the_end_of_the_session_comes_after_everything_was_shown(attached: Attached) -> None:
    attached.far.send(RecordKind.OUTPUT, 0, b"x" * 50_000)
    attached.far.say(Ended(3, 0, 50_000))
    attached.terminal.output.until_shown(len(OPENING) + 50_000)
    assert attached.outcome() == SessionEnded(Ended(3, 0, 50_000))
    assert attached.terminal.output.look().count(b"x") == 50_000


def test_the_end_of_the_session_gives_the_connection_s_descriptor_back(attached: Attached) -> None:
    attached.far.say(Ended(0))
    attached.outcome()
    assert attached.far.client_connection.fileno() == -1


def test_at_line_start_is_told_by_what_was_shown_last(attached: Attached) -> None:
    attached.far.send(RecordKind.OUTPUT, 0, b"line\r\n")
    attached.far.say(Ended(0, 0, 6))
    attached.outcome()
    assert attached.attach.at_line_start
    other = Attached()
    other.far.send(RecordKind.OUTPUT, 0, b"$ ")
    other.far.say(Ended(0, 0, 2))
    other.outcome()
    assert not other.attach.at_line_start


def test_what_was_printed_last_is_shown_though_the_connection_is_gone(attached: Attached) -> None:
    """Showing it grants nothing any more, and what is typed meanwhile goes nowhere."""
    size = 200 * KIB
    for at in range(0, size, 50 * KIB):
        attached.far.send(RecordKind.OUTPUT, at, b"x" * 50 * KIB)
    attached.far.say(Ended(3, 0, size))
    attached.far.close_stream()
    attached.far.connection.close("the relay left")
    attached.terminal.press(b"exit\n")
    attached.terminal.until_read()
    attached.terminal.output.until_shown(len(OPENING) + size)
    assert attached.outcome() == SessionEnded(Ended(3, 0, size))


# -- what goes wrong ------------------------------------------------------------------------------


def test_a_key_that_was_revoked_is_the_failure(attached: Attached) -> None:
    attached.far.close_stream("key-refused", "it was revoked", stream=0)
    error = attached.error()
    assert isinstance(error, KeyRefused)
    assert str(error) == "the relay refused this key: it was revoked"


def test_another_stream_s_end_is_not_ours(attached: Attached) -> None:
    attached.far.close_stream("usage", "another one", stream=STREAM + 1)
    attached.far.send(RecordKind.OUTPUT, 0, b"on")
    attached.terminal.output.until_shown(len(OPENING) + 2)


def test_being_refused_late_and_being_taken_over_are_told(attached: Attached) -> None:
    attached.far.say(Refused("role-too-low", "typing needs another role"))
    assert str(attached.error()) == "typing needs another role"
    other = Attached()
    other.far.say(DetachedByAgent("taken-over", "ben"))
    error = other.error()
    assert isinstance(error, TakenOver)
    assert str(error) == "detached: ben took the session over"


BAD = {
    "a gap": lambda far: far.send(RecordKind.OUTPUT, 5, b"x"),
    "a flush to what was passed": lambda far: [far.send(RecordKind.OUTPUT, 0, b"xy"), far.send(RecordKind.FLUSH, 1)],
    "a replay that leaves output out": lambda far: far.send(RecordKind.REPLAY, 5, b"x"),
    "the same again": lambda far: [far.send(RecordKind.OUTPUT, 0, b"x") for _ in range(2)],
    "more than was granted": lambda far: [
        far.send(RecordKind.OUTPUT, at, bytes(DATA_MAX_BYTES)) for at in range(0, 10 * DATA_MAX_BYTES, DATA_MAX_BYTES)
    ],
    "an ack for what was never sent": lambda far: far.send(RecordKind.ACK, 1),
    "ready again": lambda far: far.say(READY),
    "no message": lambda far: far.send(RecordKind.CONTROL, 0, b"\xc1"),
    "an unknown record": lambda far: far.send(0x7F),
    "no frame": lambda far: far.connection.send(b""),
}


@pytest.mark.parametrize("what", BAD)
def test_a_machine_that_breaks_the_protocol_is_a_failure(attached: Attached, what: str) -> None:
    with contextlib.suppress(ConnectionClosed):  # it may be found out before all of it is said
        BAD[what](attached.far)
    assert isinstance(attached.error(), RemoteProtocolError)


def test_what_is_not_genuine_is_a_failure(attached: Attached) -> None:
    attached.far.connection.send(encode_frame(FrameKind.SEALED, STREAM, bytes(40)))
    assert isinstance(attached.error(), SealRefused)


def test_a_terminal_that_went_away_is_a_failure(attached: Attached) -> None:
    attached.terminal.output.fails = TerminalGone(reason="it hung up")
    attached.far.send(RecordKind.OUTPUT, 0, b"x")
    assert isinstance(attached.error(), TerminalGone)


@pytest.mark.parametrize("where", ["reading", "writing", "main"])
def test_an_exception_in_any_thread_ends_the_attach_with_the_terminal_put_back(attached: Attached, where: str) -> None:
    mistake = ZeroDivisionError("a mistake")
    if where == "reading":
        attached.terminal.fail(mistake)
    elif where == "writing":
        attached.terminal.output.fails = mistake
        attached.far.send(RecordKind.OUTPUT, 0, b"x")
        attached.terminal.output.fails = mistake
    else:
        attached.terminal.size_fails = mistake
        attached.terminal.resize(Winsize(1, 1))
    try:
        error = attached.error()
    except ZeroDivisionError as raised:
        error = raised
    assert "a mistake" in str(error)
    attached.is_put_back()


def test_an_exception_before_the_threads_run_leaves_the_terminal_put_back() -> None:
    terminal, far = FakeTerminal(), FarEnd()
    attach = Attach(Joined(far.stream, READY, MACHINE), terminal, KeyMachine(), WaysBack())

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attach.run(interrupt)
    assert terminal.log == ["raw", "drained", "restored"]
    far.until(lambda far: bool(far.end))


def test_a_relay_that_only_pings_is_alive(attached: Attached) -> None:
    attached.far.ping()
    attached.far.send(RecordKind.OUTPUT, 0, b"on")
    attached.terminal.output.until_shown(len(OPENING) + 2)


# -- what else happens ----------------------------------------------------------------------------


def test_who_joins_and_leaves_and_what_the_machine_notes_is_told_and_not_shown(attached: Attached) -> None:
    said = [PeerJoined("b" * 16, "ben", "observer"), Notice("a note"), PeerLeft("b" * 16, "ben")]
    for message in said:
        attached.far.say(message)
    attached.until_told(PeerLeft)
    assert attached.events == said
    assert attached.terminal.output.look() in (b"", OPENING)


def test_what_the_terminal_answers_out_of_turn_is_not_typed(
    attached: Attached, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cmdop.client.answers.KEY_HOLD_SECONDS", TIMEOUT_SECONDS)  # the end of the write is waited for
    attached.far.say(Answers(0, False))
    attached.far.send(RecordKind.OUTPUT, 0, b"\x1b[6n")
    attached.terminal.output.until_shown(len(OPENING) + 4)
    attached.terminal.press(b"\x1b[1;1R", b"k")
    assert attached.far.until_typed(1) == b"k"


def test_a_flush_drops_what_was_not_shown_and_undoes_the_modes_before_the_new_screen(
    attached: Attached, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cmdop.client.show.time", SimpleNamespace(monotonic=lambda: 0.0))  # no path is slow, nor we
    attached.far.send(RecordKind.OUTPUT, 0, b"\x1b[?25l")
    attached.terminal.output.until_shown(len(OPENING) + 6)
    size = 100 * KIB
    attached.far.send(RecordKind.OUTPUT, 6, b"x" * 50 * KIB)
    attached.far.send(RecordKind.OUTPUT, 6 + 50 * KIB, b"x" * 50 * KIB)
    attached.far.send(RecordKind.FLUSH, 6 + size + 1000)
    attached.far.send(RecordKind.REPLAY, 6 + size + 1000, b"fresh")
    attached.far.say(PeerLeft("b" * 16, "ben"))
    attached.until_told(PeerLeft)
    attached.far.send(RecordKind.OUTPUT, 6 + size + 1000, b" on")
    shown = attached.terminal.output.until_shown(0, b"fresh on")
    assert shown.count(b"x") < size
    behind = shown[shown.rindex(b"x") :]
    assert behind.index(b"\x1b[?25h") < behind.index(OPENING) < behind.index(b"fresh on")
    attached.far.until(lambda far: bool(far.credits))
    assert attached.far.credits == [6 + size + 1000 + WINDOW_MIN_BYTES]  # the flush itself stands for little


# -- signals --------------------------------------------------------------------------------------


def test_a_signal_ends_it_with_the_terminal_put_back(attached: Attached) -> None:
    attached.terminal.until_read()
    attached.terminal.kill(15)
    assert attached.outcome() == Killed(15)


def test_the_first_outcome_wins(attached: Attached) -> None:
    attached.terminal.until_read()
    attached.terminal.kill(1)
    attached.terminal.kill(15)
    attached.terminal.press(b"\x04")
    attached.far.connection.close()
    assert attached.outcome() == Killed(1)


def test_a_new_size_is_sent(attached: Attached) -> None:
    attached.terminal.until_read()
    attached.terminal.resize(Winsize(50, 100))
    attached.far.until(lambda far: far.messages[-1:] == [Resize(50, 100)])


def test_after_many_sizes_the_machine_has_the_last_one(attached: Attached) -> None:
    attached.terminal.until_read()
    for cols in range(1, 300):
        attached.terminal.resize(Winsize(24, cols))
    attached.far.until(lambda far: far.messages[-1:] == [Resize(24, 299)])


@pytest.mark.parametrize("round_number", range(20))
def test_everything_at_once_still_has_one_outcome_and_a_terminal_that_is_put_back(round_number: int) -> None:
    attached = Attached()
    causes = [
        lambda: attached.terminal.press(b"typed", b"\x04"),
        attached.far.connection.close,
        lambda: attached.terminal.fail(ZeroDivisionError("a mistake")),
        lambda: attached.terminal.resize(Winsize(2, 2)),
    ]
    threads = [threading.Thread(target=cause, daemon=True) for cause in causes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_SECONDS)
    assert isinstance(attached.outcome(), Detached | Failed)
