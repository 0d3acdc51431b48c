"""The user's terminal is as it was, on every way out, and leaving never waits for anybody."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from cmdop.wire.record import RecordKind
from cmdop.wire.session_messages import Detached, Refused
from tests_e2e.conftest import User, attach
from tests_e2e.mock_relay import MockRelay
from tests_e2e.terminal import Job, UserTerminal
from tests_e2e.timing import GIVE_UP_SECONDS, STEP_SECONDS, UNIT_SECONDS

Attached = tuple[Job, MockRelay, UserTerminal]

MODES = {
    "bracketed paste": (b"\x1b[?2004h", b"\x1b[?2004l"),
    "mouse": (b"\x1b[?1000h", b"\x1b[?1000l"),
    "mouse encoding": (b"\x1b[?1006h", b"\x1b[?1006l"),
    "focus events": (b"\x1b[?1004h", b"\x1b[?1004l"),
    "hidden cursor": (b"\x1b[?25l", b"\x1b[?25h"),
    "cursor keys": (b"\x1b[?1h", b"\x1b[?1l"),
    "keypad": (b"\x1b=", b"\x1b>"),
    "kitty keyboard": (b"\x1b[>1u", b"\x1b[<"),
    "synchronized output": (b"\x1b[?2026h", b"\x1b[?2026l"),
    "scroll region": (b"\x1b[3;9r", b"\x1b[r"),
    "charset": (b"\x1b(0", b"\x1b(B"),
    "cursor shape": (b"\x1b[5 q", b"\x1b[0 q"),
    "colour": (b"\x1b[31m", b"m"),
}
ALL_ON = b"".join(on for on, _ in MODES.values())
ALTERNATE_SCREEN, PRIMARY_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"


def _signals() -> list[signal.Signals]:
    """Every signal that ends a process and can be caught.

    Without those that tell that the interpreter itself is broken (SIGSEGV and its like),
    and those that Python ignores.
    """
    leave_alone = {"SIGKILL", "SIGSTOP", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL"}
    stopping = {"SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGCONT"}
    ignored = {"SIGCHLD", "SIGURG", "SIGWINCH", "SIGPIPE", "SIGXFSZ", "SIGINFO"}
    return [number for number in signal.Signals if number.name not in leave_alone | stopping | ignored]


def press_ctrl_d(job: Job, relay: MockRelay, terminal: UserTerminal) -> int:
    terminal.type(b"\x04")
    return 0


def the_shell_exits(job: Job, relay: MockRelay, terminal: UserTerminal) -> int:
    relay.end(3)
    return 3


def the_session_is_gone(job: Job, relay: MockRelay, terminal: UserTerminal) -> int:
    relay.script.refused = Refused("session-gone", "session abcd1234 is gone")
    relay.cut()
    return 6


def the_machine_knows_nobody(job: Job, relay: MockRelay, terminal: UserTerminal) -> int:
    relay.script.refused = Refused("session-refused", "that is not a token of this session")
    relay.close_stream("machine-offline", "its connection broke off just now")
    return 6


def the_relay_stops(job: Job, relay: MockRelay, terminal: UserTerminal) -> int:
    relay.close_stream("key-refused", "it was revoked", whole_connection=True)
    return 5


def somebody_meddles(job: Job, relay: MockRelay, terminal: UserTerminal) -> int:
    relay.send_spoilt()
    return 5


def garbage_comes(job: Job, relay: MockRelay, terminal: UserTerminal) -> int:
    relay.send_frame(b"\x07garbage")
    return 1


def a_torn_frame_comes(job: Job, relay: MockRelay, terminal: UserTerminal) -> int:
    relay.send_raw(b"\x82\x7e\x40\x00torn")
    return the_session_is_gone(job, relay, terminal)


def a_text_message_comes(job: Job, relay: MockRelay, terminal: UserTerminal) -> int:
    relay.send_raw(b"\x81\x02hi")
    return 1


def a_record_is_no_record(job: Job, relay: MockRelay, terminal: UserTerminal) -> int:
    relay.send_record(RecordKind.CONTROL, 0, b"\xc1")
    return 1


def somebody_takes_over(job: Job, relay: MockRelay, terminal: UserTerminal) -> int:
    relay.send_message(Detached("taken-over", "bob"))
    return 1


WAYS_OUT: list[Callable[[Job, MockRelay, UserTerminal], int]] = [
    press_ctrl_d,
    the_shell_exits,
    the_session_is_gone,
    the_machine_knows_nobody,
    the_relay_stops,
    somebody_meddles,
    garbage_comes,
    a_torn_frame_comes,
    a_text_message_comes,
    a_record_is_no_record,
    somebody_takes_over,
]


@pytest.fixture
def odd(ann: User, relay: MockRelay) -> tuple[Job, MockRelay, UserTerminal, str]:
    """Attached from a terminal with unusual settings, and every mode switched on; and `stty -a` from before."""
    ann.terminal.set_odd()
    before = ann.terminal.stty()
    job = attach(ann, relay)
    relay.say(ALL_ON + b"all on")
    ann.terminal.expect_exact(b"all on")
    assert ann.terminal.raw
    return job, relay, ann.terminal, before


def assert_restored(terminal: UserTerminal, before: str) -> bytes:
    """Settings are as before, and every mode was undone behind where it was switched on."""
    rest = terminal.rest()
    assert terminal.stty() == before
    missing = [name for name, (_, off) in MODES.items() if off not in rest]
    assert not missing
    return rest


@pytest.mark.parametrize("way_out", WAYS_OUT, ids=lambda way_out: way_out.__name__)
def test_the_terminal_is_as_it_was(
    odd: tuple[Job, MockRelay, UserTerminal, str], way_out: Callable[[Job, MockRelay, UserTerminal], int]
) -> None:
    job, relay, terminal, before = odd
    status = way_out(job, relay, terminal)
    assert job.wait() == status
    rest = assert_restored(terminal, before)
    assert b"Traceback" not in rest
    if status not in (0, 3):
        assert b"\r\ncmdop: " in rest
        assert rest.count(b"cmdop: ") == 1


@pytest.mark.parametrize("number", _signals(), ids=lambda number: number.name)
def test_the_terminal_is_as_it_was_after_a_signal(
    odd: tuple[Job, MockRelay, UserTerminal, str], number: signal.Signals
) -> None:
    job, _, terminal, before = odd
    job.signal(number)
    assert job.wait() == 128 + number
    assert b"Traceback" not in assert_restored(terminal, before)


@pytest.mark.parametrize("number", [signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH, signal.SIGCONT, signal.SIGPIPE])
def test_a_signal_that_means_nothing_changes_nothing(attached: Attached, number: signal.Signals) -> None:
    job, relay, terminal = attached
    job.signal(number)
    relay.say(b"still here")
    terminal.expect_exact(b"still here")
    terminal.type(b"k")
    relay.wait_typed(b"k")
    assert job.running


def test_only_what_was_switched_on_is_undone(attached: Attached) -> None:
    job, relay, terminal = attached
    relay.say(b"plain")
    terminal.expect_exact(b"plain")
    terminal.type(b"\x04")
    assert job.wait() == 0
    rest = terminal.rest()
    assert not [name for name, (_, off) in MODES.items() if off in rest and name != "colour"]


def test_a_full_screen_program_is_left_by_the_way_it_came(attached: Attached) -> None:
    """Leaving the alternate screen restores cursor, colours and character set by itself (xterm, DECSET 1049)."""
    job, relay, terminal = attached
    relay.say(ALTERNATE_SCREEN + b"\x1b[?1000h\x1b[?25l\x1b[2J~ vim ~")
    terminal.expect_exact(b"~ vim ~")
    terminal.type(b"\x04")
    assert job.wait() == 0
    rest = terminal.rest()
    for off in (PRIMARY_SCREEN, b"\x1b[?1000l", b"\x1b[?25h"):
        assert rest.count(off) == 1
    assert rest.index(PRIMARY_SCREEN) < rest.index(b"[connect]")


def test_modes_are_undone_when_their_sequences_were_split_over_frames(attached: Attached) -> None:
    job, relay, terminal = attached
    before = terminal.stty()
    relay.say(ALL_ON + b"all on", sizes=1)
    terminal.expect_exact(b"all on")
    terminal.type(b"\x04")
    assert job.wait() == 0
    rest = terminal.rest()
    assert not [name for name, (_, off) in MODES.items() if off not in rest]
    assert terminal.stty() != before, "it was raw"


# -- leaving waits for nobody -------------------------------------------------------------------


def leave_at_once(job: Job, terminal: UserTerminal) -> None:
    """Ctrl-D leads to a restored terminal within a second, whatever hangs."""
    pressed = time.monotonic()
    terminal.type(b"\x04")
    assert job.wait(STEP_SECONDS) == 0
    assert time.monotonic() - pressed < UNIT_SECONDS
    assert not terminal.raw


def test_leaving_does_not_wait_for_a_relay_that_is_silent(attached: Attached) -> None:
    job, relay, terminal = attached
    relay.fall_silent()
    leave_at_once(job, terminal)


def test_leaving_does_not_wait_for_a_relay_that_takes_nothing(attached: Attached) -> None:
    job, relay, terminal = attached
    relay.stop_reading()
    terminal.type(b"x" * 200_000)
    leave_at_once(job, terminal)


def test_leaving_does_not_wait_for_a_terminal_that_takes_nothing(attached: Attached) -> None:
    job, relay, terminal = attached
    relay.say(b"x" * 1_000_000)
    terminal.type(b"k")
    relay.wait_typed(b"k")
    pressed = time.monotonic()
    terminal.type(b"\x04")
    relay.wait_gone(UNIT_SECONDS)
    terminal.wait_cooked(pressed + UNIT_SECONDS - time.monotonic())
    terminal.expect_exact(b"[connect] detached")
    assert job.wait() == 0


def test_leaving_does_not_wait_for_input_that_nobody_acknowledges(attached: Attached) -> None:
    job, relay, terminal = attached
    relay.script.acknowledges = False
    terminal.type(b"x" * 100_000)
    relay.wait_typed(b"x" * 100_000)
    leave_at_once(job, terminal)


def test_leaving_works_at_the_moment_the_link_is_cut(attached: Attached) -> None:
    job, relay, terminal = attached
    relay.cut()
    terminal.type(b"\x04")
    assert job.wait() == 0
    terminal.rest()
    assert not terminal.raw


def test_a_quiet_relay_that_answers_pings_is_not_given_up(attached: Attached) -> None:
    job, relay, terminal = attached
    pings = lambda: sum(frame.kind == 3 for frame in relay.frames)  # noqa: E731
    relay.wait_for("two pings", lambda: pings() >= 2, GIVE_UP_SECONDS)
    relay.wait_for("three pings", lambda: pings() >= 3, GIVE_UP_SECONDS)
    assert job.running
    relay.say(b"good morning")
    terminal.expect_exact(b"good morning")


def test_a_terminal_that_vanishes_ends_the_client(attached: Attached) -> None:
    """The window was closed: SIGHUP, and every read and write fails."""
    job, relay, _ = attached
    job.signal(signal.SIGHUP)
    assert job.wait() == 129
    relay.wait_gone()
