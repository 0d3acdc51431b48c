"""A network that goes away does not end an attach, against a machine that does what it is told."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from cmdop.wire.relay_messages import Closed
from cmdop.wire.session_messages import Detached, Ended, PeerJoined, PeerLeft, Refused
from tests_e2e.conftest import PROMPT, User, attach
from tests_e2e.mock_relay import MockRelay
from tests_e2e.terminal import CMDOP, Job, UserTerminal
from tests_e2e.timing import BULK_SECONDS, GIVE_UP_SECONDS, STEP_SECONDS, UNIT_SECONDS

Attached = tuple[Job, MockRelay, UserTerminal]

OFFLINE = Closed("machine-offline", "its connection broke off just now")
DOWN = "[connect] link {leg} is down — redialling; the session is kept for 2"
"""Up to the seconds that are left, of 30, after the 2 that it takes to say so."""


def line(leg: str) -> bytes:
    return DOWN.format(leg=leg).encode()


def machine_goes(relay: MockRelay) -> None:
    """The relay stays, and says that the machine is not there."""
    relay.script.open_answer = OFFLINE
    relay.close_stream("machine-offline", "its connection broke off just now")


def machine_comes(relay: MockRelay) -> None:
    relay.script.open_answer = None


# -- every byte once --------------------------------------------------------------------------------


def test_a_cut_is_not_seen_and_both_directions_go_on(attached: Attached) -> None:
    job, relay, terminal = attached
    terminal.type(b"before ")
    relay.wait_typed(b"before ")
    relay.cut()
    resumed = relay.wait_resumed()
    first = relay.registrations[0]
    assert (resumed.client_id, resumed.session) == (first.client_id, "abcd1234abcd1234")
    assert resumed.output_offset == len(PROMPT)
    assert resumed.session_token == "token 0"
    assert not resumed.redraw
    terminal.type(b"after")
    relay.wait_typed(b"before after")
    relay.say(b"and on")
    terminal.expect_exact(b"and on")
    assert terminal.seen.endswith(PROMPT + b"and on")
    assert job.running


def test_output_that_is_cut_in_the_middle_arrives_once_and_in_order(attached: Attached) -> None:
    _, relay, terminal = attached
    said = b"".join(b"%07d\n" % number for number in range(200_000))
    relay.say(said + b"the end")
    for times in range(1, 9):
        at = times * 150_000
        terminal.collect(said[at : at + 8], BULK_SECONDS)
        relay.cut()
        relay.wait_resumed(times)
    terminal.collect(b"the end", BULK_SECONDS)
    assert terminal.seen.endswith(PROMPT + said + b"the end")


def test_a_paste_that_is_cut_in_the_middle_arrives_once_and_in_order(attached: Attached) -> None:
    _, relay, terminal = attached
    paste = b"".join(b"%07d\r" % number for number in range(100_000))
    for times in range(8):
        terminal.type(paste[times * 100_000 : (times + 1) * 100_000])
        relay.wait_for("some of it", lambda: len(relay.typed) > times * 100_000, BULK_SECONDS)  # noqa: B023
        relay.cut()
        relay.wait_resumed(times + 1)
    relay.wait_typed(paste, BULK_SECONDS)


def test_what_is_typed_while_the_relay_is_away_is_sent_when_it_is_back(attached: Attached) -> None:
    _, relay, terminal = attached
    relay.go_down()
    terminal.type(b"make && ")
    terminal.type(b"make install\r")
    relay.come_up()
    relay.wait_typed(b"make && make install\r", GIVE_UP_SECONDS)


def test_a_window_that_changed_meanwhile_has_its_new_size(attached: Attached) -> None:
    job, relay, terminal = attached
    relay.go_down()
    terminal.resize(50, 132)
    job.signal(signal.SIGWINCH)
    relay.come_up()
    relay.wait_resumed(1, GIVE_UP_SECONDS)
    relay.wait_resize(50, 132)


def test_a_session_that_ended_meanwhile_ends_the_attach_with_its_status(attached: Attached) -> None:
    job, relay, terminal = attached
    relay.go_down()
    with relay.change:
        relay.session.output += b"last words"
        relay.session.ended = Ended(3, 0, relay.session.end_offset)
    relay.come_up()
    terminal.expect_exact(b"last words", GIVE_UP_SECONDS)
    assert job.wait() == 3


def test_a_client_that_is_too_far_behind_gets_the_screen_drawn_anew(attached: Attached) -> None:
    _, relay, terminal = attached
    relay.script.forgets_output = True
    relay.say(b"\x1b[?1000h")
    terminal.expect_exact(b"\x1b[?1000h")
    relay.cut()
    terminal.expect_exact(b"drawn anew")
    assert terminal.seen.index(b"\x1b[?1000l") < terminal.seen.index(b"drawn anew")


# -- what the user is told -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("go", "come", "leg"),
    [(MockRelay.go_down, MockRelay.come_up, "you↔relay"), (machine_goes, machine_comes, "relay↔machine")],
    ids=["the relay is away", "the machine is away"],
)
def test_a_link_that_stays_down_is_one_line_that_vanishes_again(
    attached: Attached, go: Callable[[MockRelay], None], come: Callable[[MockRelay], None], leg: str
) -> None:
    job, relay, terminal = attached
    began = time.monotonic()
    go(relay)
    terminal.expect_exact(b"\r\n" + line(leg))
    assert time.monotonic() - began >= 2
    terminal.expect(rb"[78] s, Ctrl-D leaves\r\n")
    come(relay)
    assert relay.wait_resumed(1, GIVE_UP_SECONDS).redraw
    terminal.expect_exact(b"drawn anew")
    assert terminal.seen.count(b"[connect] link") == 1
    terminal.type(b"\x04")
    assert job.wait() == 0


def test_a_relay_that_falls_silent_is_noticed_and_another_connection_made(attached: Attached) -> None:
    job, relay, terminal = attached
    relay.script.answers_pings = False
    relay.wait_resumed(1, GIVE_UP_SECONDS)
    relay.script.answers_pings = True
    relay.say(b"back again")
    terminal.expect_exact(b"back again")
    assert job.running


def test_past_the_grace_it_is_said_and_still_dialled(ann: User, relay: MockRelay) -> None:
    relay.script.kept_seconds = 2.5
    attach(ann, relay)
    relay.go_down()
    ann.terminal.expect_exact("is still down — redialling; the session may be gone, Ctrl-D leaves".encode())
    relay.come_up()
    relay.wait_resumed(1, GIVE_UP_SECONDS)
    ann.terminal.expect_exact(b"drawn anew")


def test_a_session_that_is_gone_says_what_it_was_running(attached: Attached) -> None:
    job, relay, terminal = attached
    before = terminal.stty()
    relay.script.refused = Refused("session-gone", "session abcd1234 is gone; it was running make -j8")
    relay.cut()
    assert job.wait() == 6
    text = terminal.rest()
    assert b"cmdop: session abcd1234 is gone; it was running make -j8\r\n" in text
    assert b"cmdop connect prod-api-1" in text
    assert terminal.stty() != before


def test_a_key_that_was_revoked_meanwhile_is_not_tried_again(attached: Attached) -> None:
    job, relay, terminal = attached
    relay.script.refusal = (401, "key-refused: it was revoked")
    relay.cut()
    assert job.wait() == 5
    assert b"revoked" in terminal.rest()


def test_who_took_over_is_said(attached: Attached) -> None:
    job, relay, terminal = attached
    relay.send_message(Detached("taken-over", "ben"))
    assert job.wait() == 1
    assert b"detached: ben took the session over" in terminal.rest()
    assert len(relay.registrations) == 1


# -- leaving, whatever hangs ---------------------------------------------------------------------------------


def the_relay_is_away(relay: MockRelay) -> None:
    relay.go_down()


def the_machine_is_away(relay: MockRelay) -> None:
    machine_goes(relay)


def the_dial_hangs(relay: MockRelay) -> None:
    relay.script.stall_at = "upgrade"
    relay.cut()
    relay.wait_connected(2)


def the_handshake_hangs(relay: MockRelay) -> None:
    relay.script.stall_at = "handshake"
    relay.cut()
    relay.wait_connected(2)


def the_session_hangs(relay: MockRelay) -> None:
    relay.script.stall_at = "ready"
    relay.cut()
    relay.wait_connected(2)


STATES = [the_relay_is_away, the_machine_is_away, the_dial_hangs, the_handshake_hangs, the_session_hangs]


@pytest.mark.parametrize("told", [False, True], ids=["at once", "once it is told"])
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_ctrl_d_leaves_at_once(attached: Attached, state: Callable[[MockRelay], None], told: bool) -> None:
    job, relay, terminal = attached
    relay.say(b"\x1b[?25l")
    terminal.expect_exact(b"\x1b[?25l")
    state(relay)
    if told:
        terminal.expect_exact(b"Ctrl-D leaves\r\n")
    pressed = time.monotonic()
    terminal.type(b"typed\x04")
    terminal.wait_cooked(UNIT_SECONDS)
    assert job.wait() == 0
    assert time.monotonic() - pressed < UNIT_SECONDS
    rest = terminal.rest()
    assert b"\x1b[?25h" in rest
    assert "[connect] detached — the session is kept for 30 s: cmdop connect prod-api-1".encode() in rest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_ends_it_at_once(attached: Attached, number: signal.Signals) -> None:
    job, relay, terminal = attached
    the_dial_hangs(relay)
    sent = time.monotonic()
    job.signal(number)
    assert job.wait() == 128 + number
    assert time.monotonic() - sent < UNIT_SECONDS
    assert not terminal.raw


# -- without a terminal --------------------------------------------------------------------------------------


def piped(ann: User, *words: str) -> subprocess.Popen[bytes]:
    """An attach whose ends are all pipes."""
    return subprocess.Popen(
        [CMDOP, "connect", "prod-api-1", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ann.env,
        cwd=ann.home,
    )


def test_a_pipe_goes_on_over_another_connection(ann: User, relay: MockRelay) -> None:
    with piped(ann) as process:
        relay.wait_attached()
        relay.say(b"one ")
        relay.wait_said()
        relay.cut()
        relay.wait_resumed()
        relay.say(b"two")
        relay.end(0)
        output, _ = process.communicate(timeout=STEP_SECONDS)
    assert (output, process.returncode) == (b"one two", 0)


def test_a_pipe_gives_up_past_the_grace(ann: User, relay: MockRelay) -> None:
    relay.script.kept_seconds = 2.5
    with piped(ann) as process:
        relay.wait_attached()
        relay.go_down()
        output, said = process.communicate(timeout=GIVE_UP_SECONDS)
    assert (output, process.returncode) == (b"", 4)
    lines = said.decode().splitlines()
    assert sum(line.startswith("[connect] link you↔relay is down") for line in lines) == 1
    assert any(line.startswith(f"cmdop: lost the relay {relay.url}: ") for line in lines)


def test_in_json_each_event_is_a_line(ann: User, relay: MockRelay) -> None:
    with piped(ann, "--json") as process:
        relay.wait_attached()
        relay.send_message(PeerJoined("b" * 16, "ben", "operator"))
        relay.send_message(PeerLeft("b" * 16, "ben"))
        relay.cut()
        relay.wait_resumed()
        relay.end(3)
        output, said = process.communicate(timeout=STEP_SECONDS)
    assert (output, process.returncode) == (b"", 3)
    events = [json.loads(line) for line in said.splitlines()]
    assert [event["event"] for event in events] == [
        "resolved",
        "dialing",
        "auth",
        "attached",
        "peer_joined",
        "peer_left",
        "link_lost",
        "resumed",
        "ended",
    ]
    assert b"token" not in said
