"""One client's stream at the agent: who breaks the rules loses this stream and nothing else."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.errors import CmdopError, SealRefused, SessionGone, from_peer
from cmdop.limits import INPUT_WINDOW_BYTES, OFFSET_MAX
from cmdop.ptyhost.interface import Pty
from cmdop.wire.call_messages import ListSessions, Sessions
from cmdop.wire.message import Message
from cmdop.wire.record import RecordKind, encode_record
from cmdop.wire.session_messages import (
    AuthChallenge,
    AuthResponse,
    AuthSuccess,
    Detach,
    Ended,
    Notice,
    Ready,
    Refused,
    Resize,
)
from tests.agent.fake_pty import TIMEOUT_SECONDS, FakePty
from tests.agent.knocking import Client, Machine, register, until_forgotten


@pytest.fixture
def machine() -> Iterator[Machine]:
    machine = Machine()
    yield machine
    machine.shells.close()
    for pty in machine.ptys:
        assert pty.misuse == []


def lives_on(machine: Machine) -> None:
    """Somebody else still gets a session, types into it and sees what it prints."""
    client = machine.enter(new=True)
    client.send(RecordKind.INPUT, 0, b"ls\n")
    assert machine.ptys[-1].until_typed(3) == b"ls\n"
    machine.ptys[-1].print(b"README\r\n")
    assert client.until_shown(8) == b"README\r\n"
    client.say(Detach())
    assert client.until_closed() == ("", "")


# -- a good client --------------------------------------------------------------------------------


def test_a_client_comes_in_types_sees_resizes_and_leaves(machine: Machine) -> None:
    client = machine.knock()
    client.shake()
    client.say(register(rows=30, cols=90))
    success = client.hear(AuthSuccess)
    assert len(success.session_token) == 64
    assert success.ttl_seconds == 24 * 3600
    ready = client.hear(Ready)
    pty = machine.ptys[0]
    assert ready == Ready(pty.session_id, 0, 0, created=True, operator="anna")
    client.send(RecordKind.INPUT, 0, b"echo")
    client.send(RecordKind.INPUT, 4, b" hi\n")
    assert pty.until_typed(8) == b"echo hi\n"
    pty.print(b"hi\r\n")
    assert client.until_shown(4) == b"hi\r\n"
    client.say(Resize(50, 100))
    assert pty.sizes == [(30, 90), (50, 100)]
    client.say(Detach())
    assert client.closings == [("", "")]
    assert machine.shells.summaries()[0].clients == 0
    assert not pty.closed


def test_who_leaves_hears_under_the_seal_up_to_where_its_input_came(machine: Machine) -> None:
    client = machine.enter()
    client.send(RecordKind.INPUT, 0, b"make\n")
    client.say(Detach())
    assert client.until_closed() == ("", "")
    assert client.acks == [5]


def test_the_end_of_the_session_is_told_and_the_client_that_heard_it_leaves(machine: Machine) -> None:
    client = machine.enter()
    machine.ptys[0].print(b"bye")
    machine.ptys[0].exit(3)
    assert client.hear(Ended) == Ended(3, 0, 3)
    assert client.until_shown(3) == b"bye"
    assert client.closings == []
    client.say(Detach())
    assert client.until_closed() == ("", "")
    assert client.closings == [("", "")]
    machine.until_empty()  # the session's own thread may have more to do than its client
    with pytest.raises(SessionGone):
        machine.shells.resumed(client.ready.session_id)


def test_who_lost_its_connection_with_the_end_on_its_way_comes_back_for_it(machine: Machine) -> None:
    client = machine.enter()
    machine.ptys[0].exit(3)
    client.hear(Ended)
    client.stream.closed()
    assert machine.shells.resumed(client.ready.session_id).expects_back


def test_credit_lets_more_output_through(machine: Machine) -> None:
    client = machine.enter(window_bytes=2)
    machine.ptys[0].print(b"abcdef")
    assert client.until_shown(2) == b"ab"
    client.send(RecordKind.CREDIT, 4)
    assert client.until_shown(4) == b"abcd"
    client.send(RecordKind.CREDIT, 3)
    client.send(RecordKind.CREDIT, OFFSET_MAX)
    assert client.until_shown(6) == b"abcdef"


def test_what_waited_for_the_connection_goes_on_when_it_has_drained(machine: Machine) -> None:
    client = machine.enter()
    client.congested = True
    machine.ptys[0].print(b"later")
    machine.ptys[0].exit()
    machine.until_empty()
    client.congested = False
    client.stream.pump()
    assert client.hear(Ended) == Ended(0, 0, 5)
    assert client.output == b"later"


def test_what_a_newer_client_says_is_ignored(machine: Machine) -> None:
    client = machine.enter()
    client.send(RecordKind.CONTROL, 0, b"\x81\xa2is\xa6Future")  # {"is": "Future"}
    client.send(0x80 | 5, 7, b"?")
    client.send(RecordKind.INPUT, 0, b"x")
    assert machine.ptys[0].until_typed(1) == b"x"
    assert client.closings == []


def test_several_clients_share_a_session(machine: Machine) -> None:
    one, two = machine.enter(), machine.enter()
    assert one.ready.session_id == two.ready.session_id
    assert (one.ready.created, two.ready.created) == (True, False)
    machine.ptys[0].print(b"to both")
    assert one.until_shown(7) == two.until_shown(7) == b"to both"
    one.stream.closed()
    machine.ptys[0].print(b"!")
    assert two.until_shown(8) == b"to both!"


# -- who may not ----------------------------------------------------------------------------------


def test_who_does_not_hold_the_keys_is_told_so_in_the_open_and_gets_nothing(machine: Machine) -> None:
    client = machine.knock(psk=b"x" * 32)
    client.shake()
    code, reason = client.until_closed()
    assert code == SealRefused.code
    assert reason == "the client anna could not prove that it holds this workspace's keys"
    client.say(register())
    assert machine.ptys == []
    lives_on(machine)


def test_an_observer_sees_and_may_not_type(machine: Machine) -> None:
    operator, observer = machine.enter(), machine.enter(role="observer")
    machine.ptys[0].print(b"look")
    assert observer.until_shown(4) == b"look"
    observer.send(RecordKind.INPUT, 0, b"rm -rf /\n")
    assert observer.until_closed()[0] == "role-too-low"
    operator.send(RecordKind.INPUT, 0, b"q")
    assert machine.ptys[0].until_typed(1) == b"q"
    assert operator.closings == []


def test_who_asked_only_to_read_may_not_type_either(machine: Machine) -> None:
    machine.enter()
    client = machine.enter(read_only=True)
    client.send(RecordKind.INPUT, 0, b"x")
    assert client.until_closed()[0] == "role-too-low"
    assert machine.ptys[0].typed == b""


@pytest.mark.parametrize("wish", [{}, {"new": True}, {"command": ("sh", "-c", "id")}, {"session": "0" * 16}])
def test_an_observer_opens_no_session_and_runs_nothing(machine: Machine, wish: dict[str, Any]) -> None:
    client = machine.knock(role="observer")
    client.shake()
    client.say(register(**wish))
    assert client.until_closed()[0] in ("role-too-low", "session-refused", "session-gone")
    assert machine.ptys == []


def test_another_version_is_told_which(machine: Machine) -> None:
    client = machine.knock()
    client.shake()
    client.say(register(version=2))
    code, reason = client.until_closed()
    assert code == "version-mismatch"
    assert reason == "the client speaks cmdop protocol 2, and this cmdop speaks 1"
    assert machine.ptys == []


def test_why_there_is_no_session_is_told(machine: Machine) -> None:
    client = machine.knock()
    client.shake()
    client.say(register(session="abcd"))
    assert client.until_closed() == ("session-gone", "session abcd is gone")


# -- who breaks the rules -------------------------------------------------------------------------


def before_the_session(client: Client) -> None:
    client.shake()


def in_the_session(client: Client) -> None:
    client.shake()
    client.say(register())
    client.hear(Ready)


STAGES = {"before": before_the_session, "in": in_the_session}
OUT_OF_TURN = {
    "a challenge": AuthChallenge(("password",)),
    "a response": AuthResponse("password", "x"),
    "success": AuthSuccess("x", 1.0),
    "ready": Ready("0" * 16, 0, 0),
    "ended": Ended(0),
    "refused": Refused("usage"),
    "a notice": Notice("hello"),
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("what", OUT_OF_TURN)
def test_a_message_that_no_client_sends_costs_it_its_stream(machine: Machine, stage: str, what: str) -> None:
    client = machine.knock()
    STAGES[stage](client)
    client.say(OUT_OF_TURN[what])
    assert client.until_closed()[0] == "remote-protocol"
    lives_on(machine)


def send(kind: int, offset: int = 0, payload: bytes = b"") -> Callable[[Client], None]:
    return lambda client: client.send(kind, offset, payload)


def say(message: Message) -> Callable[[Client], None]:
    return lambda client: client.say(message)


BEFORE_THE_SESSION = {
    "input": send(RecordKind.INPUT, 0, b"x"),
    "credit": send(RecordKind.CREDIT, 100),
    "a size": say(Resize(1, 1)),
    "leaving": say(Detach()),
}


@pytest.mark.parametrize("what", BEFORE_THE_SESSION)
def test_session_data_before_the_session_costs_a_client_its_stream(machine: Machine, what: str) -> None:
    client = machine.knock()
    client.shake()
    BEFORE_THE_SESSION[what](client)
    assert client.until_closed()[0] == "remote-protocol"
    client.say(register())
    assert machine.ptys == []
    lives_on(machine)


IN_THE_SESSION = {
    "register again": say(register()),
    "a gap": send(RecordKind.INPUT, 1, b"x"),
    "a far gap": send(RecordKind.INPUT, OFFSET_MAX, b"x"),
    "an unknown record": lambda client: client.send_plain(b"\x7f" + bytes(8)),
    "a short record": lambda client: client.send_plain(b"\x03"),
    "an empty record": lambda client: client.send_plain(b""),
    "an offset too large": lambda client: client.send_plain(b"\x05" + b"\xff" * 8),
    "no message": send(RecordKind.CONTROL, 0, b"\xc1"),
    "a size of no rows": send(RecordKind.CONTROL, 0, b"\x83\xa2is\xa6Resize\xa4rows\x00\xa4cols\x01"),
}


@pytest.mark.parametrize("what", IN_THE_SESSION)
def test_what_breaks_the_protocol_costs_a_client_its_stream(machine: Machine, what: str) -> None:
    client = machine.enter()
    IN_THE_SESSION[what](client)
    assert client.until_closed()[0] == "remote-protocol"
    assert machine.ptys[0].typed == b""
    assert machine.shells.summaries()[0].clients == 0
    lives_on(machine)


def test_more_input_than_the_window_allows_costs_a_client_its_stream(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_full(wanted: object, session_id: str) -> tuple[Pty, str]:
        machine.ptys.append(FakePty(room_bytes=0, session_id=session_id))
        return machine.ptys[-1], ""

    monkeypatch.setattr(machine.shells, "_open_pty", open_full)
    client = machine.enter()
    piece = bytes(32 * 1024)
    for at in range(0, INPUT_WINDOW_BYTES, len(piece)):
        client.send(RecordKind.INPUT, at, piece)
    assert client.closings == []
    client.send(RecordKind.INPUT, INPUT_WINDOW_BYTES, b"x")
    assert client.until_closed()[0] == "remote-protocol"
    machine.ptys[0].make_room(2 * INPUT_WINDOW_BYTES)
    machine.ptys[0].until_typed(INPUT_WINDOW_BYTES)
    monkeypatch.undo()
    lives_on(machine)


GARBAGE = {
    "nothing": b"",
    "a byte": b"\x00",
    "a handshake's length": b"\xff" * 32,
    "zeros": bytes(48),
    "much": b"\xaa" * 65_000,
}


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("after", ["the opening", "the first message", "the handshake", "the session"])
def test_garbage_at_any_moment_costs_a_client_its_stream(machine: Machine, after: str, garbage: str) -> None:
    client = machine.knock()
    if after == "the first message":
        client.stream.frame(client._handshake.write())
    elif after == "the handshake":
        client.shake()
    elif after == "the session":
        in_the_session(client)
    client.stream.frame(GARBAGE[garbage])
    assert client.until_closed()[0] == SealRefused.code
    lives_on(machine)


@given(st.lists(st.binary(max_size=200), max_size=6))
def test_no_bytes_of_a_client_raise_anything(frames: list[bytes]) -> None:
    machine = Machine()
    try:
        client = machine.knock()
        for frame in frames:
            client.stream.frame(frame)
        assert len(client.closings) >= bool(frames)
    finally:
        machine.shells.close()


def test_a_record_that_was_sent_before_is_no_longer_genuine(machine: Machine) -> None:
    client = machine.enter()
    assert client._channel is not None
    sealed = client._channel.seal(encode_record(RecordKind.INPUT, 0, b"x"))
    client.stream.frame(sealed)
    machine.ptys[0].until_typed(1)
    client.stream.frame(sealed)
    assert client.until_closed()[0] == SealRefused.code
    assert machine.ptys[0].typed == b"x"


# -- our own mistakes -----------------------------------------------------------------------------


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "cmdop")
    return caplog


def test_a_mistake_of_our_own_ends_one_stream_and_is_in_the_log(
    machine: Machine, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = machine.enter()
    assert client.stream._shell is not None
    monkeypatch.setattr(client.stream._shell, "resize", lambda *_: 1 // 0)
    client.say(Resize(1, 1))
    assert client.until_closed() == ("local-protocol", "cmdop itself broke the protocol: see the agent's log")
    assert "ZeroDivisionError" in log.text
    lives_on(machine)


def test_a_mistake_while_opening_a_session_ends_one_stream(machine: Machine, log: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    machine.before_open = fail
    client = machine.knock()
    client.shake()
    client.say(register())
    assert client.until_closed()[0] == "local-protocol"
    assert "ZeroDivisionError" in log.text
    machine.before_open = lambda: None
    lives_on(machine)


# -- leaving, at any moment -----------------------------------------------------------------------


def test_being_closed_twice_is_quiet(machine: Machine) -> None:
    client = machine.enter()
    client.stream.closed()
    client.stream.closed()
    client.stream.finish()
    client.stream.pump()
    machine.ptys[0].print(b"unseen")
    machine.ptys[0].until_idle(reading=True)
    assert client.output == b""


def test_who_leaves_while_its_session_is_opened_leaves_nobody_attached(machine: Machine) -> None:
    opening, may_open = threading.Event(), threading.Event()

    def wait() -> None:
        opening.set()
        assert may_open.wait(TIMEOUT_SECONDS)

    machine.before_open = wait
    before = threading.enumerate()  # an earlier test's may still be at its end
    client = machine.knock()
    client.shake()
    client.say(register())
    assert opening.wait(TIMEOUT_SECONDS)
    client.stream.closed()
    admitting = next(t for t in threading.enumerate() if t.name == "admit 1" and t not in before)
    may_open.set()
    admitting.join(TIMEOUT_SECONDS)
    assert [session.clients for session in machine.shells.summaries()] == [0]
    assert client.closings == []


@pytest.mark.parametrize("round_number", range(30))
def test_whoever_enters_while_the_session_ends_gets_one(machine: Machine, round_number: int) -> None:
    """The old one, to its end, or a new one: never an error, and never silence."""
    first = machine.enter()
    exiting = threading.Thread(target=machine.ptys[0].exit, daemon=True)
    exiting.start()
    second = machine.enter()
    if second.ready.session_id == first.ready.session_id:
        assert second.hear(Ended).exit_status == 0
    else:
        machine.ptys[-1].print(b"$ ")
        assert second.until_shown(2) == b"$ "
    exiting.join(TIMEOUT_SECONDS)


def test_clients_that_come_and_go_all_at_once_leave_nothing_behind(machine: Machine) -> None:
    """With a program that prints all the while."""
    opener = machine.enter()
    printed = threading.Event()
    failures: list[BaseException] = []

    def print_on() -> None:
        while not printed.is_set():
            machine.ptys[0].print(os.urandom(100).hex().encode())

    def come_and_go() -> None:
        try:
            for number in range(10):
                client = machine.enter()
                if number % 2:
                    client.say(Detach())
                else:
                    client.stream.closed()
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    printer = threading.Thread(target=print_on, daemon=True)
    goers = [threading.Thread(target=come_and_go, daemon=True) for _ in range(4)]
    for thread in [printer, *goers]:
        thread.start()
    for thread in goers:
        thread.join(TIMEOUT_SECONDS)
        assert not thread.is_alive()
    printed.set()
    opener.send(RecordKind.CREDIT, OFFSET_MAX)
    printer.join(TIMEOUT_SECONDS)
    assert failures == []
    assert machine.shells.summaries()[0].clients == 1
    assert opener.misuse == []


def lose_it(client: Client) -> None:
    client.stream.finish()


LEAVING = {"it leaves": say(Detach()), "it breaks the rules": send(RecordKind.INPUT, 9, b"x"), "it is lost": lose_it}


@pytest.mark.parametrize("how", LEAVING)
def test_a_stream_that_is_over_does_not_wait_for_the_garbage_collector(machine: Machine, how: str) -> None:
    """Which comes seldom: a machine of many sessions held the streams of hours."""
    client = machine.enter()
    machine.ptys[0].print(b"shown")
    client.until_shown(5)
    until_forgotten(client, LEAVING[how])


def test_nor_does_one_that_only_made_calls(machine: Machine) -> None:
    client = machine.knock()
    client.shake()
    client.call(ListSessions())
    client.hear(Sessions)
    until_forgotten(client, lose_it)


def test_every_refusal_names_a_code_that_the_client_knows() -> None:
    for code in ("seal-refused", "remote-protocol", "local-protocol", "role-too-low", "version-mismatch"):
        error = from_peer(code, "words")
        assert isinstance(error, CmdopError)
        assert (error.code, error.sentence) == (code, "words")
