"""Main is woken by what is put, and by every signal, whatever it is about to do."""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
from collections.abc import Iterator

import pytest

from cmdop.client.mailbox import Mailbox
from tests.client.elsewhere import POSIX_ONLY, elsewhere

TIMEOUT_SECONDS = 10.0


@pytest.fixture
def mailbox() -> Iterator[Mailbox[int]]:
    mailbox: Mailbox[int] = Mailbox()
    yield mailbox
    mailbox.close()


def test_what_is_put_is_got_once_and_in_order(mailbox: Mailbox[int]) -> None:
    for number in range(3):
        mailbox.put(number)
    assert len(mailbox) == 3
    assert [mailbox.get() for _ in range(3)] == [0, 1, 2]
    with pytest.raises(queue.Empty):
        mailbox.get(0.01)


def test_who_waits_is_woken(mailbox: Mailbox[int]) -> None:
    threading.Timer(0.05, mailbox.put, [1]).start()
    assert mailbox.get(TIMEOUT_SECONDS) == 1


def test_what_is_put_when_nobody_listens_any_more_is_lost(mailbox: Mailbox[int]) -> None:
    mailbox.close()
    mailbox.put(1)


@contextlib.contextmanager
def put_by(number: int, mailbox: Mailbox[int]) -> Iterator[None]:
    """A signal whose handler puts its number."""
    before = signal.signal(number, lambda came, _: mailbox.put(came))
    try:
        with mailbox.hearing_signals():
            yield
    finally:
        signal.signal(number, before)


@POSIX_ONLY
def test_a_signal_that_another_thread_gets_wakes_main(mailbox: Mailbox[int]) -> None:
    """It does not interrupt what main blocks in, just as one that came a moment before."""
    with put_by(signal.SIGUSR2, mailbox), elsewhere(signal.SIGUSR2) as send:
        threading.Timer(0.05, send).start()
        assert mailbox.get(TIMEOUT_SECONDS) == signal.SIGUSR2


def test_whoever_is_not_main_is_left_alone(mailbox: Mailbox[int]) -> None:
    got: queue.SimpleQueue[int] = queue.SimpleQueue()

    def wait() -> None:
        with mailbox.hearing_signals():
            got.put(mailbox.get(TIMEOUT_SECONDS))

    thread = threading.Thread(target=wait)
    thread.start()
    mailbox.put(1)
    assert got.get(timeout=TIMEOUT_SECONDS) == 1
    thread.join()
