"""A terminal on Windows: console modes, key records, a size that arrives as input.

Input is read with ReadConsoleInputW and not ReadFile: the console's handle is also
signalled for mouse, focus and size records, and a ReadFile that finds only those would
block past `wake`. With ENABLE_VIRTUAL_TERMINAL_INPUT every key arrives as the characters
of its escape sequence, one key record each.
"""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from ctypes import wintypes
from typing import Any

from cmdop.deadline import Deadline
from cmdop.errors import NotATerminal, TerminalGone
from cmdop.limits import STDOUT_PIECE_BYTES, TERMINAL_READ_BYTES
from cmdop.terminal import windows_console as console
from cmdop.terminal.interface import Output, Terminal
from cmdop.terminal.signals import handled
from cmdop.winsize import DEFAULT_WINSIZE, Winsize

_RECORDS_AT_ONCE = 1024


class WindowsOutput(Output):
    """Writes to a console as UTF-16, or to a file or pipe as it is; it cannot be waited for."""

    def __init__(self, kernel32: Any, handle: int) -> None:
        self._kernel32, self._handle = kernel32, handle
        self._is_console = _mode_of(kernel32, handle) is not None
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._closed = False

    def try_write(self, data: bytes | memoryview) -> int:
        if self._closed:
            raise TerminalGone(reason="it was closed")
        piece = bytes(data[:STDOUT_PIECE_BYTES])
        if not self._is_console:
            return self._call(self._kernel32.WriteFile, piece, len(piece))
        units = self._decoder.decode(piece).encode("utf-16-le")
        while units:
            units = units[2 * self._call(self._kernel32.WriteConsoleW, units, len(units) // 2) :]
        return len(piece)

    def _call(self, write: Any, data: bytes, count: int) -> int:
        written = wintypes.DWORD(0)
        if not write(self._handle, data, count, ctypes.byref(written), None) or (count and not written.value):
            raise TerminalGone(reason="it takes no output")
        return written.value

    @property
    def poll_fd(self) -> int | None:
        return None

    def close(self) -> None:
        self._closed = True


class WindowsTerminal(Terminal):
    """The console at these two handles. `kernel32` has been through `declare`.

    An input that is no console is read blocking; `wake` then takes effect at the next read.
    """

    def __init__(self, kernel32: Any, stdin_handle: int, stdout_handle: int) -> None:
        self._kernel32 = kernel32
        self._stdin, self._stdout = stdin_handle, stdout_handle
        self.output: Output = WindowsOutput(kernel32, stdout_handle)
        self._reads_console = _mode_of(kernel32, stdin_handle) is not None
        self._decoder = codecs.getincrementaldecoder("utf-16-le")(errors="replace")
        self._records = (console.InputRecord * _RECORDS_AT_ONCE)()
        self._is_raw = False
        self._on_resize: Callable[[], None] | None = None
        self._wake_event: int | None = kernel32.CreateEventW(None, True, False, None)
        self._woken = False
        # Guards `_wake_event` against being closed while it is set. Re-entrant, because
        # a signal handler may wake while its own thread closes.
        self._waking = threading.RLock()

    @property
    def is_tty(self) -> bool:
        return self._reads_console and _mode_of(self._kernel32, self._stdout) is not None

    def size(self) -> Winsize:
        info = console.ScreenBufferInfo()
        if not self._kernel32.GetConsoleScreenBufferInfo(self._stdout, ctypes.byref(info)):
            return DEFAULT_WINSIZE
        window = info.srWindow
        return Winsize(window.Bottom - window.Top + 1, window.Right - window.Left + 1).clamped()

    def raw(self) -> AbstractContextManager[None]:
        return self._raw()

    @contextlib.contextmanager
    def _raw(self) -> Iterator[None]:
        if self._is_raw or not self._reads_console:
            yield
            return
        kernel32 = self._kernel32
        before_in, before_out = _mode_of(kernel32, self._stdin), _mode_of(kernel32, self._stdout)
        pages = kernel32.GetConsoleCP(), kernel32.GetConsoleOutputCP()
        if before_in is None:
            raise TerminalGone(reason="it takes no input")
        self._is_raw = True
        try:
            self._set_raw(before_in, before_out)
            yield
        finally:
            self._is_raw = False
            kernel32.SetConsoleMode(self._stdin, before_in)
            if before_out is not None:
                kernel32.SetConsoleMode(self._stdout, before_out)
            kernel32.SetConsoleCP(pages[0])
            kernel32.SetConsoleOutputCP(pages[1])

    def _set_raw(self, before_in: int, before_out: int | None) -> None:
        kernel32 = self._kernel32
        cooked = console.ENABLE_PROCESSED_INPUT | console.ENABLE_LINE_INPUT | console.ENABLE_ECHO_INPUT
        raw_in = (before_in & ~cooked) | console.ENABLE_VIRTUAL_TERMINAL_INPUT | console.ENABLE_WINDOW_INPUT
        if not kernel32.SetConsoleMode(self._stdin, raw_in):
            raise NotATerminal(what="an attach (one that knows escape sequences, of Windows 10 or newer)")
        if before_out is not None:
            raw_out = before_out | console.ENABLE_PROCESSED_OUTPUT | console.ENABLE_VIRTUAL_TERMINAL_PROCESSING
            # Older consoles refuse the first one's last flag; a line feed then also returns the carriage.
            wanted = (raw_out | console.DISABLE_NEWLINE_AUTO_RETURN, raw_out)
            if not any(kernel32.SetConsoleMode(self._stdout, mode) for mode in wanted):
                raise NotATerminal(what="an attach (one that knows escape sequences, of Windows 10 or newer)")
        kernel32.SetConsoleCP(console.CODE_PAGE_UTF8)
        kernel32.SetConsoleOutputCP(console.CODE_PAGE_UTF8)

    def read(self, timeout_seconds: float | None) -> bytes | None:
        if not self._reads_console:
            return None if self._woken else self._read_file()
        deadline = Deadline(timeout_seconds)
        handles = (wintypes.HANDLE * 2)(self._wake_event, self._stdin)
        while not self._woken:
            left = deadline.remaining_seconds
            wait_ms = console.INFINITE if left is None else min(int(left * 1000 + 0.999), console.INFINITE - 1)
            came = self._kernel32.WaitForMultipleObjects(2, handles, False, wait_ms)
            if came in (console.WAIT_OBJECT_0, console.WAIT_TIMEOUT) or self._woken:
                return None
            data = self._read_records() if came == console.WAIT_OBJECT_0 + 1 else None
            if data is None:
                return b""
            if data:
                return data
        return None

    def _read_records(self) -> bytes | None:
        """What the waiting records typed, maybe nothing; None when the console is gone."""
        count = wintypes.DWORD(0)
        if not self._kernel32.ReadConsoleInputW(self._stdin, self._records, _RECORDS_AT_ONCE, ctypes.byref(count)):
            return None
        units = bytearray()
        resized = False
        for record in self._records[: count.value]:
            if record.EventType == console.KEY_EVENT:
                units += _typed_units(record.Event.KeyEvent)
            resized = resized or record.EventType == console.WINDOW_BUFFER_SIZE_EVENT
        callback = self._on_resize
        if resized and callback is not None:
            callback()
        return self._decoder.decode(bytes(units)).encode("utf-8", errors="replace")

    def _read_file(self) -> bytes:
        buffer, count = ctypes.create_string_buffer(TERMINAL_READ_BYTES), wintypes.DWORD(0)
        if not self._kernel32.ReadFile(self._stdin, buffer, TERMINAL_READ_BYTES, ctypes.byref(count), None):
            return b""
        return buffer.raw[: count.value]

    def wake(self) -> None:
        self._woken = True
        with self._waking:
            if self._wake_event is not None:
                self._kernel32.SetEvent(self._wake_event)

    @contextlib.contextmanager
    def _resizing(self, callback: Callable[[], None]) -> Iterator[None]:
        before, self._on_resize = self._on_resize, callback
        try:
            yield
        finally:
            self._on_resize = before

    def on_resize(self, callback: Callable[[], None]) -> AbstractContextManager[None]:
        return self._resizing(callback)

    def on_end(self, callback: Callable[[int], None]) -> AbstractContextManager[None]:
        # SIGBREAK is there on Windows only. A console that is closed takes its modes with it.
        numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)]
        return handled(numbers, callback, keep_ignored=True)

    def drain_input(self, answers_due: bool = False) -> None:
        # Asked questions are answered by the console itself, at once: nothing is on its way.
        self._kernel32.FlushConsoleInputBuffer(self._stdin)

    def close(self) -> None:
        self._woken = True
        self.output.close()
        with self._waking:
            event, self._wake_event = self._wake_event, None
            if event is not None:
                self._kernel32.CloseHandle(event)


def _mode_of(kernel32: Any, handle: int) -> int | None:
    """The mode of a console; None for what is none."""
    mode = wintypes.DWORD(0)
    return mode.value if kernel32.GetConsoleMode(handle, ctypes.byref(mode)) else None


def _typed_units(key: console.KeyEvent) -> bytes:
    """The UTF-16 units that a key record types, little-endian."""
    unit: int = key.UnicodeChar
    if unit:
        # Alt with digits of the number pad types a character when Alt comes up.
        types = bool(key.bKeyDown) or key.wVirtualKeyCode == console.VK_MENU
    else:
        # Ctrl-Space and Ctrl-@ type a character of value 0; other keys have none.
        ctrl = bool(key.dwControlKeyState & console.CTRL_PRESSED)
        types = bool(key.bKeyDown) and ctrl and key.wVirtualKeyCode in (console.VK_SPACE, console.VK_2)
    return unit.to_bytes(2, "little") * max(1, key.wRepeatCount) if types else b""
