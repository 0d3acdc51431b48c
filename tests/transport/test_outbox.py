"""The outbox over a real socket pair: a slow reader, a full queue, a close in between."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from cmdop.errors import ConnectionClosed
from cmdop.limits import UPLINK_LOW_WATER_BYTES
from cmdop.transport.outbox import Outbox
from tests.transport.ends import PATIENCE_SECONDS, UNIT_SECONDS, for_ever, in_thread, read_all

MIB = 1024 * 1024


@dataclass
class Setup:
    outbox: Outbox
    sock: socket.socket
    reader: socket.socket
    drained: list[int] = field(default_factory=list)
    on_drained: threading.Event = field(default_factory=threading.Event)

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.reader.recv(size - len(data))
            assert piece, f"the end after {len(data)} of {size} bytes"
            data += piece
        return data


@pytest.fixture
def outbox() -> Iterator[Setup]:
    sock, reader = socket.socketpair()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 * 1024)
    reader.settimeout(PATIENCE_SECONDS)

    def drained() -> None:
        setup.drained.append(setup.outbox.backlog_bytes)
        setup.on_drained.set()

    setup = Setup(Outbox(sock, "test", 4 * MIB), sock, reader)
    setup.outbox.on_drained = drained
    yield setup
    reader.close()
    setup.outbox.close(PATIENCE_SECONDS)
    setup.outbox.join()
    sock.close()


def writers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "test->socket"]


def test_a_reader_who_keeps_up_gets_everything_without_a_second_thread(outbox: Setup) -> None:
    for number in range(100):
        outbox.outbox.put(b"%03d" % number)
        assert outbox.read(3) == b"%03d" % number
    assert writers() == []
    assert outbox.outbox.backlog_bytes == 0


def test_putting_never_blocks_and_a_slow_reader_gets_everything_in_order(outbox: Setup) -> None:
    pieces = [bytes([number]) * 40_000 for number in range(60)]
    for piece in pieces:
        outbox.outbox.put(piece)
    assert outbox.outbox.backlog_bytes > MIB
    assert outbox.read(60 * 40_000) == b"".join(pieces)


def test_bytes_that_the_kernel_takes_in_part_stay_in_order(outbox: Setup) -> None:
    size = 3 * MIB
    sent = b"".join(number.to_bytes(4, "big") for number in range(size // 4))
    outbox.outbox.put(sent)
    outbox.outbox.put(b"behind it")
    assert outbox.read(size) == sent
    assert outbox.read(9) == b"behind it"


def test_whoever_waits_for_room_is_called_once_the_backlog_is_low(outbox: Setup) -> None:
    outbox.outbox.put(bytes(2 * MIB))
    assert not outbox.drained
    outbox.read(2 * MIB)
    assert outbox.on_drained.wait(PATIENCE_SECONDS)
    assert outbox.drained == [0] or max(outbox.drained) <= UPLINK_LOW_WATER_BYTES


def test_a_backlog_that_never_was_high_calls_nobody(outbox: Setup) -> None:
    filler = 0
    while outbox.outbox.backlog_bytes == 0:
        outbox.outbox.put(bytes(1000))
        filler += 1000
    outbox.read(filler)
    outbox.outbox.close(PATIENCE_SECONDS)
    outbox.outbox.join()
    assert outbox.drained == []


def test_who_waits_for_room_goes_on_when_there_is_some(outbox: Setup) -> None:
    outbox.outbox.put(bytes(3 * MIB))
    assert not outbox.outbox.wait_for_room(MIB, UNIT_SECONDS)
    waiting = in_thread(lambda: outbox.outbox.wait_for_room(MIB, PATIENCE_SECONDS))
    outbox.read(3 * MIB)
    assert waiting.result()


def test_who_waits_for_room_goes_on_when_there_will_be_none(outbox: Setup) -> None:
    outbox.outbox.put(bytes(3 * MIB))
    waiting = in_thread(lambda: outbox.outbox.wait_for_room(MIB, PATIENCE_SECONDS))
    outbox.outbox.close(0)
    assert waiting.result()


def test_small_pieces_take_room_beside_their_bytes(outbox: Setup) -> None:
    outbox.outbox.put(bytes(MIB))
    for _ in range(20_000):
        outbox.outbox.put(b"x")
    assert outbox.outbox.backlog_bytes < 2 * MIB
    assert not outbox.outbox.wait_for_room(2 * MIB, 0)


def test_a_full_queue_ends_the_connection_and_wakes_who_receives(outbox: Setup) -> None:
    receiving = in_thread(lambda: outbox.sock.recv(1))
    with pytest.raises(ConnectionClosed) as full:
        for_ever(lambda: outbox.outbox.put(bytes(MIB)))
    assert "takes less than it asked for" in full.value.sentence
    assert receiving.result(PATIENCE_SECONDS) == b""
    with pytest.raises(ConnectionClosed):
        outbox.outbox.put(b"more")
    outbox.outbox.join()
    assert writers() == []


def test_closing_waits_until_the_queue_is_written(outbox: Setup) -> None:
    outbox.outbox.put(bytes(2 * MIB))
    reading = in_thread(lambda: outbox.read(2 * MIB))
    outbox.outbox.close(PATIENCE_SECONDS)
    assert outbox.outbox.backlog_bytes == 0
    assert len(reading.result(PATIENCE_SECONDS)) == 2 * MIB


def test_closing_gives_up_on_a_reader_who_takes_nothing(outbox: Setup) -> None:
    outbox.outbox.put(bytes(2 * MIB))
    outbox.outbox.close(UNIT_SECONDS / 20)
    assert outbox.outbox.backlog_bytes > 0
    outbox.sock.shutdown(socket.SHUT_RDWR)
    outbox.outbox.join()
    assert outbox.outbox.backlog_bytes == 0
    assert writers() == []


def test_a_reader_who_goes_away_ends_the_writer_and_wakes_who_receives(outbox: Setup) -> None:
    outbox.outbox.put(bytes(2 * MIB))
    outbox.reader.close()
    assert read_all(outbox.sock) == b"", "whoever receives hears of it"
    outbox.outbox.join()
    assert outbox.outbox.backlog_bytes == 0
    with pytest.raises(ConnectionClosed):
        outbox.outbox.put(b"x")


def test_putting_to_a_reader_who_is_gone_says_so(outbox: Setup) -> None:
    outbox.reader.close()
    with pytest.raises(ConnectionClosed):
        outbox.outbox.put(b"x")


def test_many_threads_may_put_and_no_piece_is_torn(outbox: Setup) -> None:
    def put(number: int) -> None:
        for _ in range(200):
            outbox.outbox.put(bytes([number]) * 1000)

    putting = [in_thread(lambda number=number: put(number)) for number in range(4)]
    data = outbox.read(4 * 200 * 1000)
    for future in putting:
        future.result(PATIENCE_SECONDS)
    for at in range(0, len(data), 1000):
        assert len(set(data[at : at + 1000])) == 1


def test_what_is_sealed_leaves_in_the_order_of_the_sealing() -> None:
    sock, reader = socket.socketpair()
    counter = iter(range(1000))
    outbox = Outbox(sock, "test", MIB, lambda data: b"%03d" % next(counter))
    reading = in_thread(lambda: read_all(reader))
    putting = [in_thread(lambda: [outbox.put(b"x") for _ in range(100)]) for _ in range(4)]
    for future in putting:
        future.result(PATIENCE_SECONDS)
    outbox.close(PATIENCE_SECONDS)
    sock.close()
    assert reading.result(PATIENCE_SECONDS) == b"".join(b"%03d" % number for number in range(400))
    reader.close()
