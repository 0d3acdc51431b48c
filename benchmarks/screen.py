#!/usr/bin/env python3
"""How fast the terminal model takes output, and how long a snapshot takes.

  screen.py [--megabytes N]

Each kind of output is fed in pieces of 64 KiB, to the model in this process and to the
one in a process of its own; then a snapshot is drawn, with as much scrollback as there
is. `a piece` is what feeding one costs the caller: mean, and the slowest in a hundred.
`held up` is how long output waits for the snapshot: the capture alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

from cmdop.limits import PTY_READ_BYTES
from cmdop.screen.factory import open_screen
from cmdop.screen.ghostty import GhosttyScreen, open_library
from cmdop.screen.interface import TerminalModel
from cmdop.screen.library import library_path
from cmdop.winsize import DEFAULT_WINSIZE, Winsize

SIZES = (DEFAULT_WINSIZE, Winsize(60, 200))


def outputs() -> Iterator[tuple[str, bytes]]:
    """A name, and some output of that kind; about 1 MB."""
    yield "plain", b"".join(b"line %d of something that a program prints to its user\r\n" % n for n in range(18_000))
    yield "yes", b"y\r\n" * 350_000
    yield "seq", b"".join(b"%d\r\n" % n for n in range(100_000, 230_000))
    yield (
        "log in colours",
        b"".join(
            b"\x1b[2m11:47:%02d\x1b[0m \x1b[3%dmINFO\x1b[0m \x1b[1mpart.%d\x1b[0m: "
            b"\x1b[36m%d\x1b[0m in \x1b[33m%d ms\x1b[0m\r\n" % (n % 60, n % 8, n % 50, n, n % 999)
            for n in range(12_000)
        ),
    )
    yield (
        "colours",
        b"".join(
            b"\x1b[3%dmline %d\x1b[0m \x1b[1mwith\x1b[m some \x1b[44mcolours\x1b[m in it\r\n" % (n % 8, n)
            for n in range(16_000)
        ),
    )
    yield (
        "many colours",
        b"".join(
            b"\x1b[38;5;%dmline %d\x1b[0m \x1b[48;5;%dmcolours\x1b[m\r\n" % (n % 256, n, n % 256) for n in range(22_000)
        ),
    )
    yield "wide", "漢字かな交じり文と絵文字 👍 の行\r\n".encode() * 20_000
    yield (
        "full screen",
        b"".join(b"\x1b[%d;%dH\x1b[7m %d \x1b[m\x1b[K" % (n % 24 + 1, n % 80 + 1, n) for n in range(50_000)),
    )


def measure(name: str, output: bytes, open_model: Callable[[], TerminalModel], megabytes: int) -> str:
    model = open_model()
    model.snapshot()  # its process has started
    pieces = [output[at : at + PTY_READ_BYTES] for at in range(0, len(output), PTY_READ_BYTES)]
    rounds = max(megabytes * 1_000_000 // len(output), 1)
    costs: list[float] = []
    start = time.perf_counter()
    for _ in range(rounds):
        for piece in pieces:
            begun = time.perf_counter()
            model.feed(piece)
            costs.append(time.perf_counter() - begun)
    model.capture(history=False).draw()  # all of it has been taken
    fed = time.perf_counter()
    capture = model.capture()
    captured = time.perf_counter()
    snapshot = capture.draw()
    drawn = time.perf_counter()
    model.close()
    rate = rounds * len(output) / (fed - start) / 1e6
    mean, slow = sum(costs) / len(costs), sorted(costs)[len(costs) * 99 // 100]
    return (
        f"{name:34} {rate:6.0f} MB/s   {1e3 * mean:5.2f} {1e3 * slow:5.1f} ms a piece"
        f"   {1e3 * (captured - fed):6.1f} ms held up"
        f"   {1e3 * (drawn - fed):6.1f} ms   {len(snapshot.data) / 1024:6.0f} KiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=50, help="of each kind")
    options = parser.parse_args()
    library = open_library(library_path())
    for size in SIZES:
        for name, output in outputs():
            for place, open_model in (
                ("here", lambda size=size: GhosttyScreen(size, library)),
                ("isolated", lambda size=size: open_screen(size)),
            ):
                label = f"{size.rows}x{size.cols} {name}, {place}"
                print(measure(label, output, open_model, options.megabytes))


if __name__ == "__main__":
    main()
