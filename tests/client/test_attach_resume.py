"""A lost connection does not end an attach: both directions go on where they were."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from cmdop.client import outage as outage_module
from cmdop.client import shower as shower_module
from cmdop.client.attach import Attach
from cmdop.client.connect import Place
from cmdop.client.events import Event, GracePassed, LinkDown, LinkLost, Resumed
from cmdop.client.leg import Leg
from cmdop.client.outcome import Detached, Failed, Killed, SessionEnded
from cmdop.errors import (
    CmdopError,
    ConnectionClosed,
    KeyRefused,
    MachineOffline,
    NoSuchMachine,
    RelayLost,
    RelayUnreachable,
    RemoteProtocolError,
    RoleTooLow,
    SealRefused,
    SessionGone,
    SessionRefused,
    TimedOut,
    VersionMismatch,
)
from cmdop.limits import DATA_MAX_BYTES, INPUT_WINDOW_BYTES, KIB, WINDOW_MIN_BYTES
from cmdop.transport.backoff import Backoff
from cmdop.winsize import DEFAULT_WINSIZE, Winsize
from cmdop.wire.record import RecordKind
from cmdop.wire.session_messages import Detach, Ended, Ready, Resize
from tests.client.attached import OPENING, Attached
from tests.client.fake_terminal import FakeTerminal
from tests.client.far_end import READY, TIMEOUT_SECONDS, FarEnd

AT_ONCE_SECONDS = 3.0
"""Ample for leaving on a busy machine, and far from every timeout on the way out."""
UNREACHABLE = RelayUnreachable(server="ws://relay", reason="no route to host")


def kept(seconds: float) -> Ready:
    """A session that is kept for so long without a client."""
    return ready(created=True, kept_seconds=seconds)


def ready(output_offset: int = 0, input_offset: int = 0, **more: object) -> Ready:
    return Ready(READY.session_id, output_offset, input_offset, **more)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for the next try."""
    monkeypatch.setattr(Backoff, "next_seconds", lambda _: 0.0)


@pytest.fixture
def told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A link counts as down for long soon after it is lost, most often behind the first try's beginning."""
    monkeypatch.setattr(outage_module, "LINK_TELL_SECONDS", 0.1)


@pytest.fixture
def attached() -> Iterator[Attached]:
    attached = Attached()
    yield attached
    leave(attached)


def leave(attached: Attached) -> None:
    """Whatever the state, and whatever still hangs."""
    if attached._thread.is_alive():
        attached.terminal.kill(15)
        attached._thread.join(TIMEOUT_SECONDS)
        attached.ways.fails(UNREACHABLE)


# -- both directions, exactly -----------------------------------------------------------------------


def test_output_and_input_go_on_where_they_were(attached: Attached) -> None:
    attached.far.send(RecordKind.OUTPUT, 0, b"before ")
    attached.terminal.press(b"first")
    attached.far.until_typed(5)
    attached.terminal.output.until_shown(len(OPENING) + 7)
    attached.cut()
    place = attached.ways.until_dialled()
    assert place == Place(7, 0, place.window_bytes, False, False, DEFAULT_WINSIZE)
    assert 0 < place.window_bytes <= WINDOW_MIN_BYTES
    attached.terminal.press(b" second")  # while there is no connection
    attached.terminal.until_read()
    attached.come_back(FarEnd(typed_from=3), ready(7, 3))
    assert attached.far.until_typed(9) == b"st second"
    attached.far.send(RecordKind.OUTPUT, 7, b"after")
    assert attached.terminal.output.until_shown(len(OPENING) + 12) == OPENING + b"before after"
    attached.terminal.press(b"\x04")
    assert attached.outcome() == Detached()
    assert attached.far.until_said(Detach) == [Detach()]


def test_what_was_acknowledged_is_where_input_may_resume(attached: Attached) -> None:
    attached.terminal.press(b"x" * 50_000)
    attached.far.until_typed(50_000)
    attached.far.send(RecordKind.ACK, 40_000)
    attached.far.send(RecordKind.OUTPUT, 0, b"taken")
    attached.terminal.output.until_shown(len(OPENING) + 5)
    attached.cut()
    assert attached.ways.until_dialled().input_offset == 40_000
    attached.come_back(FarEnd(typed_from=45_000), ready(5, 45_000))
    assert attached.far.until_typed(5_000) == b"x" * 5_000


def test_after_many_cuts_in_both_directions_every_byte_was_there_once(attached: Attached) -> None:
    said, typed = b"", b""
    for number in range(20):
        piece = b"output %d\n" % number
        attached.far.send(RecordKind.OUTPUT, len(said), piece)
        said += piece
        attached.terminal.output.until_shown(len(OPENING) + len(said))
        attached.terminal.press(b"key %d\n" % number)
        attached.far.until_typed(len(b"key %d\n" % number))
        typed += bytes(attached.far.typed)
        attached.cut()
        place = attached.ways.until_dialled(number + 1)
        assert (place.output_offset, place.redraw) == (len(said), False)
        attached.come_back(FarEnd(typed_from=len(typed)), ready(len(said), len(typed)))
        attached.until_told(Resumed, number + 1)
    assert attached.terminal.output.look() == OPENING + said
    assert typed == b"".join(b"key %d\n" % number for number in range(20))


def test_output_that_is_queued_is_shown_while_there_is_no_connection_and_granted_on_the_next(
    attached: Attached,
) -> None:
    size = 200 * KIB
    for at in range(0, size, 50 * KIB):
        attached.far.send(RecordKind.OUTPUT, at, b"x" * 50 * KIB)
    attached.cut()
    place = attached.ways.until_dialled()
    assert place.output_offset == size
    assert place.window_bytes <= WINDOW_MIN_BYTES - size + len(OPENING) + 4096  # what the terminal took
    attached.terminal.output.until_shown(len(OPENING) + size)
    attached.come_back(FarEnd(), ready(size, 0))
    attached.far.until(lambda far: bool(far.credits))
    assert attached.far.credits[0] > size + place.window_bytes
    attached.far.send(RecordKind.OUTPUT, size, b"on")
    attached.terminal.output.until_shown(len(OPENING) + size + 2, b"on")


def test_a_session_that_went_on_too_far_is_drawn_anew(attached: Attached) -> None:
    attached.far.send(RecordKind.OUTPUT, 0, b"\x1b[?25lold")
    attached.terminal.output.until_shown(len(OPENING) + 9)
    attached.cut()
    attached.come_back(FarEnd(), ready(5_000_000, 0))
    attached.far.send(RecordKind.FLUSH, 5_000_000)
    attached.far.send(RecordKind.REPLAY, 5_000_000, b"screen")
    attached.far.send(RecordKind.OUTPUT, 5_000_000, b" live")
    shown = attached.terminal.output.until_shown(0, b"screen live")
    assert b"\x1b[?25h" in shown
    assert shown.count(OPENING) == 2  # the title was put back with the rest, and is saved again


def test_without_a_flush_the_terminal_is_left_as_it_is(attached: Attached) -> None:
    attached.far.send(RecordKind.OUTPUT, 0, b"\x1b[?1049h\x1b[?25l")
    attached.terminal.output.until_shown(len(OPENING) + 14)
    attached.cut()
    attached.come_back(FarEnd(), ready(14, 0))
    attached.far.send(RecordKind.OUTPUT, 14, b"on")
    assert attached.terminal.output.until_shown(len(OPENING) + 16) == OPENING + b"\x1b[?1049h\x1b[?25lon"
    attached.terminal.press(b"\x04")
    attached.outcome()
    undone = attached.terminal.output.look()[len(OPENING) + 16 :]
    assert b"\x1b[?1049l" in undone
    assert b"\x1b[23;0t" in undone


def test_a_session_that_was_opened_for_this_client_needs_no_redraw(attached: Attached) -> None:
    attached.cut()
    place = attached.ways.until_dialled()
    assert (place.redraw, place.history) == (False, False)


def test_a_replay_that_is_torn_is_asked_for_again_and_a_whole_one_is_not() -> None:
    attached = Attached(ready=ready())
    attached.cut()
    place = attached.ways.until_dialled()
    assert (place.redraw, place.history) == (True, True)
    attached.come_back(FarEnd(), ready(0, 0))
    attached.far.send(RecordKind.FLUSH, 0)
    attached.far.send(RecordKind.REPLAY, 0, b"." * (DATA_MAX_BYTES - 10) + b"more comes")
    attached.terminal.output.until_shown(0, b"more comes")
    attached.cut()
    place = attached.ways.until_dialled(2)
    assert (place.redraw, place.history) == (True, True)
    attached.come_back(FarEnd(), ready(0, 0))
    attached.far.send(RecordKind.FLUSH, 0)
    attached.far.send(RecordKind.REPLAY, 0, b"a whole screen")
    attached.terminal.output.until_shown(0, b"a whole screen")
    attached.cut()
    place = attached.ways.until_dialled(3)
    assert (place.redraw, place.history) == (False, False)
    leave(attached)


def test_the_window_s_size_is_told_anew_and_what_changed_meanwhile_behind_it(attached: Attached) -> None:
    attached.terminal.until_read()
    attached.cut()
    attached.ways.until_dialled()
    attached.terminal.resize(Winsize(50, 100))
    attached.come_back(FarEnd())
    attached.far.until_said(Resize)
    assert attached.far.messages == [Resize(50, 100)]


def test_a_size_that_was_told_with_the_resume_is_not_told_again(attached: Attached) -> None:
    attached.terminal.until_read()
    attached.cut()
    attached.ways.until_dialled()
    attached.terminal.resize(Winsize(50, 100))
    attached.ways.fails(UNREACHABLE)
    assert attached.ways.until_dialled(2).winsize == Winsize(50, 100)
    attached.come_back(FarEnd())
    attached.until_told(Resumed)
    attached.terminal.resize(Winsize(60, 100))
    attached.far.until_said(Resize)
    assert attached.far.messages == [Resize(60, 100)]


def test_nothing_is_typed_into_a_stream_that_was_closed(attached: Attached) -> None:
    old = attached.far
    old.close_stream("machine-offline", "it broke off")  # the connection is still there
    attached.ways.until_dialled()
    attached.terminal.press(b"typed")
    attached.terminal.until_read()
    attached.come_back(FarEnd())
    assert attached.far.until_typed(5) == b"typed"
    assert old.typed == b""


def test_a_pipe_that_ended_says_goodbye_until_it_is_heard_behind_the_last_byte() -> None:
    attached = Attached(FakeTerminal(is_tty=False), ready=ready())
    attached.terminal.press(b"make\n", b"")
    attached.far.until_said(Detach)
    attached.cut()
    attached.come_back(FarEnd(typed_from=2), ready(0, 2))
    assert attached.far.until_typed(3) == b"ke\n"
    attached.far.until_said(Detach)
    attached.far.close_stream("connection-closed", "the machine is away")  # as the relay says it
    attached.come_back(FarEnd(typed_from=4), ready(0, 4))
    assert attached.far.until_said(Detach) == [Detach()]
    attached.far.close_stream()  # a relay may say that, too; only the machine can say that it has all
    attached.come_back(FarEnd(typed_from=5), ready(0, 5))
    assert attached.far.until_said(Detach) == [Detach()]
    attached.far.close_stream()
    assert attached.outcome() == Detached()


def test_a_session_that_ended_meanwhile_says_its_end_behind_the_rest(attached: Attached) -> None:
    attached.cut()
    attached.come_back(FarEnd())
    attached.far.send(RecordKind.OUTPUT, 0, b"bye")
    attached.far.say(Ended(3, 0, 3))
    attached.far.close_stream()
    attached.terminal.output.until_shown(len(OPENING) + 3)
    assert attached.outcome() == SessionEnded(Ended(3, 0, 3))


def test_the_token_of_the_last_time_is_shown_the_next_time(attached: Attached) -> None:
    for number in (1, 2):
        attached.cut()
        attached.ways.until_dialled(number)
        attached.ways.leads_to(far := FarEnd(), token=f"token {number + 1}")
        attached.far = far
        attached.until_told(Resumed, number)
    assert [joined.token for joined in attached.ways.before] == ["token 1", "token 2"]
    assert "token" not in repr(attached.ways.before[0]).replace("session_token", "")


@pytest.mark.parametrize(
    ("said", "place"),
    [(10, ready(9, 0)), (0, ready(0, 1))],
    ids=["output that was shown", "input that was never sent"],
)
def test_a_machine_that_goes_on_where_nothing_was_is_a_failure(attached: Attached, said: int, place: Ready) -> None:
    if said:
        attached.far.send(RecordKind.OUTPUT, 0, bytes(said))
        attached.terminal.output.until_shown(len(OPENING) + said)
    attached.cut()
    attached.come_back(FarEnd(), place)
    assert isinstance(attached.error(), RemoteProtocolError)


# -- what is lost, and what is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "stream", "leg"),
    [
        ("", 1, Leg.RELAY_MACHINE),
        ("connection-closed", 1, Leg.RELAY_MACHINE),
        ("machine-offline", 1, Leg.RELAY_MACHINE),
        ("timed-out", 1, Leg.RELAY_MACHINE),
        ("relay-stopping", 0, Leg.YOU_RELAY),
        ("timed-out", 0, Leg.YOU_RELAY),
    ],
)
def test_whatever_the_relay_closes_for_another_connection_is_dialled(
    attached: Attached, code: str, stream: int, leg: Leg
) -> None:
    attached.far.close_stream(code, "it broke off", stream)
    attached.ways.until_dialled()
    lost = attached.until_told(LinkLost)
    assert isinstance(lost, LinkLost)
    assert lost.leg == leg
    before = attached.far
    attached.come_back(FarEnd())
    attached.until_told(Resumed)
    before.until(lambda far: bool(far.end))


@pytest.mark.parametrize(
    "error",
    [
        UNREACHABLE,
        TimedOut(what="the relay", seconds=10),
        MachineOffline(name="prod", last_heard="now"),
        ConnectionClosed(reason="it broke off"),
    ],
    ids=lambda error: error.code,
)
def test_what_may_pass_is_tried_again(attached: Attached, error: CmdopError) -> None:
    attached.cut()
    for _ in range(5):
        attached.ways.fails(error)
    attached.ways.until_dialled(6)
    attached.come_back(FarEnd())
    attached.far.send(RecordKind.OUTPUT, 0, b"back")
    attached.terminal.output.until_shown(len(OPENING) + 4)


@pytest.mark.parametrize(
    "error",
    [
        KeyRefused(server="ws://relay", key="ck_", reason="revoked"),
        RoleTooLow(what="x", needed="operator", role="observer"),
        SealRefused(peer="the machine prod"),
        SessionGone(session="abcd", what="; it was running make"),
        SessionRefused(host="prod", reason="another token"),
        VersionMismatch(peer="x", theirs=2, ours=1),
        NoSuchMachine(query="prod", nearest=""),
        RemoteProtocolError(reason="nonsense"),
    ],
    ids=lambda error: error.code,
)
def test_what_does_not_pass_ends_the_attach_with_its_own_words(attached: Attached, error: CmdopError) -> None:
    attached.cut()
    attached.ways.fails(error)
    assert attached.error() is error


def test_an_exception_while_dialling_ends_the_attach(attached: Attached) -> None:
    attached.cut()
    attached.ways.fails(ZeroDivisionError("a mistake"))
    assert "a mistake" in str(attached.error())


def test_a_relay_that_says_nothing_is_asked_and_then_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shower_module, "PING_INTERVAL_SECONDS", 0.02)
    monkeypatch.setattr(shower_module, "LINK_DEAD_SECONDS", 0.3)
    attached = Attached()
    attached.far.until(lambda far: far.pings >= 2)
    attached.ways.until_dialled()
    lost = attached.until_told(LinkLost)
    assert isinstance(lost, LinkLost)
    assert "the relay did not answer" in lost.reason
    leave(attached)


def test_a_computer_that_slept_dials_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = [1e9]
    monkeypatch.setattr(shower_module, "PING_INTERVAL_SECONDS", 0.02)
    monkeypatch.setattr(shower_module.time, "time", lambda: wall[0])
    attached = Attached()
    attached.far.until(lambda far: far.pings >= 1)
    wall[0] += 3600
    attached.ways.until_dialled()
    lost = attached.until_told(LinkLost)
    assert isinstance(lost, LinkLost)
    assert "asleep" in lost.reason
    leave(attached)


def test_a_computer_that_sleeps_while_it_waits_for_the_next_try_does_not_wait_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wall = [1e9]
    waits = iter([0.0, 1e6, 0.0])
    monkeypatch.setattr(shower_module, "PING_INTERVAL_SECONDS", 0.02)
    monkeypatch.setattr(shower_module.time, "time", lambda: wall[0])
    attached = Attached()
    monkeypatch.setattr(attached.attach._redial._backoff, "next_seconds", lambda: next(waits))
    attached.cut()
    attached.ways.fails(UNREACHABLE)
    attached.ways.until_dialled()
    wall[0] += 3600
    attached.ways.until_dialled(2)
    leave(attached)


# -- what the user is told ------------------------------------------------------------------------------


def test_a_short_loss_is_not_told_and_changes_nothing_on_the_screen(attached: Attached) -> None:
    attached.far.send(RecordKind.OUTPUT, 0, b"$ ")
    attached.terminal.output.until_shown(len(OPENING) + 2)
    attached.cut()
    attached.come_back(FarEnd(), ready(2, 0))
    attached.until_told(Resumed)
    assert [type(event) for event in attached.events] == [LinkLost, Resumed]
    assert attached.terminal.output.look() == OPENING + b"$ "


def test_whoever_hears_of_a_lost_link_can_ask_at_once_when_there_is_more_to_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Main waits for as long as it is told then, and would wait for ever if nothing were due."""
    due: list[float | None] = []
    happened = Attach._happened

    def asking(attach: Attach, event: Event) -> None:
        if isinstance(event, LinkLost):
            due.append(attach._redial.due_in_seconds())
        happened(attach, event)

    monkeypatch.setattr(Attach, "_happened", asking)
    attached = Attached()
    attached.cut()
    attached.until_told(LinkLost)
    assert due
    assert due[0] is not None
    leave(attached)


def test_after_a_while_it_is_told_which_leg_is_down_and_the_screen_is_drawn_anew(
    attached: Attached, told_soon: None
) -> None:
    attached.far.send(RecordKind.OUTPUT, 0, b"$ ")
    attached.terminal.output.until_shown(len(OPENING) + 2)
    attached.cut()
    down = attached.until_told(LinkDown)
    assert isinstance(down, LinkDown)
    assert (down.leg, 29 < down.left_seconds <= 30) == (Leg.YOU_RELAY, True)
    assert attached.attach.at_line_start
    tries = 1
    # A try that had begun before the user was told is not taken: it asked for no redraw.
    while not attached.ways.until_dialled(tries).redraw:
        attached.ways.leads_to(far := FarEnd())
        far.until(lambda far: bool(far.end))
        tries += 1
    attached.come_back(FarEnd(), ready(2, 0))
    attached.until_told(Resumed)
    assert [type(event) for event in attached.events] == [LinkLost, LinkDown, Resumed]


def test_the_leg_that_is_told_is_the_one_that_was_tried_last(
    attached: Attached, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage_module, "LINK_TELL_SECONDS", 1e6)
    attached.cut()
    attached.ways.fails(MachineOffline(name="prod", last_heard="now"))
    attached.ways.until_dialled(2)
    outage = attached.attach._redial._outage
    assert outage is not None
    assert outage.leg == Leg.RELAY_MACHINE


def test_past_the_grace_it_is_told_and_still_dialled(told_soon: None) -> None:
    attached = Attached(ready=kept(0.0))
    attached.cut()
    attached.until_told(GracePassed)
    assert [type(event) for event in attached.events] == [LinkLost, LinkDown, GracePassed]
    attached.ways.until_dialled()
    attached.ways.fails(UNREACHABLE)
    attached.ways.until_dialled(2)
    leave(attached)


def test_where_nobody_sits_it_gives_up_past_the_grace(told_soon: None) -> None:
    attached = Attached(FakeTerminal(is_tty=False, blind=True), ready=kept(0.01))
    attached.cut()
    error = attached.left_error()
    assert isinstance(error, RelayLost)
    assert error.exit_status == 4


# -- leaving, in every state ------------------------------------------------------------------------------


def down(attached: Attached) -> None:
    """The link is lost, and the dial hangs for good."""
    attached.cut()
    attached.ways.until_dialled()


def between_tries(attached: Attached, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "next_seconds", lambda _: 1e6)
    attached.cut()
    attached.until_told(LinkLost)


@pytest.mark.parametrize("state", ["dialling", "between tries"])
@pytest.mark.parametrize("how", ["ctrl-d", "a signal"])
def test_leaving_waits_for_nobody(monkeypatch: pytest.MonkeyPatch, state: str, how: str) -> None:
    attached = Attached()
    attached.terminal.until_read()
    if state == "dialling":
        down(attached)
    else:
        between_tries(attached, monkeypatch)
    began = time.monotonic()
    if how == "ctrl-d":
        attached.terminal.press(b"typed", b"\x04")
    else:
        attached.terminal.kill(15)
    assert attached.left() == (Detached() if how == "ctrl-d" else Killed(15))
    assert time.monotonic() - began < AT_ONCE_SECONDS


def test_a_connection_that_comes_after_leaving_is_closed(attached: Attached) -> None:
    down(attached)
    attached.terminal.press(b"\x04")
    assert attached.left() == Detached()
    late = FarEnd()
    attached.ways.leads_to(late)
    late.until(lambda far: bool(far.end))


def test_leaving_works_while_what_is_typed_waits_for_a_connection(attached: Attached) -> None:
    down(attached)
    attached.terminal.press(*[b"x" * 60_000] * 6, b"y\x04")
    assert attached.left() == Detached()


def test_what_is_typed_without_a_connection_is_kept_and_sent_as_its_window_allows(attached: Attached) -> None:
    reads = INPUT_WINDOW_BYTES // 60_000 + 2
    down(attached)
    attached.terminal.press(*[b"x" * 60_000] * reads)
    attached.terminal.until_read()
    attached.come_back(FarEnd())
    attached.far.until_typed(INPUT_WINDOW_BYTES)
    attached.far.send(RecordKind.ACK, INPUT_WINDOW_BYTES)
    assert attached.far.until_typed(reads * 60_000) == b"x" * (reads * 60_000)


def test_a_cut_at_any_moment_and_a_leaving_key_have_one_outcome() -> None:
    for _ in range(20):
        attached = Attached()
        attached.ways.leads_to(FarEnd())
        attached.cut()
        attached.terminal.press(b"\x04")
        assert isinstance(attached.left(), Detached | Failed)
