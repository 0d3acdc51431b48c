"""A program on the machine, in raw mode: says a long text, and writes down all that is typed.

far.py TYPED_FILE OUT_BYTES [PAUSE_SECONDS]

It says OUT_BYTES of `said`, or goes on until it is stopped where that is 0, with a pause
after each piece. It stops reading at STOP. When both are done it says how much it said
and what it was typed, as `closing` has it; a further byte ends it.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import tty
from collections.abc import Iterator
from typing import IO

BEGIN = b"\x1bc<begin>\r\n"
"""RIS first (xterm ctlseqs): nothing from before is left on the screen."""
STOP = b"<stop>"
END = b"<end>"
_PIECE_BYTES = 4096
_PACED_PIECE_BYTES = 512
_AHEAD_PIECES = 64
_LINE = b"\x1b[3%dm%08d\x1b[m %s\r\n"
_LINE_BYTES = len(_LINE % (0, 0, b"0" * 64))


def said(first: int, size: int) -> bytes:
    """So many bytes from offset `first` of a text without end, of which no two lines are the same."""
    line, rest = divmod(first, _LINE_BYTES)
    lines = (rest + size) // _LINE_BYTES + 1
    text = b"".join(
        _LINE % (n % 8, n, hashlib.sha256(b"%d" % n).hexdigest().encode()) for n in range(line, line + lines)
    )
    return text[rest : rest + size]


def closing(said_bytes: int, typed: bytes) -> bytes:
    """The last line, which fits a terminal of 80 columns."""
    return b"\x1b[m\r\nsaid %d typed %s %s" % (said_bytes, hashlib.sha256(typed).hexdigest()[:32].encode(), END)


def output(said_bytes: int, typed: bytes) -> bytes:
    """All of what it prints."""
    return BEGIN + said(0, said_bytes) + closing(said_bytes, typed)


class Program:
    """Two threads, `speak` and main, which reads."""

    def __init__(self, typed_file: str, out_bytes: int, pause_seconds: float) -> None:
        self._out_bytes, self._pause_seconds = out_bytes, pause_seconds
        self._typed_file = typed_file
        self._stopped = threading.Event()
        self.said_bytes = 0

    def run(self) -> None:
        tty.setraw(0)
        with open(self._typed_file, "wb", buffering=0) as file:
            _print(BEGIN)
            speaking = threading.Thread(target=self._speak, name="speak", daemon=True)
            speaking.start()
            typed = self._read(file)
        self._stopped.set()
        speaking.join()
        _print(closing(self.said_bytes, typed))
        os.read(0, 1)

    def _speak(self) -> None:
        for piece in _pieces(self._out_bytes, _PACED_PIECE_BYTES if self._pause_seconds else _PIECE_BYTES):
            if self._stopped.is_set() and not self._out_bytes:
                return
            _print(piece)
            self.said_bytes += len(piece)
            self._stopped.wait(self._pause_seconds)

    def _read(self, file: IO[bytes]) -> bytes:
        typed = bytearray()
        while not typed.endswith(STOP):
            piece = os.read(0, 65536)
            file.write(piece)
            typed += piece
        return bytes(typed)


def _pieces(out_bytes: int, piece_bytes: int) -> Iterator[bytes]:
    """The text in pieces, as far as `out_bytes`, or without end for 0."""
    at, ahead = 0, _AHEAD_PIECES * piece_bytes
    while at < out_bytes or not out_bytes:
        text = said(at, min(ahead, out_bytes - at) if out_bytes else ahead)
        yield from (text[start : start + piece_bytes] for start in range(0, len(text), piece_bytes))
        at += len(text)


def _print(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    Program(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 0.0).run()
