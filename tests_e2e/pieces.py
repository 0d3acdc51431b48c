"""The corpus in pieces that end anywhere, with marks between them that show nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.screen.oracle import CORPUS
from tests_e2e.emulator import Emulator


def pieces(name: str, number: int) -> Iterator[bytes]:
    """A recording in so many pieces and as far as the last of them goes. The sequence that one
    ends in the middle of is what the next one begins with, because a mark comes between them."""
    output, stream = CORPUS[name], Emulator()
    at = begin = 0
    for place in sorted(random.Random(name).choices(range(len(output) + 1), k=number)):
        stream.feed(output[at:place])
        yield output[begin:place]
        at, begin = place, place - len(stream.pending)


def mark(number: int) -> bytes:
    """Something that shows nothing. CAN cancels what is unfinished before it (ECMA-48 8.3.6)."""
    return b"\x18\x1b]7777;%d\x07" % number
