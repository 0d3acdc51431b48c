"""What a model's process has received and not done."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator

import pytest

if sys.platform == "win32":
    pytest.skip("there is no model", allow_module_level=True)

from cmdop.limits import MODEL_BACKLOG_BYTES, MODEL_WAITING_PIECES_MAX
from cmdop.screen.backlog import Backlog
from cmdop.screen.exchange import Kind, Message, encode

WAIT_SECONDS = 10.0
LINES = b"text\r\n" * 5_000


class Session:
    """The other end: sends on a thread of its own, as all of it may not fit into the socket."""

    def __init__(self) -> None:
        self._sock, theirs = socket.socketpair()
        self.backlog = Backlog(theirs)
        self._sent = 0
        self._thread = threading.Thread()

    def send(self, *messages: Message) -> None:
        data = b"".join(encode(Kind(kind), number, payload) for kind, number, payload in messages)
        self._thread = threading.Thread(target=self._sock.sendall, args=(data,))
        self._thread.start()

    def sent(self) -> bool:
        """Whether all was received or fits into the socket."""
        self._thread.join(0.1)
        return not self._thread.is_alive()

    def end(self) -> None:
        self._thread.join(WAIT_SECONDS)
        self._sock.close()


@pytest.fixture
def session() -> Iterator[Session]:
    one = Session()
    yield one
    one._sock.close()
    one.backlog._sock.close()


def feed(number: int, data: bytes = LINES) -> Message:
    return Message(Kind.FEED, number, data)


def test_requests_are_taken_in_order_and_text_is_told_apart(session: Session) -> None:
    requests = [feed(1), feed(2, b"\x1b[m"), Message(Kind.CAPTURE, 3, LINES), feed(4), feed(5, b"")]
    session.send(*requests)
    taken = [session.backlog.take() for _ in requests]
    assert taken == list(zip(requests, [True, False, False, True, False], strict=True))
    session.end()
    assert session.backlog.take() is None
    assert session.backlog.take() is None


def test_what_was_received_is_taken_though_the_other_end_has_gone(session: Session) -> None:
    session.send(feed(1, b"a"), feed(2, b"b"))
    session.end()
    assert [session.backlog.take(), session.backlog.take()] == [(feed(1, b"a"), False), (feed(2, b"b"), False)]
    assert session.backlog.take() is None


def test_a_taker_waits_for_the_rest_of_a_request(session: Session) -> None:
    taken: list[object] = []
    thread = threading.Thread(target=lambda: taken.append(session.backlog.take()))
    thread.start()
    for byte in encode(Kind.FEED, 1, b"text"):
        session._sock.send(bytes([byte]))
    thread.join(WAIT_SECONDS)
    assert taken == [(feed(1, b"text"), False)]


@pytest.mark.parametrize(("size", "count"), [(64 * 1024, 100), (1, 20_000)])
def test_it_is_bounded_in_bytes_and_in_requests(session: Session, size: int, count: int) -> None:
    requests = [feed(number, b"x" * size) for number in range(count)]
    session.send(*requests)
    for number in range(count):
        assert session.backlog.take() == (requests[number], False)
        assert session.backlog._bytes <= MODEL_BACKLOG_BYTES + (1 << 18)
        assert len(session.backlog._waiting) <= MODEL_WAITING_PIECES_MAX
    assert session.sent()


def test_what_is_superfluous_can_be_dropped(session: Session) -> None:
    session.send(*(feed(number) for number in range(5)))
    assert session.sent()
    assert session.backlog.take() == (feed(0), True)
    assert session.backlog.leave_out(10_000) == 1
    session.backlog.drop(1)
    assert session.backlog.take() == (feed(2), True)
    assert session.backlog.leave_out(1_000_000) == 0


def test_a_request_for_something_else_is_never_superfluous(session: Session) -> None:
    session.send(feed(0), *[feed(1)] * 3, Message(Kind.CAPTURE, 3, b"\0\0"), *[feed(4)] * 2)
    assert session.sent()
    session.backlog.take()
    assert session.backlog.leave_out(5_000) == 1
    session.backlog.drop(3)
    assert session.backlog.take() == (Message(Kind.CAPTURE, 3, b"\0\0"), False)
