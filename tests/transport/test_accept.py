"""The upgrade, as the accepting end sees it."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from cmdop.transport.accept import HttpAnswer, UpgradeRequest
from tests.transport.ends import (
    PATIENCE_SECONDS,
    UNIT_SECONDS,
    Authority,
    in_thread,
    listening,
    read_all,
    two_ends,
    upgrade_request,
    welcome_everybody,
)

pytestmark = pytest.mark.usefixtures("_nothing_is_left")


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


@pytest.mark.parametrize("path", ["/v1", "/healthz"])
@pytest.mark.parametrize(
    "behind", [b"\x82\x81\0\0\0\0x", b"\x89\x80\0\0\0\0", b"\x82\x85", b"garbage", b"GET / HTTP/1.1\r\n\r\n"]
)
@pytest.mark.parametrize("at_once", [True, False])
def test_who_goes_on_before_it_is_answered_becomes_no_connection(path: str, behind: bytes, at_once: bool) -> None:
    request = upgrade_request().replace(b"/v1", path.encode())
    health = HttpAnswer(200, "ok\n")
    with listening() as listener:
        arriving = in_thread(lambda: listener.accept().upgrade(lambda asked: None if asked.path == "/v1" else health))
        with socket.create_connection(listener.address, PATIENCE_SECONDS) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in [request + behind] if at_once else [request[:-2], request[-2:] + behind]:
                client.sendall(piece)
            with contextlib.suppress(ConnectionResetError):
                assert read_all(client) == b""
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
