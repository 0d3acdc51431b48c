"""The way to a relay step by step: each that does not work is named, with what is in the way."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.errors import RelayUnreachable, RelayUntrusted
from cmdop.transport import probe
from cmdop.transport.accept import HttpAnswer, UpgradeRequest
from cmdop.transport.address import ServerAddress
from cmdop.transport.certificate import issuer_of
from cmdop.transport.listener import Listener
from cmdop.transport.probe import Answer, ask_upgrade, look_up, reach, shake_hands
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


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def answered_with(answer: bytes, timeout_seconds: float = PATIENCE_SECONDS) -> Answer:
    """What is understood when the other side answers the upgrade with these bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            sock, _ = server.accept()
            with sock, contextlib.suppress(OSError):
                read_head(sock)
                sock.sendall(answer)
                if answer:
                    sock.shutdown(socket.SHUT_WR)
                read_all(sock)

        serving = in_thread(serve)
        try:
            return ask_upgrade(ServerAddress(False, "127.0.0.1", server.getsockname()[1]), "key.a.00", timeout_seconds)
        finally:
            serving.result(PATIENCE_SECONDS)


def upgraded_by(listener: Listener, answer: HttpAnswer | None = None) -> Callable[[], UpgradeRequest]:
    """Let one who arrives in, or answer; what was asked."""
    asked: list[UpgradeRequest] = []

    def decide(request: UpgradeRequest) -> HttpAnswer | None:
        asked.append(request)
        return answer

    def serve() -> None:
        connection = listener.accept().upgrade(decide)
        if connection is not None:
            connection.close()
            connection.release()

    serving = in_thread(serve)

    def request() -> UpgradeRequest:
        serving.result(PATIENCE_SECONDS)
        return asked[0]

    return request


# -- names and connections ----------------------------------------------------------------


def test_an_address_is_its_own() -> None:
    assert look_up(ServerAddress(False, "127.0.0.1", 80)) == ["127.0.0.1"]


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 64 + ".test", "x..y", "\udc80"])
def test_a_name_that_cannot_be_looked_up_is_one_sentence(host: str) -> None:
    with pytest.raises(RelayUnreachable):
        look_up(ServerAddress(False, host, 80))


def test_connecting_tells_how_long_it_took() -> None:
    with listening() as listener:
        arriving = in_thread(listener.accept)
        assert 0 <= reach(where(listener), PATIENCE_SECONDS) < PATIENCE_SECONDS
        arriving.result(PATIENCE_SECONDS).close()


def test_a_port_that_nobody_listens_on_is_refused() -> None:
    with pytest.raises(RelayUnreachable, match="connection refused"):
        reach(ServerAddress(False, "127.0.0.1", closed_port()), PATIENCE_SECONDS)


# -- TLS ----------------------------------------------------------------------------------


def test_a_trusted_certificate_tells_who_issued_it_and_until_when(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    with listening(authority.server) as listener:
        arriving = in_thread(lambda: listener.accept().upgrade(welcome_everybody))
        about = shake_hands(where(listener, True, "localhost"), PATIENCE_SECONDS)
        assert arriving.result(PATIENCE_SECONDS) is None
    assert about.version.startswith("TLSv1.")
    assert about.issuer == '"a test\'s own"'
    assert 0 < about.expires - time.time() < 2 * 24 * 3600


def test_a_certificate_that_nobody_trusts_tells_who_issued_it(authority: Authority) -> None:
    with listening(authority.server) as listener:
        arriving = in_thread(lambda: [listener.accept().upgrade(welcome_everybody) for _ in range(2)])
        with pytest.raises(RelayUntrusted, match='issued by "a test\'s own", which is not trusted here'):
            shake_hands(where(listener, True, "localhost"), PATIENCE_SECONDS)
        assert arriving.result(PATIENCE_SECONDS) == [None, None]


def test_who_hides_behind_a_bad_certificate_is_not_trusted_either(authority: Authority) -> None:
    with listening(authority.server) as listener:

        def only_once() -> None:
            listener.accept().upgrade(welcome_everybody)
            listener.accept().close()

        arriving = in_thread(only_once)
        with pytest.raises(RelayUntrusted, match=r"its certificate is not trusted \(.+\)$"):
            shake_hands(where(listener, True, "localhost"), PATIENCE_SECONDS)
        arriving.result(PATIENCE_SECONDS)


def test_tls_with_who_speaks_none_is_one_sentence() -> None:
    with listening() as listener:
        arriving = in_thread(lambda: listener.accept().upgrade(welcome_everybody))
        with pytest.raises(RelayUnreachable):
            shake_hands(where(listener, True, "localhost"), PATIENCE_SECONDS)
        assert arriving.result(PATIENCE_SECONDS) is None


def test_a_certificate_that_issued_itself_is_said_to(tmp_path: Path) -> None:
    import ssl

    assert issuer_of(ssl.PEM_cert_to_DER_cert(Authority(tmp_path).ca_file.read_text())) == ('itself, "a test\'s own"')


@given(st.binary(max_size=200))
def test_what_is_no_certificate_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - there is no narrower one
        issuer_of(data)


# -- the upgrade --------------------------------------------------------------------------


def test_a_relay_that_lets_us_in_is_seen_with_its_clock() -> None:
    with listening() as listener:
        request = upgraded_by(listener)
        answer = ask_upgrade(where(listener), "key.a.00", PATIENCE_SECONDS)
        assert request().headers["authorization"] == "Bearer key.a.00"
    assert (answer.status, answer.upgraded, answer.refusal) == (101, True, "")
    assert answer.date is not None
    assert abs(answer.date - time.time()) < 60


def test_over_tls_it_is_the_same(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    with listening(authority.server) as listener:
        request = upgraded_by(listener)
        assert ask_upgrade(where(listener, True, "localhost"), "key.a.00", PATIENCE_SECONDS).upgraded
        request()


def test_who_is_not_trusted_is_not_told_the_credential(authority: Authority) -> None:
    with listening(authority.server) as listener:
        asked: list[UpgradeRequest] = []
        arriving = in_thread(lambda: listener.accept().upgrade(asked.append))
        with pytest.raises(RelayUntrusted):
            ask_upgrade(where(listener, True, "localhost"), "key.a.00", PATIENCE_SECONDS)
        assert arriving.result(PATIENCE_SECONDS) is None
        assert asked == []


def test_without_a_credential_none_is_shown() -> None:
    with listening() as listener:
        request = upgraded_by(listener, HttpAnswer(401, "key-refused: no API key was shown\n"))
        answer = ask_upgrade(where(listener), "", PATIENCE_SECONDS)
        assert "authorization" not in request().headers
    assert (answer.status, answer.upgraded, answer.refusal) == (401, False, "no API key was shown")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 24\r\n\r\n<html>Denied: by a proxy",
        b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\nkey-refused: odd",
        b"HTTP/1.1 200 OK\r\nSec-WebSocket-Protocol: cmdop.v1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 407 Proxy\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nDate: yesterday\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_an_answer_of_no_relay_is_neither_an_upgrade_nor_a_refusal(answer: bytes) -> None:
    understood = answered_with(answer)
    assert not understood.upgraded
    assert not understood.refusal
    assert understood.date is None


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
    ],
)
def test_an_answer_that_is_no_http_is_one_sentence(answer: bytes) -> None:
    with pytest.raises(RelayUnreachable):
        answered_with(answer)


def test_who_never_answers_is_given_up() -> None:
    with pytest.raises(RelayUnreachable, match="no answer within"):
        answered_with(b"", 0.1 * UNIT_SECONDS)


@given(st.text(max_size=60))
def test_no_date_is_too_odd(text: str) -> None:
    assert probe._date(text) is None or isinstance(probe._date(text), float)
