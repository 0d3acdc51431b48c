"""The lease between an agent and its session host: words both ways, and its end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from multiprocessing import Pipe

import pytest

from cmdop.agent import lease as lease_module
from cmdop.agent.lease import Lease, error_heard, error_told
from cmdop.control import Line
from cmdop.errors import KeyRefused, TimedOut
from cmdop.limits import LEASE_MESSAGE_MAX_BYTES, LEASE_MESSAGES_MAX

TIMEOUT_SECONDS = 10.0


@pytest.fixture
def lines() -> Iterator[tuple[Line, Line]]:
    ours, theirs = Pipe()
    yield ours, theirs
    for line in (ours, theirs):
        line.close()


def test_words_go_both_ways_in_order(lines: tuple[Line, Line]) -> None:
    ours, theirs = (Lease(line) for line in lines)
    for number in range(100):
        ours.send({"do": "serve", "number": number, "name": "ü\udc80"})
    theirs.send({"say": "ready"})
    assert [theirs.receive() for _ in range(100)] == [
        {"do": "serve", "number": number, "name": "ü\udc80"} for number in range(100)
    ]
    assert ours.receive() == {"say": "ready"}
    ours.close()
    assert theirs.receive() is None
    theirs.close()


def test_who_speaks_never_waits_for_an_end_that_does_not_read(lines: tuple[Line, Line]) -> None:
    ours = Lease(lines[0])
    for _ in range(LEASE_MESSAGES_MAX * 3):
        ours.send({"say": "log", "line": "x" * 1000})
    assert ours._waiting.qsize() == LEASE_MESSAGES_MAX


def test_what_was_said_before_the_flush_is_on_its_way(lines: tuple[Line, Line]) -> None:
    ours = Lease(lines[0])
    ours.send({"say": "failed"})
    ours.flush()
    assert ours._waiting.empty()
    ours.close()
    assert Lease(lines[1]).receive() == {"say": "failed"}


def test_a_flush_does_not_wait_for_long(lines: tuple[Line, Line], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "CLOSE_TIMEOUT_SECONDS", 0.01)
    ours = Lease(lines[0])
    ours.send({"say": "log", "line": "x" * 10_000_000})  # more than the kernel takes
    ours.flush()


@pytest.mark.parametrize("nonsense", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b"x" * (LEASE_MESSAGE_MAX_BYTES + 1)])
def test_nonsense_is_the_end(lines: tuple[Line, Line], nonsense: bytes) -> None:
    ours = Lease(lines[0])
    sender = threading.Thread(target=_send, args=(lines[1], nonsense), name="test->lease", daemon=True)
    sender.start()
    assert ours.receive() is None
    ours.close()
    sender.join(TIMEOUT_SECONDS)
    assert not sender.is_alive()


def _send(line: Line, message: bytes) -> None:
    try:
        line.send_bytes(message)
    except OSError:
        pass  # it was closed in our face


def test_closing_twice_and_speaking_afterwards_are_quiet(lines: tuple[Line, Line]) -> None:
    ours = Lease(lines[0])
    ours.close()
    ours.send({"do": "stop"})
    ours.flush()
    ours.close()


def test_an_error_comes_over_in_its_own_words() -> None:
    error = KeyRefused(server="ws://relay", key="ck_abc…", reason="it was revoked")
    heard = error_heard(error_told(error))
    assert type(heard) is KeyRefused
    assert (heard.sentence, heard.next_step) == (error.sentence, error.next_step)
    assert error_heard(error_told(TimedOut(what="it", seconds=1.5))).sentence == "it did not answer within 1.5 s"
