"""The bad network is as bad as it says, and loses nothing that it does not mean to lose."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests_e2e.fault import FaultProxy, bad_way
from tests_e2e.timing import STEP_SECONDS

DATA = bytes(range(256)) * 4000


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """A server that says everything again."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data)

    def accept() -> None:
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.fixture
def proxy(echo: tuple[str, int]) -> Iterator[FaultProxy]:
    with bad_way(echo) as way:
        yield way


def dial(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(proxy.address, STEP_SECONDS)


def send(connection: socket.socket, data: bytes) -> None:
    """All of it, or as much as goes."""
    with contextlib.suppress(OSError):
        connection.sendall(data)


def said_again(connection: socket.socket, data: bytes) -> bytes:
    """What comes back for this much."""
    threading.Thread(target=send, args=(connection, data), daemon=True).start()
    heard = bytearray()
    while len(heard) < len(data):
        heard += connection.recv(65536)
    return bytes(heard)


def end_of(connection: socket.socket) -> str:
    """How a connection ends."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        return "reset"
    return "cut"


def test_a_good_way_carries_everything_and_then_the_end(proxy: FaultProxy) -> None:
    with dial(proxy) as connection:
        assert said_again(connection, DATA) == DATA
        assert proxy.carried_bytes == 2 * len(DATA)
        connection.shutdown(socket.SHUT_WR)
        assert end_of(connection) == "cut"
    proxy.until_connected(0, STEP_SECONDS)


def test_a_long_way_delays_and_a_narrow_one_throttles(proxy: FaultProxy) -> None:
    with dial(proxy) as connection:
        proxy.slow(delay_seconds=0.05)
        began = time.monotonic()
        assert said_again(connection, b"x") == b"x"
        assert time.monotonic() - began >= 0.1
        proxy.slow(rate_bytes=1_000_000)
        began = time.monotonic()
        assert said_again(connection, DATA[:200_000]) == DATA[:200_000]
        assert time.monotonic() - began >= 0.19


@pytest.mark.parametrize("how", ["cut", "reset"])
def test_a_connection_ends_as_it_was_told(proxy: FaultProxy, how: str) -> None:
    with dial(proxy) as connection:
        assert said_again(connection, b"x") == b"x"
        getattr(proxy, how)()
        assert end_of(connection) == how
    with dial(proxy) as connection:
        assert said_again(connection, DATA) == DATA


def test_a_black_hole_tells_nobody_and_gives_everything_back(proxy: FaultProxy) -> None:
    with dial(proxy) as connection:
        proxy.blackhole(0.3)
        began = time.monotonic()
        assert said_again(connection, DATA) == DATA
        assert time.monotonic() - began >= 0.25


def test_who_is_refused_is_let_in_again_later(proxy: FaultProxy) -> None:
    with dial(proxy) as connection:
        assert said_again(connection, b"x") == b"x"
        proxy.refuse(0.2)
        assert end_of(connection) == "cut"
    refused = 0
    while True:
        try:
            dial(proxy).close()
            break
        except ConnectionRefusedError:
            refused += 1
    assert refused > 0


def test_a_fault_comes_when_so_much_has_passed(proxy: FaultProxy) -> None:
    proxy.after(300_000, proxy.reset)
    with dial(proxy) as connection:
        threading.Thread(target=send, args=(connection, DATA), daemon=True).start()
        assert end_of(connection) == "reset"
    assert 300_000 <= proxy.carried_bytes < 600_000
    assert proxy.planned == 0


def test_nobody_behind_it_is_an_end_and_no_silence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = listener.getsockname()
    with bad_way(nobody) as way, pytest.raises(ConnectionResetError), dial(way) as connection:  # sooner or later
        connection.recv(1)
