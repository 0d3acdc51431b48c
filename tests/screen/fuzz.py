#!/usr/bin/env python3
"""Feed garbage to the terminal model: fuzz.py FIRST_SEED COUNT

Each seed has a process of its own, so that a crash of the library is seen as such. Text,
sequences of every shape with huge numbers, strings without an end, every kind of
character and changes of size are mixed; in between, a snapshot has to be drawn, nothing
in it may be answered, and a terminal that it is given to has to have the same cursor
and modes. (Its cells are compared too; what differs is counted, see `BLANKS`.)
"""

from __future__ import annotations

import multiprocessing
import random
import sys

from cmdop.screen.ghostty import GhosttyScreen
from cmdop.winsize import Winsize
from tests.screen.oracle import library, seen

STEPS = 60
SIZES = [Winsize(24, 80), Winsize(24, 80), Winsize(5, 20), Winsize(3, 7), Winsize(2, 2)]
NUMBERS = [b"", b"0", b"1", b"2", b"5", b"24", b"25", b"80", b"81", b"1000", b"65535", b"65536", b"9" * 20]
MODES = [b"%d" % mode for mode in (1, 3, 5, 6, 7, 12, 25, 40, 45, 47, 66, 69, 1000, 1003, 1004, 1006, 1007)]
MODES += [b"%d" % mode for mode in (1045, 1047, 1048, 1049, 2004, 2026, 2048)]
STRINGS = [b"P$qm", b"P+q544e", b"Pq#0;2;0;0;0", b"_Ga=T,f=24,s=1,v=1;AAAA", b"_Ga=d", b"X", b"^", b"_25a1;r;AAAA"]
COMMANDS = [b"%d" % command for command in (0, 2, 4, 7, 8, 9, 10, 11, 12, 21, 22, 52, 66, 99, 104, 110, 777, 1337)]
CHARACTERS = "é漢字👩‍💻👨‍👩‍👧🏳️‍🌈e\u0301א\u200dب🇩🇪\ufe0f\u3000한\u1100\u1161\u11a8\u0300"
BLANKS = "a pending wrap behind an erased character makes it a space; a garbled grapheme is garbled otherwise"


def garbage(chance: random.Random) -> bytes:
    """Something that a program may print, or should not."""
    kind = chance.random()
    if kind < 0.25:
        return bytes(chance.choice(b"abcXYZ \t\r\n\b\x0b\x0c\x0e\x0f") for _ in range(chance.randrange(1, 200)))
    if kind < 0.35:
        return "".join(chance.choice(CHARACTERS) for _ in range(chance.randrange(1, 120))).encode()
    if kind < 0.72:
        prefix, final = chance.choice([b"", b"", b"?", b">", b"=", b"<", b"!"]), bytes([chance.randrange(0x40, 0x7F)])
        between = chance.choice([b"", b"", b"", b" ", b"$", b'"', b"'", b"*", b"#"])
        numbers = [chance.choice(NUMBERS) for _ in range(chance.choice([0, 1, 1, 2, 2, 3, 6, 40]))]
        return b"\x1b[" + prefix + chance.choice([b";", b";", b":"]).join(numbers) + between + final
    if kind < 0.8:
        return b"\x1b[?" + chance.choice(MODES) + chance.choice([b"h", b"h", b"l", b"s", b"r"])
    if kind < 0.85:
        return b"\x1b" + chance.randbytes(2)
    noise, end = chance.randbytes(chance.randrange(60)), chance.choice([b"\x07", b"\x1b\\", b"", b"\x18"])
    if kind < 0.93:
        body = [b";rgb:ff/00/00", b";?", b";1;?", b";;http://x/" + b"u" * 99, b";id=a;http://y", b";;", b";" + noise]
        return b"\x1b]" + chance.choice(COMMANDS) + chance.choice(body) + end
    return b"\x1b" + chance.choice(STRINGS) + noise + end if kind < 0.97 else noise


def run(seed: int) -> int:
    """How many snapshots showed other cells. Raises AssertionError for anything worse."""
    chance = random.Random(seed)
    size = chance.choice(SIZES)
    screen, different = GhosttyScreen(size, library()), 0
    for _ in range(STEPS):
        if chance.random() < 0.03:
            size = Winsize(chance.randrange(1, 40), chance.randrange(1, 100))
            screen.resize(size)
        screen.feed(b"".join(garbage(chance) for _ in range(chance.randrange(1, 6))))
        if chance.random() < 0.3:
            different += _compare(screen, size)
    screen.close()
    return different


def _compare(screen: GhosttyScreen, size: Winsize) -> bool:
    snapshot, joining = screen.snapshot(), GhosttyScreen(size, library())
    joining.answer(True)
    joining.feed(snapshot.data)
    assert joining.answers() == b"", "a snapshot was answered"
    joining.feed(snapshot.reports + snapshot.pending)
    expected, found = seen(screen.state(), history=False), seen(joining.state(), history=False)
    joining.close()
    for name in ("region", "modes", "mouse", "tab stops", "title"):
        assert found[name] == expected[name], name
    return found != expected


def main(first: int, count: int) -> int:
    """The number of seeds that broke something."""
    broken = different = 0
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, maxtasksperchild=1) as pool:
        for seed in range(first, first + count):
            try:
                different += pool.apply_async(run, (seed,)).get(timeout=120)
            except (AssertionError, ValueError, multiprocessing.TimeoutError) as error:
                broken += 1
                sys.stdout.write(f"seed {seed}: {error!r}\n")
    sys.stdout.write(f"{count} seeds, {broken} broken; {different} snapshots with other cells ({BLANKS})\n")
    return broken


if __name__ == "__main__":
    sys.exit(1 if main(int(sys.argv[1]), int(sys.argv[2])) else 0)
