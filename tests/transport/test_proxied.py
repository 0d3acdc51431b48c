"""Through proxies of every kind of manners: either the relay is reached, or one sentence says why not."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdop.deadline import Deadline
from cmdop.errors import (
    CmdopError,
    ProxyPasswordRefused,
    ProxyRefused,
    ProxyUnreachable,
    RelayUntrusted,
)
from cmdop.transport.address import ServerAddress
from cmdop.transport.dial import Dialling, dial
from cmdop.transport.probe import shake_hands
from cmdop.transport.proxied import through
from cmdop.transport.proxy import Proxies, Said, parse_proxy
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
)

pytestmark = pytest.mark.usefixtures("_nothing_is_left")

RELAY = ServerAddress(True, "relay.test", 7420)
"""A name that only a proxy knows."""
OPENED = b"HTTP/1.1 200 Connection established\r\nProxy-agent: a test\r\n\r\n"
GREETED, GRANTED = b"\x05\x00", b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"

Serve = Callable[[socket.socket], None]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), RELAY.host)


@contextmanager
def proxy(serve: Serve, scheme: str = "http", credentials: str = "", connections: int = 1) -> Iterator[str]:
    """A proxy that treats so many connections like that; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run() -> None:
            for _ in range(connections):
                sock, _ = server.accept()
                with sock, contextlib.suppress(OSError):
                    serve(sock)

        serving = in_thread(run)
        yield f"{scheme}://{credentials}127.0.0.1:{server.getsockname()[1]}"
        serving.result(PATIENCE_SECONDS)


def answering(*answers: bytes, end: bool = True) -> Serve:
    """Reads something before each answer; ends, or waits for the other side to."""

    def serve(sock: socket.socket) -> None:
        for answer in answers:
            sock.recv(65536)
            sock.sendall(answer)
        if end:
            sock.shutdown(socket.SHUT_WR)
        read_all(sock)

    return serve


def refused_by(url: str, timeout_seconds: float = PATIENCE_SECONDS) -> CmdopError:
    with pytest.raises(CmdopError) as refused:
        through(parse_proxy(Said("HTTPS_PROXY", url)), RELAY, Deadline(timeout_seconds))
    return refused.value


# -- what it says ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nX: y\r\n\r\n<html>", ProxyPasswordRefused, "407 Proxy Auth"),
        (b"HTTP/1.0 401 Unauthorized\r\n\r\n", ProxyPasswordRefused, "401 Unauthorized"),
        (b"HTTP/1.0 403 Filtered\r\n\r\n", ProxyRefused, "403 Filtered"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\nno no", ProxyRefused, "502 Bad Gateway"),
        (b"HTTP/1.1 301 Moved\r\nLocation: http://elsewhere\r\n\r\n", ProxyRefused, "301 Moved"),
        (b"HTTP/1.1 500 \x1b[31m" + b"x" * 5000 + b"\r\n\r\n", ProxyRefused, "500 "),
        (b"", ProxyUnreachable, "it closed the connection"),
        (b"HTTP/1.1 200 OK\r\nX: y", ProxyUnreachable, "it closed the connection"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", ProxyUnreachable, "it speaks no such proxy's protocol"),
        (b"\xff\xfe\x00\r\n\r\n", ProxyUnreachable, "it speaks no such proxy's protocol"),
        (b"HTTP/1.1 two hundred\r\n\r\n", ProxyUnreachable, "it speaks no such proxy's protocol"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000, ProxyUnreachable, "it speaks no such proxy's protocol"),
    ],
)
def test_an_http_proxy_that_opens_no_way_is_one_sentence(answer: bytes, kind: type[CmdopError], reason: str) -> None:
    with proxy(answering(answer), credentials="ann:hush@") as url:
        error = refused_by(url)
    assert type(error) is kind
    assert error.details["reason"].startswith(reason)
    shown = f"{error.sentence} {error.next_step} {error.details}"
    assert "hush" not in shown
    assert "\x1b" not in error.sentence
    assert len(error.sentence) < 300
    assert url.replace("ann:hush@", "") in error.sentence


@pytest.mark.parametrize(
    ("answers", "kind", "reason"),
    [
        ((b"\x05\xff",), ProxyPasswordRefused, "No acceptable"),
        ((b"\x05\x02", b"\x01\x01"), ProxyPasswordRefused, "Username and password"),
        ((GREETED, b"\x05\x02\x00"), ProxyRefused, "Connection not allowed by ruleset"),
        ((GREETED, b"\x05\x04\x00"), ProxyRefused, "Host unreachable"),
        ((GREETED, b"\x05\x63\x00"), ProxyUnreachable, "it speaks no such proxy's protocol"),
        ((GREETED, b"\x05\x00\x00\x09"), ProxyUnreachable, "it "),
        ((GREETED, b"\x05\x00\x00\x03\xff\xff"), ProxyUnreachable, "it closed the connection"),
        ((GREETED, b"\x05\x00\x00\x03\x02\xff\xff\x00\x00"), ProxyUnreachable, "it speaks no such proxy's protocol"),
        ((b"HTTP/1.1 400 Bad Request\r\n\r\n",), ProxyUnreachable, "it speaks no such proxy's protocol"),
        ((b"\x05",), ProxyUnreachable, "it closed the connection"),
        ((b"",), ProxyUnreachable, "it closed the connection"),
    ],
)
def test_a_socks_proxy_that_opens_no_way_is_one_sentence(
    answers: tuple[bytes, ...], kind: type[CmdopError], reason: str
) -> None:
    with proxy(answering(*answers), "socks5", "ann:hush@") as url:
        error = refused_by(url)
    assert type(error) is kind
    assert error.details["reason"].startswith(reason)
    assert "hush" not in f"{error.sentence} {error.next_step} {error.details}"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"\x00\x5b\x00\x00\x00\x00\x00\x00", ProxyRefused),
        (b"\x00\x5d", ProxyUnreachable),
        (b"SSH-2.0-", ProxyUnreachable),
    ],
)
def test_an_old_socks_proxy_is_understood_as_well(answer: bytes, kind: type[CmdopError]) -> None:
    with proxy(answering(answer), "socks4") as url:
        assert type(refused_by(url)) is kind


@settings(max_examples=50)
@given(st.binary(max_size=40), st.sampled_from(["http", "socks4", "socks5"]))
def test_no_answer_is_too_odd(answer: bytes, scheme: str) -> None:
    with (
        proxy(answering(answer), scheme) as url,
        contextlib.suppress(ProxyUnreachable, ProxyRefused, ProxyPasswordRefused),
    ):
        through(parse_proxy(Said("ALL_PROXY", url)), RELAY, Deadline(PATIENCE_SECONDS)).close()


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_a_proxy_that_hangs_is_given_up_in_time(scheme: str) -> None:
    with proxy(answering(b"", end=False), scheme) as url:
        error = refused_by(url, UNIT_SECONDS / 20)
    assert type(error) is ProxyUnreachable
    assert error.details["reason"] == "no answer within 0.05 s"


def test_a_proxy_that_answers_a_byte_at_a_time_gets_no_more_time() -> None:
    timeout_seconds, gap = UNIT_SECONDS / 5, threading.Event()

    def drip(sock: socket.socket) -> None:
        for byte in OPENED:
            sock.sendall(bytes([byte]))
            gap.wait(timeout_seconds / 4)

    with proxy(drip) as url:
        assert refused_by(url, timeout_seconds).details["reason"].startswith("no answer within")


def test_a_proxy_that_is_not_there_is_named_with_its_variable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    error = refused_by(url.replace("//", "//ann:hush@"))
    assert error.sentence == (
        f"cannot reach the relay wss://relay.test:7420: the proxy {url} is in between, and connection refused"
    )
    assert error.next_step == "it is the one of HTTPS_PROXY; see what works: cmdop doctor"
    assert (error.code, error.exit_status) == ("proxy-unreachable", 4)


def test_a_proxy_whose_name_nobody_knows_is_named_too() -> None:
    assert type(refused_by("http://a..b:1")) is ProxyUnreachable


# -- what it is told ------------------------------------------------------------------------


def test_an_http_proxy_is_told_the_relays_name_and_the_password_in_utf_8() -> None:
    heads: list[bytes] = []

    def serve(sock: socket.socket) -> None:
        heads.append(read_head(sock))
        sock.sendall(OPENED)
        read_all(sock)

    with proxy(serve, credentials="gr%C3%BCn:h%40sh@") as url:
        through(parse_proxy(Said("X", url)), RELAY, Deadline(PATIENCE_SECONDS)).close()
    lines = heads[0].decode().splitlines()
    assert lines[0] == "CONNECT relay.test:7420 HTTP/1.1"
    # base64 of the bytes of "grün:h@sh"
    assert "Proxy-Authorization: Basic Z3LDvG46aEBzaA==" in lines


def test_a_socks_proxy_is_told_the_relays_name() -> None:
    said: list[bytes] = []

    def serve(sock: socket.socket) -> None:
        for answer in (GREETED, GRANTED):
            said.append(sock.recv(65536))
            sock.sendall(answer)
        read_all(sock)

    with proxy(serve, "socks5") as url:
        through(parse_proxy(Said("X", url)), RELAY, Deadline(PATIENCE_SECONDS)).close()
    assert said[1] == b"\x05\x01\x00\x03\x0arelay.test" + (7420).to_bytes(2, "big")


# -- the whole way --------------------------------------------------------------------------


def opening(to: tuple[str, int], *pieces: bytes) -> Serve:
    """An HTTP proxy that opens the way, answering in these pieces."""

    def serve(sock: socket.socket) -> None:
        read_head(sock)
        with socket.create_connection(to, PATIENCE_SECONDS) as onward:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                sock.sendall(piece)
            back = in_thread(lambda: carry(onward, sock))
            carry(sock, onward)
            back.result(PATIENCE_SECONDS)

    return serve


def carry(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def way_through(url: str, ca_file: Path | None = None) -> Way:
    said = Said("HTTPS_PROXY", url)
    return Way(ca_file=ca_file, proxies=Proxies(said, said))


@pytest.mark.parametrize(
    "pieces",
    [(OPENED,), (OPENED[:20], OPENED[20:-1], OPENED[-1:]), tuple(OPENED[i : i + 1] for i in range(len(OPENED)))],
)
def test_the_relay_is_reached_however_the_answer_is_cut(authority: Authority, pieces: tuple[bytes, ...]) -> None:
    with listening(authority.server) as listener, proxy(opening(listener.address, *pieces)) as url:
        accepting = in_thread(lambda: listener.accept().upgrade(welcome_everybody))
        dialled = dial(Dialling(RELAY, "key.a.00", way=way_through(url, authority.ca_file)))
        accepted = accepting.result(PATIENCE_SECONDS)
        assert accepted is not None
        dialled.send(b"to the relay")
        assert accepted.receive() == b"to the relay"
        accepted.send(b"and back")
        assert dialled.receive() == b"and back"
        for end in (dialled, accepted):
            end.close()
            end.release()


def test_the_proxys_word_for_who_the_relay_is_is_not_enough(tmp_path: Path) -> None:
    """One that opens TLS is found out, and named, though it opens the way."""
    in_between = Authority(tmp_path, RELAY.host)
    with listening(in_between.server) as listener, proxy(opening(listener.address, OPENED), connections=2) as url:
        arriving = in_thread(lambda: [listener.accept().upgrade(welcome_everybody) for _ in range(2)])
        with pytest.raises(RelayUntrusted) as refused:
            dial(Dialling(RELAY, "key.a.00", way=way_through(url)))
        assert arriving.result(PATIENCE_SECONDS) == [None, None]
    assert 'its certificate was issued by "a test\'s own", which is not trusted here' in refused.value.sentence
    assert "--ca-file" in refused.value.next_step


def test_a_certificate_for_another_name_is_refused_behind_a_proxy_too(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "other.test")
    with listening(authority.server) as listener, proxy(opening(listener.address, OPENED), connections=2) as url:
        arriving = in_thread(lambda: [listener.accept().upgrade(welcome_everybody) for _ in range(2)])
        with pytest.raises(RelayUntrusted, match=r"Hostname mismatch.+; it was issued by"):
            shake_hands(RELAY, PATIENCE_SECONDS, way_through(url, authority.ca_file))
        assert arriving.result(PATIENCE_SECONDS) == [None, None]


def test_who_issued_it_is_not_worth_more_than_the_time_that_was_given(authority: Authority) -> None:
    """The second look at a certificate goes to a proxy that hangs by then."""
    served: list[int] = []

    with listening(authority.server) as listener:

        def once(sock: socket.socket) -> None:
            served.append(1)
            (opening(listener.address, OPENED) if len(served) == 1 else read_all)(sock)

        with proxy(once, connections=2) as url:
            arriving = in_thread(lambda: listener.accept().upgrade(welcome_everybody))
            with pytest.raises(RelayUntrusted, match=r"is not trusted \(.+\)$"):
                dial(Dialling(RELAY, "key.a.00", way=way_through(url)), UNIT_SECONDS)
            assert arriving.result(PATIENCE_SECONDS) is None


def test_a_proxy_that_cuts_the_way_off_later_is_named(authority: Authority) -> None:
    def cut(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(OPENED)
        sock.recv(65536)

    with proxy(cut) as url, pytest.raises(ProxyUnreachable, match="is in between, and "):
        dial(Dialling(RELAY, "key.a.00", way=way_through(url, authority.ca_file)))


def test_plain_text_is_not_sent_over_a_network_because_a_proxy_is_near() -> None:
    from cmdop.errors import PlainTextRefused

    with pytest.raises(PlainTextRefused):
        dial(Dialling(ServerAddress(False, "relay.test", 80), "key.a.00", way=way_through("http://127.0.0.1:1")))
