"""What the machine says: shown as it is, at any split, with its size and its end."""

from __future__ import annotations

import hashlib
import signal

import pytest

from cmdop.limits import DATA_MAX_BYTES, WINDOW_MIN_BYTES
from cmdop.wire.record import RecordKind
from tests_e2e.mock_relay import MockRelay
from tests_e2e.terminal import Job, UserTerminal
from tests_e2e.timing import BULK_SECONDS

Attached = tuple[Job, MockRelay, UserTerminal]

LETTERS = "a\u00e4\u20ac\U0001f600\u4e2d\u0301".encode() * 20


@pytest.mark.parametrize("sizes", [1, 2, 3, 5, DATA_MAX_BYTES])
def test_letters_are_shown_whole_however_they_are_split_over_frames(attached: Attached, sizes: int) -> None:
    _, relay, terminal = attached
    relay.say(b"<" + LETTERS + b">", sizes=sizes)
    assert terminal.expect(b"<.*>") == b"<" + LETTERS + b">"


def test_every_byte_value_is_shown_as_it_is(attached: Attached) -> None:
    _, relay, terminal = attached
    data = bytes(value for value in range(256) if value != 0x1B)
    relay.say(b"<<" + data + b">>")
    assert terminal.expect(b"(?s)<<.*>>") == b"<<" + data + b">>"


def test_a_flood_comes_whole_and_within_the_credit(attached: Attached) -> None:
    _, relay, terminal = attached
    flood = b"".join(b"line %08d\r\n" % number for number in range(120_000))
    relay.say(flood + b"the end of it")
    terminal.expect_exact(b"the end of it", BULK_SECONDS)
    relay.wait_said()
    shown = terminal.seen[terminal.seen.index(b"line 00000000") : -len(b"the end of it")]
    assert hashlib.sha256(shown).digest() == hashlib.sha256(flood).digest()


def test_a_terminal_that_takes_nothing_holds_the_machine_back(attached: Attached) -> None:
    """Credit is granted as bytes are written to the terminal, not as they are received."""
    job, relay, terminal = attached
    relay.say(b"x" * (4 * WINDOW_MIN_BYTES) + b"the end of it")
    terminal.type(b"k")
    relay.wait_typed(b"k")
    assert relay.granted <= 2 * WINDOW_MIN_BYTES
    assert job.running
    terminal.expect_exact(b"the end of it")
    relay.wait_said()


def test_a_replay_is_shown_before_the_live_output_and_counts_for_nothing(attached: Attached) -> None:
    _, relay, terminal = attached
    relay.replay(b"as it was; ")
    relay.say(b"as it is.")
    terminal.expect_exact(b"as it was; as it is.")


@pytest.mark.parametrize(
    ("exit_status", "number", "status"), [(0, 0, 0), (3, 0, 3), (255, 0, 255), (0, signal.SIGKILL, 137), (0, 15, 143)]
)
def test_the_shells_end_ends_the_attach_with_its_status(
    attached: Attached, exit_status: int, number: int, status: int
) -> None:
    job, relay, terminal = attached
    relay.say(b"logout")
    relay.end(exit_status, number)
    assert job.wait() == status
    rest = terminal.rest()
    assert rest.startswith(b"logout")
    assert rest.endswith(b"\r\n[connect] session ended (exit %d)\r\n" % status)


def test_everything_is_shown_before_the_end_is_said(attached: Attached) -> None:
    job, relay, terminal = attached
    relay.say(b"y\r\n" * 30_000)
    relay.end(5)
    terminal.expect_exact(b"[connect] session ended (exit 5)", BULK_SECONDS)
    assert job.wait() == 5
    assert terminal.seen.count(b"y\r\n") == 30_000


def test_a_resize_is_told_and_a_storm_of_them_ends_with_the_last(attached: Attached) -> None:
    _, relay, terminal = attached
    relay.wait_resize(24, 80)
    terminal.resize(50, 132)
    relay.wait_resize(50, 132)
    for rows in range(10, 60):
        terminal.resize(rows, 100)
    relay.wait_resize(59, 100)


@pytest.mark.parametrize("kind", [0x80, 0xFF])
def test_what_may_be_ignored_is_ignored(attached: Attached, kind: int) -> None:
    job, relay, terminal = attached
    relay.send_record(kind, 0, b"from the future")
    relay.send_frame(bytes([kind]) + bytes(10))
    relay.say(b"still here")
    terminal.expect_exact(b"still here")
    assert job.running


def test_output_twice_is_not_shown_twice(attached: Attached) -> None:
    """The offsets say so: it is a machine that breaks the protocol."""
    job, relay, terminal = attached
    relay.say(b"once")
    terminal.expect_exact(b"once")
    relay.send_record(RecordKind.OUTPUT, relay.said_bytes - 4, b"once")
    assert job.wait() == 1
    assert b"broke the protocol" in terminal.rest()
    assert terminal.seen.count(b"once") == 1
