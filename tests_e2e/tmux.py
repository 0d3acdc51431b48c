"""Screens that can be read: a private tmux server, driven in control mode.

tmux tells of every output of every pane (tmux(1), CONTROL MODE), so whoever waits for
something on a screen is woken when there is something new to look at. What a screen
shows comes from tmux's own model of a terminal.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shlex
import shutil
import subprocess
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from cmdop.winsize import Winsize
from tests_e2e.screen import STATE, Screen
from tests_e2e.timing import START_SECONDS, STEP_SECONDS

_FORMAT = "\t".join(f"#{{{name}}}" for name in STATE)
_OPTIONS = {"default-terminal": "tmux-256color", "remain-on-exit": "on", "allow-rename": "off"}


class TmuxFailed(Exception):
    """tmux refused a command, with its reason."""


class Tmux:
    """A server that nobody else knows, and a client that tells it what to do.

    One thread at a time may use it. Its own thread `tmux->test` blocks in reading from
    the client, and is woken by what the client says and by its end.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        # Not a test's own folder: the path of a socket may have about a hundred bytes.
        self._folder = tempfile.mkdtemp(prefix="tmux")
        words = ["tmux", "-L", "test", "-f", "/dev/null", "-C", "new-session", "-s", "test", "cat"]
        self._client = subprocess.Popen(
            words,
            env={**env, "TMUX_TMPDIR": self._folder},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
        )
        self._answers: queue.SimpleQueue[tuple[bool, list[str]]] = queue.SimpleQueue()
        # Guards the two below; told of every change.
        self._change = threading.Condition()
        self._outputs = 0
        self._gone = False
        self._reader = threading.Thread(target=self._read, name="tmux->test", daemon=True)
        self._reader.start()
        self._answer()  # that the session was made
        for name, value in _OPTIONS.items():
            self.ask(["set-option", "-g", name, value])

    def _read(self) -> None:
        assert self._client.stdout is not None
        for line in self._client.stdout:
            kind, _, rest = line.rstrip("\n").partition(" ")
            if kind == "%begin":
                self._answers.put(self._block(rest))
            elif kind == "%output":
                with self._change:
                    self._outputs += 1
                    self._change.notify_all()
        with self._change:
            self._gone = True
            self._change.notify_all()
        self._answers.put((False, ["tmux ended"]))

    def _block(self, number: str) -> tuple[bool, list[str]]:
        """An answer: whether the command was done, and what it printed."""
        assert self._client.stdout is not None
        lines: list[str] = []
        for line in self._client.stdout:
            text = line.rstrip("\n")
            if text in (f"%end {number}", f"%error {number}"):
                return text.startswith("%end"), lines
            lines.append(text)
        return False, ["tmux ended"]

    def _answer(self) -> list[str]:
        done, lines = self._answers.get(timeout=START_SECONDS)
        if not done:
            raise TmuxFailed("\n".join(lines))
        return lines

    def ask(self, *commands: Sequence[str]) -> list[list[str]]:
        """What each command prints. They are done at one go, with no output in between."""
        assert self._client.stdin is not None
        self._client.stdin.write(" ; ".join(shlex.join(words) for words in commands) + "\n")
        self._client.stdin.flush()
        return [self._answer() for _ in commands]

    def open(self, winsize: Winsize, env: Mapping[str, str], *argv: str) -> Pane:
        """A program in a screen of its own."""
        named = [word for name, value in env.items() for word in ("-e", f"{name}={value}")]
        [[found]] = self.ask(["new-window", "-d", "-P", "-F", "#{pane_id} #{pane_tty}", *named, *argv])
        pane = Pane(self, *found.split())
        pane.resize(winsize)
        return pane

    # -- waiting -------------------------------------------------------------------------

    @property
    def outputs(self) -> int:
        """How often a pane has shown something so far."""
        with self._change:
            return self._outputs

    def wait_output(self, since: int, until: float) -> bool:
        """Until a pane has shown something after `outputs` was `since`; whether it did by then."""
        with self._change:
            self._change.wait_for(lambda: self._outputs > since or self._gone, until - time.monotonic())
            return self._outputs > since

    def close(self) -> None:
        """End the server, which hangs up all that runs in it. Twice is quiet."""
        with contextlib.suppress(TmuxFailed, BrokenPipeError):  # it may be gone before it answers
            if self._client.poll() is None:
                self.ask(["kill-server"])
        assert self._client.stdin is not None
        assert self._client.stdout is not None
        self._client.stdin.close()
        self._client.wait(STEP_SECONDS)
        self._reader.join(STEP_SECONDS)
        self._client.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class Pane:
    """One screen of the server and the program in it."""

    def __init__(self, tmux: Tmux, pane_id: str, tty: str) -> None:
        self._tmux, self._id, self._tty = tmux, pane_id, tty

    def type(self, text: str) -> None:
        """Type one line, or a part of it."""
        self._tmux.ask(["send-keys", "-t", self._id, "-l", "--", text])

    def keys(self, *names: str) -> None:
        """Press keys, each by its name in tmux(1), KEY BINDINGS: as the program switched them to."""
        self._tmux.ask(["send-keys", "-t", self._id, "--", *names])

    def paste(self, text: str) -> None:
        """Paste, between brackets if the program asked for them."""
        self._tmux.ask(["set-buffer", "--", text], ["paste-buffer", "-p", "-d", "-t", self._id])

    def click(self, row: int, col: int) -> None:
        """Press and release the left button, as the program wants to be told (xterm ctlseqs, Mouse Tracking)."""
        screen = self.screen()
        assert screen.on("mouse_any_flag")
        if screen.on("mouse_sgr_flag"):
            self.type(f"\x1b[<0;{col + 1};{row + 1}M\x1b[<0;{col + 1};{row + 1}m")
        else:
            place = chr(33 + col) + chr(33 + row)
            self.type(f"\x1b[M {place}\x1b[M#{place}")

    def resize(self, winsize: Winsize) -> None:
        """Give it another size, and tell what runs in it at once: tmux would gather sizes for a quarter of a second."""
        self._tmux.ask(["resize-window", "-t", self._id, "-x", str(winsize.cols), "-y", str(winsize.rows)])
        tty = os.open(self._tty, os.O_RDWR | os.O_NOCTTY)
        termios.tcsetwinsize(tty, winsize)
        os.close(tty)

    def close(self) -> None:
        """Hang up on the program, and take the screen away."""
        self._tmux.ask(["kill-window", "-t", self._id])

    def forget(self) -> None:
        """Throw the scrollback away."""
        self._tmux.ask(["clear-history", "-t", self._id])

    def screen(self) -> Screen:
        """What it shows now."""
        lines, [state] = self._tmux.ask(
            ["capture-pane", "-p", "-e", "-N", "-S", "-", "-t", self._id],
            ["display-message", "-p", "-t", self._id, _FORMAT],
        )
        return Screen(tuple(lines), dict(zip(STATE, state.split("\t"), strict=True)))

    def wait(self, what: str, happened: Callable[[Screen], bool], timeout_seconds: float = STEP_SECONDS) -> Screen:
        """The first screen for which it `happened`; fails with `what` and the last screen."""
        until = time.monotonic() + timeout_seconds
        while True:
            since = self._tmux.outputs
            screen = self.screen()
            if happened(screen):
                return screen
            if not self._tmux.wait_output(since, until):
                raise AssertionError(f"no {what} within {timeout_seconds:g} s, but {screen.state}\n{screen.text}")

    def wait_text(self, text: str, timeout_seconds: float = STEP_SECONDS) -> Screen:
        """Until `text` can be read."""
        return self.wait(repr(text), lambda screen: text in screen.text, timeout_seconds)
