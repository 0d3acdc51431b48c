"""The model's process: it feeds the library and draws what is asked for."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

from cmdop.errors import ModelUnusable
from cmdop.screen.backlog import Backlog
from cmdop.screen.exchange import Kind, Message, encode, encode_answers, encode_snapshot
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
        Worker(sock, screen).run()


class Worker:
    """One model, and what comes for it."""

    def __init__(self, sock: socket.socket, screen: GhosttyScreen) -> None:
        self._sock, self._screen = sock, screen
        self._backlog = Backlog(sock)
        self._scrolls_whole: bool | None = None
        """What the screen said, None when it has to be asked again."""
        # Guards the order of what is sent; held while the socket takes one message.
        self._sending = threading.Lock()

    def run(self) -> None:
        while (taken := self._backlog.take()) is not None:
            message, is_text = taken
            self._do(message)
            if not is_text:
                self._scrolls_whole = None
            self._leave_out()

    def _leave_out(self) -> None:
        """Drop what would leave no trace, when a flood of text has come."""
        count = self._backlog.leave_out(self._screen.lines_max)
        if count:
            if self._scrolls_whole is None:
                self._scrolls_whole = self._screen.scrolls_whole
            if self._scrolls_whole:
                self._backlog.drop(count)

    def _do(self, message: Message) -> None:
        kind, number, payload = message
        if kind in (Kind.FEED, Kind.ASK):
            self._screen.feed(payload)
        elif kind == Kind.RESIZE:
            self._screen.resize(Winsize(*_SIZE.unpack(payload)))
        elif kind == Kind.ANSWER:
            self._screen.answer(payload != b"\0")
        elif kind == Kind.CAPTURE:
            captured = self._screen.capture(*map(bool, payload))
            threading.Thread(target=self._draw, args=(number, captured), name="capture->session", daemon=True).start()
        if kind == Kind.ASK:
            self._send(Kind.ANSWERS, number, encode_answers(self._screen.answers(), self._screen.is_within_sequence))

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
