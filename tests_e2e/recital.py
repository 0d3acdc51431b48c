"""A program on the machine, in raw mode: prints what it is given, piece by piece, and writes down all that is typed.

recital.py FOLDER

It prints the file `0` of the folder; each NEXT that is typed makes it print the next one,
until there is none. What it reads is in the file `typed`.
"""

from __future__ import annotations

import itertools
import os
import sys
import tty
from pathlib import Path

NEXT = b"k"


def main(folder: Path) -> None:
    tty.setraw(0)
    with open(folder / "typed", "wb", buffering=0) as typed:
        for number in itertools.count():
            try:
                _print((folder / str(number)).read_bytes())
            except FileNotFoundError:
                return
            while NEXT not in (read := os.read(0, 4096)):
                typed.write(read)
            typed.write(read)


def _print(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
