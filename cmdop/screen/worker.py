"""The model's process: it feeds the library and draws what is asked for."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

from cmdop.errors import ModelUnusable
from cmdop.screen.exchange import Kind, Message, encode, encode_snapshot, receive
from cmdop.screen.ghostty import GhosttyScreen, open_library
from cmdop.screen.interface import Capture, Snapshot
from cmdop.winsize import DEFAULT_WINSIZE, Winsize

_SIZE = struct.Struct("<HH")


def serve(sock: socket.socket, library: str) -> None:
    """Do what comes, until the other end closes."""
    with contextlib.suppress(OSError):  # the session has gone
        try:
            screen = GhosttyScreen(DEFAULT_WINSIZE, open_library(library))
        except ModelUnusable as error:
            sock.sendall(encode(Kind.UNUSABLE, 0, str(error.details["reason"]).encode()))
            return
        _Worker(sock, screen).run()


class _Worker:
    def __init__(self, sock: socket.socket, screen: GhosttyScreen) -> None:
        self._sock, self._screen, self._answering = sock, screen, False
        # Guards the order of what is sent; held while the socket takes one message.
        self._sending = threading.Lock()

    def run(self) -> None:
        while (message := receive(self._sock)) is not None:
            self._do(message)

    def _do(self, message: Message) -> None:
        kind, number, payload = message
        if kind == Kind.FEED:
            self._screen.feed(payload)
            if self._answering:
                self._send(Kind.ANSWERS, number, self._screen.answers())
        elif kind == Kind.RESIZE:
            self._screen.resize(Winsize(*_SIZE.unpack(payload)))
        elif kind == Kind.ANSWER:
            self._answering = payload != b"\0"
            self._screen.answer(self._answering)
        elif kind == Kind.CAPTURE:
            captured = self._screen.capture(history=bool(payload[0]), redraw=bool(payload[1]))
            threading.Thread(target=self._draw, args=(number, captured), name="capture->session", daemon=True).start()

    def _draw(self, number: int, captured: Capture) -> None:
        """A thread of its own, so that output is taken meanwhile. It may block on the
        socket, until the session reads or closes it."""
        try:
            snapshot = captured.draw()
        except ValueError:  # the session draws from what it has
            snapshot = Snapshot(b"", b"", b"")
        with contextlib.suppress(OSError):
            self._send(Kind.SNAPSHOT, number, encode_snapshot(snapshot))

    def _send(self, kind: Kind, number: int, payload: bytes) -> None:
        with self._sending:
            self._sock.sendall(encode(kind, number, payload))
