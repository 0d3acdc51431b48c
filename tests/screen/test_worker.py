"""What the model's process does with what it was sent."""

from __future__ import annotations

import socket
import sys
import threading

import pytest

if sys.platform == "win32":
    pytest.skip("there is no model", allow_module_level=True)

from cmdop.screen.exchange import Kind, encode
from cmdop.screen.ghostty import GhosttyScreen
from cmdop.screen.worker import Worker
from tests.screen.oracle import seen, terminal

WAIT_SECONDS = 10.0
LINES = [b"".join(b"%d\r\n" % n for n in range(start, start + 4_000)) for start in range(0, 40_000, 4_000)]


class Counting(GhosttyScreen):
    """Knows how much it was fed."""

    fed_bytes = 0

    def feed(self, data: bytes) -> None:
        self.fed_bytes += len(data)
        super().feed(data)


def worked(*pieces: bytes) -> tuple[Counting, int]:
    """The screen of a worker that finds these pieces when it begins, and how many bytes they have."""
    ours, theirs = socket.socketpair()
    here = terminal()
    screen = Counting(here._size, here._library)
    requests = b"".join(encode(Kind.FEED, number, piece) for number, piece in enumerate(pieces))
    sender = threading.Thread(target=ours.sendall, args=(requests,))
    with ours, theirs:
        theirs.settimeout(WAIT_SECONDS)
        sender.start()
        worker = Worker(theirs, screen)
        while len(worker._backlog._waiting) < len(pieces):
            worker._backlog._receive(0)
        sender.join(WAIT_SECONDS)
        ours.close()
        worker.run()
    return screen, sum(map(len, pieces))


def test_of_a_flood_of_text_only_the_end_is_fed() -> None:
    screen, size = worked(b"\x1b[31m", *LINES)
    assert screen.fed_bytes < 0.7 * size
    assert seen(screen.state(), history=False) == seen(terminal(b"\x1b[31m" + b"".join(LINES)).state(), history=False)


def test_a_flood_behind_another_is_judged_anew() -> None:
    """Margins keep a line of it that no later one moves."""
    pieces = [*LINES, b"\x1b[2;20r", *LINES]
    screen, size = worked(*pieces)
    assert screen.fed_bytes < size
    assert seen(screen.state(), history=False) == seen(terminal(b"".join(pieces)).state(), history=False)


def test_other_output_is_fed_to_the_last_byte() -> None:
    pieces = [piece.replace(b"\r\n", b"\x1b[m\r\n") for piece in LINES[:6]]
    screen, size = worked(*pieces)
    assert screen.fed_bytes == size
