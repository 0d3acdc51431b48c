"""Listening: where, until when, and with no descriptor left."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from cmdop.errors import AddressInUse, ConnectionClosed
from cmdop.transport.listener import Listener
from tests.transport.ends import PATIENCE_SECONDS, in_thread, listening

pytestmark = pytest.mark.usefixtures("_nothing_is_left")


def test_an_address_in_use_is_one_sentence() -> None:
    with listening() as listener:
        host, port = listener.address
        with pytest.raises(AddressInUse) as refused:
            Listener(host, port)
        assert refused.value.sentence == f"cannot listen on {host}:{port}: {os.strerror(errno.EADDRINUSE).lower()}"


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
