"""Dialled and accepted ends over real sockets, with and without TLS: manners, bad manners, ends."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cmdop.errors import (
    AddressInUse,
    CmdopError,
    ConnectionClosed,
    KeyRefused,
    PlainTextRefused,
    RelayUnreachable,
    RemoteProtocolError,
)
from cmdop.limits import DIRECTORY_MAX_BYTES, MESSAGE_MAX_BYTES
from cmdop.transport.accept import AcceptedConnection, HttpAnswer, Listener, UpgradeRequest
from cmdop.transport.address import ServerAddress
from cmdop.transport.dial import DialledConnection, Dialling, dial
from tests.transport.ends import (
    PATIENCE_SECONDS,
    UNIT_SECONDS,
    Authority,
    for_ever,
    in_thread,
    listening,
    masked,
    open_descriptors,
    plain,
    read_all,
    read_head,
    rude_client,
    two_ends,
    upgrade_request,
    welcome_everybody,
    where,
)

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
NOT_OURS = {
    "a text message": (TEXT, b"hello", True),
    "a continuation of nothing": (CONT, b"x", True),
    "a reserved opcode": (0x3, b"x", True),
    "a fragmented ping": (PING, b"x", False),
}

Ends = tuple[DialledConnection, AcceptedConnection]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(params=["plain", "tls"])
def ends(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Ends]:
    with ExitStack() as stack:
        if request.param == "tls":
            yield stack.enter_context(two_ends(tls=authority.server, ca_file=authority.ca_file))
        else:
            yield stack.enter_context(two_ends())


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """No test leaves a descriptor or a thread behind."""
    descriptors, threads = open_descriptors(), set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - threads:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive(), thread.name
    assert open_descriptors() == descriptors


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
    accepted._outbox._limit = 1 << 24
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

    accepted._outbox._limit = 1 << 30
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


# -- the upgrade, as the accepting end sees it --------------------------------------------------------------


def refuse(request: UpgradeRequest) -> HttpAnswer:
    return HttpAnswer(401, "key-refused: it was revoked\n", {"Content-Type": "text/plain"})


def test_the_request_is_shown_to_who_decides() -> None:
    seen: list[UpgradeRequest] = []
    with two_ends(seen.append):
        assert seen[0].path == "/v1"
        assert seen[0].headers["authorization"] == "Bearer key.a.00"
        assert seen[0].headers["sec-websocket-protocol"] == "cmdop.v1"
        assert "origin" not in seen[0].headers
        assert seen[0].remote.startswith("127.0.0.1:")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
        b"GET / HTTP/1.1\r\n",
        b"\r\n\r\n",
        b"GET /v1 HTTP/1.1\r\nHost: x\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        b"".join([b"GET /v1 HTTP/1.1\r\n", *(b"X-%d: y\r\n" % number for number in range(1000)), b"\r\n"]),
        upgrade_request(protocol=""),
        upgrade_request(protocol="chat"),
        b"GET /v1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"",
    ],
    ids=[
        "TLS",
        "half",
        "empty lines",
        "long line",
        "many lines",
        "no subprotocol",
        "other subprotocol",
        "no upgrade",
        "nothing",
    ],
)
def test_who_is_no_client_of_ours_becomes_no_connection(request_bytes: bytes) -> None:
    with listening() as listener:
        arriving = in_thread(lambda: listener.accept().upgrade(welcome_everybody))
        with socket.create_connection(listener.address, PATIENCE_SECONDS) as client:
            with contextlib.suppress(OSError):  # it may hang up before all of it was sent
                client.sendall(request_bytes)
                client.shutdown(socket.SHUT_WR)
            read_all(client)
            assert arriving.result(PATIENCE_SECONDS) is None


def test_an_answer_over_http_arrives_whole() -> None:
    health = HttpAnswer(200, "ok\n", {"Content-Type": "text/plain", "Cache-Control": "no-store"})
    with listening() as listener:
        arriving = in_thread(lambda: listener.accept().upgrade(lambda request: health))
        with socket.create_connection(listener.address, PATIENCE_SECONDS) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = read_all(client)
        assert arriving.result(PATIENCE_SECONDS) is None
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body == b"ok\n"
    assert head.lower().count(b"content-type:") == 1
    assert b"Cache-Control: no-store" in head


def test_an_arrival_that_says_nothing_is_let_go_in_time() -> None:
    with listening() as listener:
        arriving = in_thread(lambda: listener.accept().upgrade(welcome_everybody, timeout_seconds=UNIT_SECONDS / 20))
        with socket.create_connection(listener.address, PATIENCE_SECONDS) as client:
            assert arriving.result(PATIENCE_SECONDS) is None
            assert client.recv(1) == b""


@pytest.mark.parametrize("secure", [False, True])
def test_an_arrival_that_sends_a_byte_at_a_time_gets_no_more_time(secure: bool, authority: Authority) -> None:
    trickle = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" if secure else upgrade_request()
    with listening(authority.server if secure else None) as listener:
        timeout_seconds = UNIT_SECONDS / 5
        arriving = in_thread(lambda: listener.accept().upgrade(welcome_everybody, timeout_seconds=timeout_seconds))
        with socket.create_connection(listener.address, PATIENCE_SECONDS) as client:
            gap = threading.Event()
            for byte in trickle:
                try:
                    client.sendall(bytes([byte]))
                except OSError:
                    break
                gap.wait(timeout_seconds / 4)
            assert arriving.result(PATIENCE_SECONDS) is None


def test_who_decides_may_fail_and_no_descriptor_stays() -> None:
    def fail(request: UpgradeRequest) -> HttpAnswer | None:
        raise LookupError("the records are gone")

    with listening() as listener:
        arriving = in_thread(lambda: listener.accept().upgrade(fail))
        with socket.create_connection(listener.address, PATIENCE_SECONDS) as client:
            client.sendall(upgrade_request())
            assert isinstance(arriving.exception(PATIENCE_SECONDS), LookupError)
            assert client.recv(1) == b""


def test_a_request_that_comes_with_the_end_of_the_tls_handshake_is_seen(authority: Authority) -> None:
    """Both in one segment: the server has the request before it reads the socket again."""
    import ssl

    context = ssl.create_default_context(cafile=str(authority.ca_file))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with listening(authority.server) as listener:
        arriving = in_thread(lambda: listener.accept().upgrade(welcome_everybody))
        with socket.create_connection(listener.address, PATIENCE_SECONDS) as client:
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            client.sendall(outgoing.read())
            while True:
                incoming.write(client.recv(65536))
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    continue
            tls.write(upgrade_request())
            client.sendall(outgoing.read())
            accepted = arriving.result(PATIENCE_SECONDS)
            assert accepted is not None
            accepted.release()


# -- the upgrade, as the dialling end sees it ---------------------------------------------------------------------


def dialled_against(answer: bytes, timeout_seconds: float = PATIENCE_SECONDS) -> CmdopError:
    """What dial raises when the other side answers the upgrade with these bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            sock, _ = server.accept()
            with sock, contextlib.suppress(OSError):
                read_head(sock)
                sock.sendall(answer)
                if timeout_seconds == PATIENCE_SECONDS:
                    sock.shutdown(socket.SHUT_WR)
                read_all(sock)

        serving = in_thread(serve)
        address = ServerAddress(False, "127.0.0.1", server.getsockname()[1])
        with pytest.raises(CmdopError) as refused:
            dial(Dialling(address, "key.a.00", "ck_a…"), timeout_seconds)
        serving.result(PATIENCE_SECONDS)
        return refused.value


def test_a_refused_key_is_refused_with_the_relays_own_words() -> None:
    with listening() as listener:
        arriving = in_thread(lambda: listener.accept().upgrade(refuse))
        with pytest.raises(KeyRefused) as refused:
            dial(Dialling(where(listener), "key.a.00", "ck_a…"))
        assert arriving.result(PATIENCE_SECONDS) is None
        address = where(listener).url
    assert refused.value.sentence == f"the relay {address} refused the API key ck_a…: it was revoked"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "HTTP 401"),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 22\r\n\r\nrole-too-low: an agent", "an agent"),
        (b"HTTP/1.1 429 Too Many\r\nContent-Length: 5\r\n\r\nslow\n", "slow"),
        (b"HTTP/1.1 401 No\r\nContent-Length: 3\r\n\r\n\xff\xfe\xfd", "\ufffd\ufffd\ufffd"),
    ],
)
def test_a_refusal_is_understood_however_it_is_worded(answer: bytes, reason: str) -> None:
    error = dialled_against(answer)
    assert isinstance(error, KeyRefused)
    assert error.details["reason"] == reason


HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\xff\xfe\x00garbage\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 101 ok\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: -5\r\n\r\nabc",
        b"HTTP/1.1 302 Found\r\nLocation: ws://elsewhere.example.com/\r\n\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
        b"HTTP/1.1 500 No\r\nContent-Length: 999999999\r\n\r\n" + bytes(200_000),
        HEAD + b"X: " + b"y" * 200_000,
        HEAD + b"Sec-WebSocket-Accept: wrong\r\nSec-WebSocket-Protocol: cmdop.v1\r\n\r\n",
        HEAD + b"\r\n",
        HEAD[:40],
    ],
)
def test_an_answer_of_something_else_is_one_sentence(answer: bytes) -> None:
    error = dialled_against(answer)
    assert isinstance(error, RelayUnreachable)
    assert error.details["reason"]
    assert "\n" not in error.sentence


def test_a_relay_that_chooses_another_subprotocol_is_refused() -> None:
    import base64
    import hashlib

    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            sock, _ = server.accept()
            with sock:
                key = read_head(sock).split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
                accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
                sock.sendall(HEAD + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
                read_all(sock)

        serving = in_thread(serve)
        address = ServerAddress(False, "127.0.0.1", server.getsockname()[1])
        with pytest.raises(RelayUnreachable, match=r"does not speak cmdop\.v1"):
            dial(Dialling(address, "key.a.00"))
        serving.result(PATIENCE_SECONDS)


def test_a_relay_that_does_not_answer_is_given_up_in_time() -> None:
    error = dialled_against(b"", UNIT_SECONDS / 20)
    assert isinstance(error, RelayUnreachable)
    assert error.details["reason"] == "no answer within 0.05 s"


def test_a_relay_that_answers_a_byte_at_a_time_gets_no_more_time() -> None:
    timeout_seconds = UNIT_SECONDS / 5
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            sock, _ = server.accept()
            with sock:
                gap = threading.Event()
                for byte in HEAD * 100:
                    try:
                        sock.sendall(bytes([byte]))
                    except OSError:
                        return
                    gap.wait(timeout_seconds / 4)

        serving = in_thread(serve)
        address = ServerAddress(False, "127.0.0.1", server.getsockname()[1])
        with pytest.raises(RelayUnreachable, match="no answer within"):
            dial(Dialling(address, "key.a.00"), timeout_seconds)
        serving.result(PATIENCE_SECONDS)


def test_a_relay_that_is_not_there_is_unreachable() -> None:
    with listening() as listener:
        address = where(listener)
    with pytest.raises(RelayUnreachable, match="connection refused"):
        dial(Dialling(address, "key.a.00"))


@pytest.mark.parametrize("host", ["a..b", "x" * 70 + ".example.com", ".example.com"])
def test_a_host_name_that_cannot_be_one_is_unreachable(host: str) -> None:
    with pytest.raises(RelayUnreachable):
        dial(Dialling(ServerAddress(True, host, 443), "key.a.00"))


def test_plain_text_over_a_network_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(PlainTextRefused):
        dial(Dialling(ServerAddress(False, "192.0.2.1", 80), "key.a.00"))


def test_a_certificate_that_nobody_vouches_for_is_refused(authority: Authority) -> None:
    with listening(authority.server) as listener:
        arriving = in_thread(lambda: listener.accept().upgrade(welcome_everybody))
        with pytest.raises(RelayUnreachable, match="its certificate is not trusted"):
            dial(Dialling(where(listener, True, "localhost"), "key.a.00"))
        assert arriving.result(PATIENCE_SECONDS) is None


def test_a_certificate_for_another_name_is_refused(authority: Authority) -> None:
    with listening(authority.server) as listener:
        arriving = in_thread(lambda: listener.accept().upgrade(welcome_everybody))
        with pytest.raises(RelayUnreachable, match="its certificate is not trusted"):
            dial(Dialling(where(listener, True, "127.0.0.1"), "key.a.00", ca_file=authority.ca_file))
        assert arriving.result(PATIENCE_SECONDS) is None


def test_tls_to_a_relay_without_it_says_so(authority: Authority) -> None:
    with listening() as listener:
        arriving = in_thread(lambda: listener.accept().upgrade(welcome_everybody))
        with pytest.raises(RelayUnreachable):
            dial(Dialling(where(listener, True, "localhost"), "key.a.00", ca_file=authority.ca_file))
        assert arriving.result(PATIENCE_SECONDS) is None


def test_a_missing_authority_file_is_one_sentence(tmp_path: Path) -> None:
    with listening() as listener, pytest.raises(RelayUnreachable):
        dial(Dialling(where(listener, True, "localhost"), "key.a.00", ca_file=tmp_path / "none.pem"))


def test_a_tls_record_that_was_meddled_with_ends_the_connection(authority: Authority) -> None:
    with two_ends(tls=authority.server, ca_file=authority.ca_file) as (dialled, accepted):
        dialled._sock.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
        with pytest.raises(ConnectionClosed):
            accepted.receive()
        with pytest.raises(ConnectionClosed):
            accepted.send(b"too late")


# -- listening --------------------------------------------------------------------------------------------------------


def test_an_address_in_use_is_one_sentence() -> None:
    with listening() as listener:
        host, port = listener.address
        with pytest.raises(AddressInUse) as refused:
            Listener(host, port)
        assert f"{host}:{port}" in refused.value.sentence


@pytest.mark.parametrize(
    ("host", "port"), [("no.such.host.invalid", 0), ("127.0.0.1", 70_000), ("192.0.2.1", 0), ("a..b", 0)]
)
def test_an_address_that_is_not_ours_is_one_sentence(host: str, port: int) -> None:
    with pytest.raises(AddressInUse):
        Listener(host, port)


def test_closing_wakes_accept_and_twice_is_quiet() -> None:
    with listening() as listener:
        accepting = in_thread(listener.accept)
        listener.close()
        assert isinstance(accepting.exception(PATIENCE_SECONDS), ConnectionClosed)
        listener.close()


def test_a_listener_without_descriptors_turns_one_away_and_goes_on() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with listening() as listener:
        client, next_client = socket.socket(), socket.socket()
        for sock in (client, next_client):
            sock.settimeout(PATIENCE_SECONDS)
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))
        hoard = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 2, hard))
        try:
            while True:
                try:
                    hoard.append(os.open(os.devnull, os.O_RDONLY))
                except OSError:
                    break
            client.connect(listener.address)
            accepting = in_thread(listener.accept)
            assert client.recv(1) == b"", "it was turned away"
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for descriptor in hoard:
                os.close(descriptor)
        next_client.connect(listener.address)
        accepting.result(PATIENCE_SECONDS).close()
        client.close()
        next_client.close()
