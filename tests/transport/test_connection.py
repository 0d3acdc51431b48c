"""Messages between a dialled and an accepted end, with and without TLS: manners, bad manners, ends."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from cmdop.errors import (
    CmdopError,
    ConnectionClosed,
    RemoteProtocolError,
)
from cmdop.limits import DIRECTORY_MAX_BYTES, MESSAGE_MAX_BYTES
from cmdop.transport.accept import AcceptedConnection
from cmdop.transport.dial import DialledConnection
from cmdop.transport.listener import Listener
from tests.transport.ends import (
    PATIENCE_SECONDS,
    Authority,
    for_ever,
    in_thread,
    listening,
    masked,
    plain,
    read_all,
    rude_client,
    two_ends,
    welcome_everybody,
)

pytestmark = pytest.mark.usefixtures("_nothing_is_left")


CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
NOT_OURS = {
    "a text message": (TEXT, b"hello", True),
    "a continuation of nothing": (CONT, b"x", True),
    "a reserved opcode": (0x3, b"x", True),
    "a fragmented ping": (PING, b"x", False),
}

Ends = tuple[DialledConnection, AcceptedConnection]


@pytest.fixture(params=["plain", "tls"])
def ends(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Ends]:
    with ExitStack() as stack:
        if request.param == "tls":
            yield stack.enter_context(two_ends(tls=authority.server, ca_file=authority.ca_file))
        else:
            yield stack.enter_context(two_ends())


# -- messages -----------------------------------------------------------------------------


def test_messages_arrive_whole_and_in_order_in_both_directions(ends: Ends) -> None:
    dialled, accepted = ends
    messages = [os.urandom(size) for size in (0, 1, 125, 126, 65_535, MESSAGE_MAX_BYTES, 3)]
    for one, other in ((dialled, accepted), (accepted, dialled)):
        for message in messages:
            one.send(message)
        assert [other.receive() for _ in messages] == messages


def test_a_client_may_get_the_list_of_machines_in_one_message(ends: Ends) -> None:
    dialled, accepted = ends
    directory = os.urandom(MESSAGE_MAX_BYTES * 12)
    accepted._outbox.limit_bytes = 1 << 24
    accepted.send(directory)
    assert dialled.receive() == directory


def test_a_message_longer_than_our_longest_is_refused_by_the_accepting_end(ends: Ends) -> None:
    dialled, accepted = ends
    dialled.send(b"before")
    dialled.send(bytes(MESSAGE_MAX_BYTES + 1))
    assert accepted.receive() == b"before"
    with pytest.raises(RemoteProtocolError):
        accepted.receive()
    with pytest.raises(CmdopError):
        dialled.receive()


class Recording:
    """A socket that tells how much it was asked to receive."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.asked: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv(self, size: int) -> bytes:
        self.asked.append(size)
        return self._sock.recv(size)


@pytest.mark.parametrize("receiving", [0, 1])
def test_who_waits_has_little_room_in_its_hand_and_a_flood_has_much(receiving: int) -> None:
    """Each thread that waits holds its room, and a relay has one for each connection."""
    with two_ends() as ends:
        sender, receiver = ends[1 - receiving], ends[receiving]
        recording = receiver._sock = Recording(receiver._sock)  # type: ignore[assignment]
        for size in (10, 60_000, 10, 10):
            sender.send(bytes(size))
            assert receiver.receive() == bytes(size)
        assert recording.asked[0] == recording.asked[-1] < 10_000
        assert max(recording.asked) > 60_000


def test_both_ends_are_selectable(ends: Ends) -> None:
    for one, other in (ends, ends[::-1]):
        one.send(b"x")
        assert other.buffered or select.select([other], [], [], PATIENCE_SECONDS)[0]
        assert other.receive() == b"x"


def test_two_messages_that_came_together_are_not_forgotten(ends: Ends) -> None:
    dialled, accepted = ends
    for one, other in ((dialled, accepted), (accepted, dialled)):
        one.send(b"first")
        one.send(b"second")
        assert other.receive() == b"first"
        assert other.buffered or select.select([other], [], [], PATIENCE_SECONDS)[0]
        assert other.receive() == b"second"


def test_a_slow_receiver_gets_everything_and_the_sender_does_not_wait(ends: Ends) -> None:
    dialled, accepted = ends
    messages = [bytes([number]) * MESSAGE_MAX_BYTES for number in range(200)]
    for message in messages:
        dialled.send(message)
    assert [accepted.receive() for _ in messages] == messages


def test_both_ends_may_talk_at_full_speed_at_once(ends: Ends) -> None:
    def talk(end: DialledConnection | AcceptedConnection) -> None:
        for number in range(300):
            end.send(bytes([number % 256]) * 3000)

    def listen(end: DialledConnection | AcceptedConnection) -> bool:
        return all(end.receive() == bytes([number % 256]) * 3000 for number in range(300))

    talking = [in_thread(lambda end=end: talk(end)) for end in ends]
    listening_to = [in_thread(lambda end=end: listen(end)) for end in ends]
    for future in talking:
        future.result(PATIENCE_SECONDS)
    assert all(future.result(PATIENCE_SECONDS) for future in listening_to)


def test_a_peer_that_takes_nothing_is_closed_when_its_queue_is_full() -> None:
    with two_ends(queue_max_bytes=1 << 20) as (_, accepted):
        receiving = in_thread(accepted.receive)
        with pytest.raises(ConnectionClosed):
            for_ever(lambda: accepted.send(bytes(MESSAGE_MAX_BYTES)))
        assert isinstance(receiving.exception(PATIENCE_SECONDS), ConnectionClosed)


def test_a_queue_may_be_given_more_room_later() -> None:
    with two_ends(queue_max_bytes=1 << 16) as (dialled, accepted):
        accepted.queue_max_bytes = 1 << 26
        messages = [bytes([number]) * MESSAGE_MAX_BYTES for number in range(100)]
        for message in messages:
            accepted.send(message)
        assert [dialled.receive() for _ in messages] == messages


# -- ends of a connection -----------------------------------------------------------------------


@pytest.mark.parametrize("closing", [0, 1])
def test_the_other_end_hears_why_after_everything_that_was_sent_before(ends: Ends, closing: int) -> None:
    one, other = ends[closing], ends[1 - closing]
    one.send(b"last words")
    one.close("the machine is going down")
    assert other.receive() == b"last words"
    with pytest.raises(ConnectionClosed) as closed:
        other.receive()
    assert closed.value.details["reason"] == "the machine is going down"


@pytest.mark.parametrize("closing", [0, 1])
def test_of_a_long_reason_as_much_is_told_as_there_is_room_for(ends: Ends, closing: int) -> None:
    ends[closing].close("x" + "é" * 100)
    with pytest.raises(ConnectionClosed) as closed:
        ends[1 - closing].receive()
    assert closed.value.details["reason"] == "x" + "é" * 61, "123 bytes, RFC 6455 §5.5"


@pytest.mark.parametrize("closing", [0, 1])
def test_a_close_from_another_thread_wakes_receive(ends: Ends, closing: int) -> None:
    receiving = in_thread(ends[closing].receive)
    ends[closing].close()
    assert isinstance(receiving.exception(PATIENCE_SECONDS), ConnectionClosed)


@pytest.mark.parametrize("closing", [0, 1])
def test_closing_twice_is_quiet_and_sending_afterwards_is_not(ends: Ends, closing: int) -> None:
    ends[closing].close()
    ends[closing].close()
    with pytest.raises(ConnectionClosed):
        ends[closing].send(b"x")


def test_closing_does_not_wait_for_ever_for_a_peer_that_takes_nothing(ends: Ends) -> None:
    dialled, _ = ends
    for _ in range(200):
        dialled.send(bytes(MESSAGE_MAX_BYTES))
    closing = in_thread(dialled.close)
    closing.result(PATIENCE_SECONDS)
    with pytest.raises(ConnectionClosed):
        dialled.receive()


@pytest.mark.parametrize("vanishing", [0, 1])
def test_a_connection_that_is_cut_ends_receive_at_the_other_end(ends: Ends, vanishing: int) -> None:
    ends[vanishing]._sock.shutdown(socket.SHUT_RDWR)
    with pytest.raises(ConnectionClosed):
        ends[1 - vanishing].receive()


def test_a_half_closed_client_still_gets_what_is_sent_to_it(ends: Ends) -> None:
    """As far as TCP goes; for us its end of sending is the end."""
    dialled, accepted = ends
    accepted.send(b"on its way")
    dialled._sock.shutdown(socket.SHUT_WR)
    assert dialled.receive() == b"on its way"
    with pytest.raises(ConnectionClosed):
        accepted.receive()


# -- frames that are no messages of ours ------------------------------------------------------------


def accepted_by(listener: Listener) -> AcceptedConnection:
    connection = listener.accept().upgrade(welcome_everybody)
    assert connection is not None
    return connection


@pytest.mark.parametrize("what", NOT_OURS)
def test_a_client_that_sends_nonsense_is_closed_after_its_last_good_message(what: str) -> None:
    with listening() as listener:
        accepting = in_thread(lambda: accepted_by(listener))
        with rude_client(listener) as client:
            accepted = accepting.result(PATIENCE_SECONDS)
            client.sendall(masked(BINARY, b"good") + masked(*NOT_OURS[what]))
            assert accepted.receive() == b"good"
            with pytest.raises(RemoteProtocolError):
                accepted.receive()
            assert read_all(client)[:1] == b"\x88", "it is told with a close frame"


@pytest.mark.parametrize("what", NOT_OURS)
def test_a_relay_that_sends_nonsense_is_closed_after_its_last_good_message(what: str) -> None:
    with two_ends() as (dialled, accepted):
        accepted._outbox.put(plain(BINARY, b"good") + plain(*NOT_OURS[what]))
        assert dialled.receive() == b"good"
        with pytest.raises(RemoteProtocolError):
            dialled.receive()


def test_frames_without_a_mask_are_refused_from_a_client() -> None:
    with listening() as listener:
        accepting = in_thread(lambda: accepted_by(listener))
        with rude_client(listener) as client:
            accepted = accepting.result(PATIENCE_SECONDS)
            client.sendall(plain(BINARY, b"no mask"))
            with pytest.raises(RemoteProtocolError):
                accepted.receive()


def test_a_message_in_fragments_with_a_ping_between_them_is_one_message(ends: Ends) -> None:
    dialled, accepted = ends
    for frame, sender, receiver in ((masked, dialled, accepted), (plain, accepted, dialled)):
        pieces = [
            frame(BINARY, b"one ", False),
            frame(PING, b"alive?"),
            frame(CONT, b"two ", False),
            frame(CONT, b"three"),
        ]
        for piece in pieces:
            sender._outbox.put(piece)
        assert receiver.receive() == b"one two three"


def test_a_message_that_comes_byte_by_byte_is_one_message() -> None:
    with listening() as listener:
        accepting = in_thread(lambda: accepted_by(listener))
        with rude_client(listener) as client:
            accepted = accepting.result(PATIENCE_SECONDS)
            receiving = in_thread(accepted.receive)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in masked(BINARY, b"slowly"):
                client.sendall(bytes([byte]))
            assert receiving.result(PATIENCE_SECONDS) == b"slowly"
            accepted.release()


def test_a_ping_is_answered_with_its_payload_by_the_accepting_end() -> None:
    with listening() as listener:
        accepting = in_thread(lambda: accepted_by(listener))
        with rude_client(listener) as client:
            accepted = accepting.result(PATIENCE_SECONDS)
            client.sendall(masked(PING, b"alive?") + masked(BINARY, b"done"))
            assert accepted.receive() == b"done"
            assert client.recv(100) == plain(PONG, b"alive?")
            accepted.release()


def test_a_ping_is_answered_by_the_dialling_end(ends: Ends) -> None:
    dialled, accepted = ends
    pongs = []
    take = accepted._take
    accepted._take = lambda frame: pongs.append(bytes(frame.data)) if frame.opcode == PONG else take(frame)  # type: ignore[method-assign,func-returns-value]
    accepted._outbox.put(plain(PING, b"alive?") + plain(BINARY, b"done"))
    assert dialled.receive() == b"done"
    dialled.send(b"answered")
    assert accepted.receive() == b"answered"
    assert pongs == [b"alive?"]


def test_a_length_past_our_longest_message_is_not_believed(ends: Ends) -> None:
    """The accepting end stops at its own, smaller limit; neither reserves what it is told."""
    dialled, accepted = ends
    for sender, receiver, mask in ((accepted, dialled, 0), (dialled, accepted, 0x80)):
        sender._outbox.put(bytes([0x82, mask | 127]) + (DIRECTORY_MAX_BYTES + 1).to_bytes(8, "big") + bytes(10))
        with pytest.raises(CmdopError) as refused:
            receiver.receive()
        if receiver is dialled:
            assert isinstance(refused.value, RemoteProtocolError)
            break


def test_fragments_without_end_are_not_collected_for_ever(ends: Ends) -> None:
    dialled, accepted = ends

    accepted._outbox.limit_bytes = 1 << 30
    accepted._outbox.put(plain(BINARY, b"", False))
    sending = in_thread(lambda: for_ever(lambda: accepted._outbox.put(plain(CONT, bytes(60_000), False))))
    with pytest.raises(RemoteProtocolError):
        dialled.receive()
    assert isinstance(sending.exception(PATIENCE_SECONDS), ConnectionClosed)


def test_garbage_after_the_upgrade_ends_the_connection_and_nothing_else() -> None:
    for seed in range(40):
        with listening() as listener:
            accepting = in_thread(lambda listener=listener: accepted_by(listener))
            with rude_client(listener) as client:
                accepted = accepting.result(PATIENCE_SECONDS)
                client.sendall(bytes((seed * 37 + place * 101) % 256 for place in range(500)))
                client.shutdown(socket.SHUT_WR)
                with pytest.raises(CmdopError):
                    for_ever(accepted.receive)


def test_a_tls_record_that_was_meddled_with_ends_the_connection(authority: Authority) -> None:
    with two_ends(tls=authority.server, ca_file=authority.ca_file) as (dialled, accepted):
        dialled._sock.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
        with pytest.raises(ConnectionClosed):
            accepted.receive()
        with pytest.raises(ConnectionClosed):
            accepted.send(b"too late")
