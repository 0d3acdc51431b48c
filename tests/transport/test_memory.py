"""The pair for tests: it has to behave as a real connection does."""

from __future__ import annotations

import select
import threading

import pytest

from cmdop.errors import ConnectionClosed
from cmdop.transport.memory import MemoryConnection, memory_pair
from tests.transport.ends import PATIENCE_SECONDS, in_thread, open_descriptors


def readable(end: MemoryConnection) -> bool:
    return bool(select.select([end], [], [], 0)[0])


def test_messages_arrive_whole_and_in_order_both_ways() -> None:
    one, other = memory_pair()
    for number in range(5):
        one.send(b"%d" % number)
        other.send(b"-%d" % number)
    assert [other.receive() for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]
    assert [one.receive() for _ in range(5)] == [b"-0", b"-1", b"-2", b"-3", b"-4"]


def test_sending_never_blocks_however_much_is_not_received() -> None:
    one, other = memory_pair()
    for _ in range(5000):
        one.send(b"x")
    assert [other.receive() for _ in range(5000)] == [b"x"] * 5000
    assert not readable(other)


def test_it_is_selectable_exactly_while_there_is_something() -> None:
    one, other = memory_pair()
    assert not readable(other)
    one.send(b"a")
    one.send(b"b")
    assert readable(other)
    other.receive()
    assert readable(other)
    other.receive()
    assert not readable(other)
    one.close()
    assert readable(other)
    assert readable(one)


def test_what_was_sent_before_the_close_is_still_received() -> None:
    one, other = memory_pair()
    one.send(b"last words")
    one.close("gone home")
    assert other.receive() == b"last words"
    with pytest.raises(ConnectionClosed) as closed:
        other.receive()
    assert closed.value.details["reason"] == "gone home"
    with pytest.raises(ConnectionClosed):
        one.receive()


def test_a_close_by_either_end_wakes_whoever_receives() -> None:
    for closing in (0, 1):
        ends = memory_pair()
        waiting = [in_thread(end.receive) for end in ends]
        ends[closing].close()
        for receiving in waiting:
            assert isinstance(receiving.exception(PATIENCE_SECONDS), ConnectionClosed)


def test_nothing_can_be_sent_after_the_close_and_closing_twice_is_quiet() -> None:
    one, other = memory_pair()
    one.close()
    one.close()
    other.close()
    for end in (one, other):
        with pytest.raises(ConnectionClosed):
            end.send(b"x")


def test_no_descriptor_stays_once_both_ends_heard_of_the_end() -> None:
    before = open_descriptors()
    ends = memory_pair()
    ends[0].close()
    for end in ends:
        with pytest.raises(ConnectionClosed):
            end.receive()
    assert open_descriptors() <= before  # those of a test before this one may go meanwhile


def test_many_threads_may_send() -> None:
    one, other = memory_pair()
    threads = [threading.Thread(target=lambda: [one.send(b"x") for _ in range(200)]) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert [other.receive() for _ in range(1000)] == [b"x"] * 1000
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
