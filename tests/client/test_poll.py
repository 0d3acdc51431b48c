"""Waiting for a connection and a terminal at once."""

from __future__ import annotations

import fcntl
import os
import resource
import socket
import threading
from collections.abc import Iterator

import pytest

from cmdop.client.poll import wait_for
from cmdop.transport.memory import MemoryConnection, memory_pair

LONG_SECONDS = 60.0
FD_SETSIZE = 1024


def moved(fd: int) -> int:
    """The same file behind a descriptor that is too large for select."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2 * FD_SETSIZE:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(2 * FD_SETSIZE, hard), hard))
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FD_SETSIZE)
    except OSError:
        pytest.skip("this user may have fewer descriptors than select can wait for")
    finally:
        os.close(fd)


@pytest.fixture
def pair() -> tuple[MemoryConnection, MemoryConnection]:
    return memory_pair()


@pytest.fixture(params=["few", "a thousand"])
def full_pipe(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """The reading end, and the writing end of a pipe that is full; among few or many descriptors."""
    reader, writer = os.pipe()
    if request.param == "a thousand":
        reader, writer = moved(reader), moved(writer)
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, bytes(65536))
    except BlockingIOError:
        pass
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            pass


def test_nothing_happened_when_time_is_up(
    pair: tuple[MemoryConnection, MemoryConnection], full_pipe: tuple[int, int]
) -> None:
    assert wait_for(pair[0], full_pipe[1], 0.0) == (False, False)
    assert wait_for(pair[0], full_pipe[1], 0.001) == (False, False)
    assert wait_for(None, None, 0.0) == (False, False)
    assert wait_for(None, None, -1.0) == (False, False)


def test_a_message_and_room_are_told_apart(
    pair: tuple[MemoryConnection, MemoryConnection], full_pipe: tuple[int, int]
) -> None:
    pair[1].send(b"x")
    assert wait_for(pair[0], full_pipe[1], LONG_SECONDS) == (True, False)
    os.read(full_pipe[0], 65536)
    assert wait_for(pair[0], full_pipe[1], LONG_SECONDS) == (True, True)
    pair[0].receive()
    assert wait_for(pair[0], full_pipe[1], LONG_SECONDS) == (False, True)


def test_a_message_wakes_who_waits(pair: tuple[MemoryConnection, MemoryConnection], full_pipe: tuple[int, int]) -> None:
    sender = threading.Thread(target=pair[1].send, args=(b"x",), daemon=True)
    sender.start()
    assert wait_for(pair[0], full_pipe[1], LONG_SECONDS) == (True, False)
    sender.join()


def test_a_closed_connection_counts_as_readable(pair: tuple[MemoryConnection, MemoryConnection]) -> None:
    pair[1].close()
    assert wait_for(pair[0], None, LONG_SECONDS)[0]
    with pytest.raises(Exception, match="closed"):
        pair[0].receive()
    assert wait_for(pair[0], None, LONG_SECONDS)[0]


def test_a_socket_among_a_thousand_descriptors_is_waited_for() -> None:
    one, other = socket.socketpair()
    with socket.socket(fileno=moved(one.detach())) as far, other:
        assert wait_for(far, None, 0.0) == (False, False)
        other.send(b"x")
        assert wait_for(far, None, LONG_SECONDS) == (True, False)
        far.recv(1)
        other.close()
        assert wait_for(far, None, LONG_SECONDS) == (True, False)


def test_a_closed_socket_counts_as_readable() -> None:
    one, other = socket.socketpair()
    other.close()
    with one:
        assert wait_for(one, None, LONG_SECONDS)[0]
    assert wait_for(one, None, LONG_SECONDS)[0]


def test_a_terminal_whose_other_end_is_gone_counts_as_writable(full_pipe: tuple[int, int]) -> None:
    os.close(full_pipe[0])
    assert wait_for(None, full_pipe[1], LONG_SECONDS)[1]
