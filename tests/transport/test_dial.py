"""The upgrade as the dialling end sees it: every answer that is none is one sentence."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path

import pytest

from cmdop.errors import (
    BadCaFile,
    CmdopError,
    KeyRefused,
    PlainTextRefused,
    RelayUnreachable,
    RelayUntrusted,
)
from cmdop.transport.accept import HttpAnswer, UpgradeRequest
from cmdop.transport.address import ServerAddress
from cmdop.transport.dial import Dialling, dial
from cmdop.transport.way import Way
from tests.transport.ends import (
    PATIENCE_SECONDS,
    UNIT_SECONDS,
    Authority,
    in_thread,
    listening,
    read_all,
    read_head,
    welcome_everybody,
    where,
)

pytestmark = pytest.mark.usefixtures("_nothing_is_left")


def refuse(request: UpgradeRequest) -> HttpAnswer:
    return HttpAnswer(401, "key-refused: it was revoked\n", {"Content-Type": "text/plain"})


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
        arriving = in_thread(lambda: [listener.accept().upgrade(welcome_everybody) for _ in range(2)])
        said = 'its certificate was issued by "a test\'s own", which is not trusted here'
        with pytest.raises(RelayUntrusted, match=said):
            dial(Dialling(where(listener, True, "localhost"), "key.a.00"))
        assert arriving.result(PATIENCE_SECONDS) == [None, None]


def test_a_certificate_for_another_name_is_refused(authority: Authority) -> None:
    with listening(authority.server) as listener:
        arriving = in_thread(lambda: [listener.accept().upgrade(welcome_everybody) for _ in range(2)])
        said = r"its certificate is not trusted \(IP address mismatch.+\); it was issued by \"a test's own\""
        with pytest.raises(RelayUntrusted, match=said):
            dial(Dialling(where(listener, True, "127.0.0.1"), "key.a.00", way=Way(ca_file=authority.ca_file)))
        assert arriving.result(PATIENCE_SECONDS) == [None, None]


def test_tls_to_a_relay_without_it_says_so(authority: Authority) -> None:
    with listening() as listener:
        arriving = in_thread(lambda: listener.accept().upgrade(welcome_everybody))
        with pytest.raises(RelayUnreachable, match="a relay without TLS wants ws://"):
            dial(Dialling(where(listener, True, "localhost"), "key.a.00", way=Way(ca_file=authority.ca_file)))
        assert arriving.result(PATIENCE_SECONDS) is None


def test_plain_text_to_a_relay_with_tls_says_so(authority: Authority) -> None:
    with listening(authority.server) as listener:
        arriving = in_thread(lambda: listener.accept().upgrade(welcome_everybody))
        with pytest.raises(RelayUnreachable, match="a relay with TLS wants wss://"):
            dial(Dialling(where(listener), "key.a.00"))
        assert arriving.result(PATIENCE_SECONDS) is None


def test_a_missing_authority_file_is_one_sentence(tmp_path: Path) -> None:
    with listening() as listener, pytest.raises(BadCaFile, match=r"none\.pem cannot be used: No such file"):
        dial(Dialling(where(listener, True, "localhost"), "key.a.00", way=Way(ca_file=tmp_path / "none.pem")))
