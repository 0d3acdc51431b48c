"""The terminal model by libghostty-vt, the library in the wheel of pyghostty.

The library is loaded by itself: what it needs is a dozen functions of its C interface
(ghostty/vt/terminal.h and snapshot.h), while pyghostty's own binding declares all of it
at import, which takes a third of a second of CPU, for every session.

What programs print can crash the library (its own panics end the process), so this is
run in a process apart: see isolated.py.
"""

from __future__ import annotations

import ctypes
import importlib.util
import threading
from collections.abc import Callable
from pathlib import Path

from cmdop.errors import ModelUnusable
from cmdop.limits import (
    ANSWERS_MAX_BYTES,
    MODEL_CELLS_MAX,
    PTY_READ_BYTES,
    SCROLLBACK_MAX_BYTES,
    SEQUENCE_MAX_BYTES,
)
from cmdop.screen.decoding import decode
from cmdop.screen.drawing import draw
from cmdop.screen.interface import Capture, ScreenModel, Snapshot
from cmdop.screen.skipping import Skipping
from cmdop.screen.state import Terminal
from cmdop.winsize import Winsize

_LIBRARY_NAMES = ("libghostty-vt.so", "libghostty-vt.dylib")

# GhosttyTerminalOption
_WRITE_PTY, _SIZE, _COLOR_SCHEME = 1, 6, 7
_TEXT_COLOUR, _BACKGROUND_COLOUR, _CURSOR_COLOUR = 11, 12, 13
_KITTY_IMAGE_BYTES, _KITTY_IMAGE_FILES, _APC_BYTES, _GLYPHS = 15, (16, 17, 18), 19, 24
_SCROLLBACK_BYTES, _SCROLLBACK_LINES, _CONTINUATION_BYTES, _MODE_DEFAULT, _MODE = 27, 28, 31, 33, 34
# GhosttyTerminalData
_COLS, _CURSOR_COL, _CURSOR_ROW, _SHOWN_SCREEN, _MODE_NOW, _AT_GROUND = 1, 3, 4, 6, 37, 38

_CAN = b"\x18"
_DEL = b"\x7f"
"""Terminals pass over it (ECMA-35 6.2.4), while the library would show it."""
_CELL_PIXELS = (8, 16)
_ORIGIN, _AUTOWRAP, _AUTO_REPEAT = 6, 7, 8
"""The last, DECARM, is on in a terminal that nobody switched, but not in the library."""

_Answer = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_ubyte), ctypes.c_size_t)


class _ModeConfig(ctypes.Structure):
    _fields_ = (("mode", ctypes.c_uint16), ("value", ctypes.c_bool))


class _Rgb(ctypes.Structure):
    _fields_ = (("red", ctypes.c_uint8), ("green", ctypes.c_uint8), ("blue", ctypes.c_uint8))


class _SizeReport(ctypes.Structure):
    _fields_ = (
        ("rows", ctypes.c_uint16),
        ("cols", ctypes.c_uint16),
        ("cell_width", ctypes.c_uint32),
        ("cell_height", ctypes.c_uint32),
    )


_Size = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(_SizeReport))
_Scheme = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int))


def library_path() -> str:
    """Where the library is. Raises ModelUnusable where no wheel of pyghostty is installed."""
    found = importlib.util.find_spec("pyghostty")
    folders = (found.submodule_search_locations if found else None) or []
    for folder in folders:
        for name in _LIBRARY_NAMES:
            path = Path(folder, "_lib", name)
            if path.is_file():
                return str(path)
    raise ModelUnusable(reason="pyghostty is not installed")


class Library:
    """The functions of libghostty-vt. Calling them lets other threads run."""

    def __init__(self, path: str) -> None:
        """Raises ModelUnusable when the library cannot be loaded or is another one than expected."""
        size, pointer = ctypes.c_size_t, ctypes.c_void_p
        out = ctypes.POINTER(pointer)
        try:
            library = ctypes.CDLL(path)
            self.new = library.ghostty_terminal_new
            self.free = library.ghostty_terminal_free
            self.resize = library.ghostty_terminal_resize
            self.set = library.ghostty_terminal_set
            self.get = library.ghostty_terminal_get
            self.write = library.ghostty_terminal_vt_write
            self.continuation = library.ghostty_terminal_continuation_alloc
            self.encode = library.ghostty_snapshot_encode_alloc
            self.release = library.ghostty_free
        except (OSError, AttributeError) as error:
            raise ModelUnusable(reason=str(error)) from error
        self.new.argtypes = (pointer, out, ctypes.c_uint16, ctypes.c_uint16)
        self.free.argtypes, self.free.restype = (pointer,), None
        self.resize.argtypes = (pointer, ctypes.c_uint16, ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint32)
        self.set.argtypes = self.get.argtypes = (pointer, ctypes.c_int, pointer)
        self.write.argtypes, self.write.restype = (pointer, ctypes.c_char_p, size), None
        self.continuation.argtypes = self.encode.argtypes = (pointer, pointer, out, ctypes.POINTER(size))
        self.release.argtypes, self.release.restype = (pointer, pointer, size), None
        _check(self)


class GhosttyScreen(ScreenModel):
    """A terminal of the library. One thread at a time is in it, whoever calls."""

    def __init__(self, winsize: Winsize, library: Library) -> None:
        """Raises ModelUnusable when the library cannot make a terminal."""
        self._library = library
        # Guards the terminal and all that follows it. The library computes while it is
        # held; it waits for nothing.
        self._lock = threading.Lock()
        self._size = _clamped(winsize)
        self._answers = bytearray()
        self._skipping = Skipping()
        self._unfinished_bytes = 0
        self._callbacks = _Answer(self._answered), _Size(self._told_size), _Scheme(_told_scheme)
        handle = ctypes.c_void_p()
        if library.new(None, ctypes.byref(handle), self._size.cols, self._size.rows):
            raise ModelUnusable(reason="no terminal of that size")
        self._handle: ctypes.c_void_p | None = handle
        self._configure()

    def _configure(self) -> None:
        sizes = {
            _SCROLLBACK_BYTES: SCROLLBACK_MAX_BYTES,
            _CONTINUATION_BYTES: SEQUENCE_MAX_BYTES + PTY_READ_BYTES,
            _APC_BYTES: SEQUENCE_MAX_BYTES,
            _KITTY_IMAGE_BYTES: 0,  # pictures are not kept
        }
        for option, count in sizes.items():
            self._set(option, ctypes.c_uint64(count))
        self._library.set(self._handle, _SCROLLBACK_LINES, None)  # counting lines costs most of the speed
        for option in (*_KITTY_IMAGE_FILES, _GLYPHS):
            self._set(option, ctypes.c_bool(False))
        for option, level in ((_TEXT_COLOUR, 0xCC), (_BACKGROUND_COLOUR, 0), (_CURSOR_COLOUR, 0xCC)):
            self._set(option, _Rgb(level, level, level))
        for option in (_MODE_DEFAULT, _MODE):
            self._set(option, _ModeConfig(_AUTO_REPEAT, True))

    def _set(self, option: int, value: ctypes._SimpleCData[int] | ctypes._SimpleCData[bool] | ctypes.Structure) -> None:
        self._library.set(self._handle, option, ctypes.byref(value))

    # -- output -------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        with self._lock:
            for at in range(0, len(data), PTY_READ_BYTES):
                piece = data[at : at + PTY_READ_BYTES].replace(_DEL, b"")
                self._take(self._skipping.rest(piece))

    def _take(self, piece: bytes) -> None:
        if self._handle is None or not piece:
            return
        self._library.write(self._handle, piece, len(piece))
        self._unfinished_bytes = 0 if self._get(_AT_GROUND, ctypes.c_bool()) else self._unfinished_bytes + len(piece)
        if self._unfinished_bytes > SEQUENCE_MAX_BYTES:
            self._skipping.begin(self._continuation())
            self._cancel()
            self._unfinished_bytes = 0
        if self._get(_COLS, ctypes.c_uint16()) != self._size.cols:  # DECCOLM: the PTY has not changed
            self._apply_size()

    def resize(self, winsize: Winsize) -> None:
        with self._lock:
            self._size = _clamped(winsize)
            self._apply_size()

    def _apply_size(self) -> None:
        if self._handle is None:
            return
        # The library folds lines anew only with autowrap on; without, it would cut wide
        # characters of the scrollback in half.
        autowrap = self._is_on(_AUTOWRAP)
        self._set(_MODE, _ModeConfig(_AUTOWRAP, True))
        self._library.resize(self._handle, self._size.cols, self._size.rows, *_CELL_PIXELS)
        self._set(_MODE, _ModeConfig(_AUTOWRAP, autowrap))

    def _is_on(self, mode: int) -> bool:
        config = _ModeConfig(mode)
        self._library.get(self._handle, _MODE_NOW, ctypes.byref(config))
        return bool(config.value)

    def _get(self, data: int, value: ctypes._SimpleCData[int] | ctypes._SimpleCData[bool]) -> int:
        self._library.get(self._handle, data, ctypes.byref(value))
        return value.value

    # -- the state ------------------------------------------------------------------------

    def capture(self, history: bool = True, redraw: bool = False) -> Capture:
        with self._lock:
            encoded = self._encoded()
            return _Captured(encoded, self._skipping.pending or self._continuation(), history, redraw)

    def state(self) -> Terminal:
        """Everything. Raises ValueError when it cannot be read."""
        with self._lock:
            encoded = self._encoded()
        return decode(encoded)

    def _encoded(self) -> bytes:
        """The snapshot of the library; empty if nothing helps to get one."""
        for repair in (None, self._erase_halves, self._cancel):
            if self._handle is None:
                break
            if repair is not None:
                repair()
            if encoded := self._allocated(self._library.encode):
                return encoded
        return b""

    def _cancel(self) -> None:
        """Some sequences that no terminal knows are not encoded as long as they are unfinished."""
        self._library.write(self._handle, _CAN, len(_CAN))

    def _erase_halves(self) -> None:
        """Making a window narrower cuts wide characters of the alternate screen in half, and
        a screen with half a character is not encoded: erase its last column, or all of it
        when it is not shown."""
        rows, cols = self._size
        if self._get(_SHOWN_SCREEN, ctypes.c_int()):
            origin = b"\x1b[?6h" if self._is_on(_ORIGIN) else b""
            place = self._get(_CURSOR_ROW, ctypes.c_uint16()) + 1, self._get(_CURSOR_COL, ctypes.c_uint16()) + 1
            erasing = b"".join(b"\x1b[%d;%dH\x1b[X" % (row, cols) for row in range(1, rows + 1))
            repair = b"\x1b[?6l" + erasing + origin + b"\x1b[%d;%dH" % place
        else:
            repair = b"\x1b[?47h\x1b[2J\x1b[?47l"
        unfinished = self._continuation()
        for piece in (_CAN if unfinished else b"", repair, unfinished):
            self._library.write(self._handle, piece, len(piece))

    def _continuation(self) -> bytes:
        """The sequence or character that is not finished."""
        return self._allocated(self._library.continuation)

    def _allocated(self, call: Callable[..., int]) -> bytes:
        """What a function of the library allocates; nothing where it fails."""
        if self._handle is None:
            return b""
        place, length = ctypes.c_void_p(), ctypes.c_size_t()
        if call(self._handle, None, ctypes.byref(place), ctypes.byref(length)) or not place:
            return b""
        try:
            return ctypes.string_at(place, length.value)
        finally:
            self._library.release(None, place, length)

    # -- questions ----------------------------------------------------------------------------

    def answer(self, answering: bool) -> None:
        with self._lock:
            if self._handle is not None:
                for option, callback in zip((_WRITE_PTY, _SIZE, _COLOR_SCHEME), self._callbacks, strict=True):
                    value = ctypes.cast(callback, ctypes.c_void_p) if answering else None
                    self._library.set(self._handle, option, value)

    def answers(self) -> bytes:
        with self._lock:
            answers = bytes(self._answers)
            self._answers.clear()
        return answers

    def _answered(self, _terminal: int, _user: int, data: ctypes._Pointer[ctypes.c_ubyte], length: int) -> None:
        """Called by the library while it is fed; the lock is held."""
        if len(self._answers) + length <= ANSWERS_MAX_BYTES:
            self._answers += ctypes.string_at(data, length)

    def _told_size(self, _terminal: int, _user: int, out: ctypes._Pointer[_SizeReport]) -> bool:
        out[0] = _SizeReport(self._size.rows, self._size.cols, *_CELL_PIXELS)
        return True

    def close(self) -> None:
        with self._lock:
            handle, self._handle = self._handle, None
            if handle is not None:
                self._library.free(handle)


class _Captured(Capture):
    def __init__(self, encoded: bytes, pending: bytes, history: bool, redraw: bool) -> None:
        self._encoded, self._pending, self._history, self._redraw = encoded, pending, history, redraw

    def draw(self) -> Snapshot:
        data, reports = draw(decode(self._encoded), self._history, self._redraw)
        return Snapshot(data, reports, self._pending)


def _told_scheme(_terminal: int, _user: int, out: ctypes._Pointer[ctypes.c_int]) -> bool:
    out[0] = 1  # dark
    return True


def _clamped(winsize: Winsize) -> Winsize:
    """A size whose screens fit into memory."""
    rows, cols = winsize.clamped()
    cols = min(cols, MODEL_CELLS_MAX)
    return Winsize(min(rows, MODEL_CELLS_MAX // cols), cols)


def _check(library: Library) -> None:
    """Make sure that the snapshots of this library are read rightly: their format is not fixed."""
    screen = GhosttyScreen(Winsize(3, 10), library)
    try:
        screen.feed(
            b"\x1b[?2004;1006h\x1b]2;t\x07\x1b[3g\x1b7ab\x1b[1;38;2;9;8;7m\xe4\xb8\xad\x1b[2;3r\x1b[2;4H\x1b[>5u"
        )
        state = screen.state()
    except ValueError as error:
        raise ModelUnusable(reason=f"this version of the library is not known: {error}") from error
    finally:
        screen.close()
    primary = state.primary
    expected = (b"t", (1, 2, 0, 9), (1, 3), (0, 5), frozenset[int](), [4, 0, 0], "\u4e2d")
    found = (
        *(state.title, tuple(state.region), (primary.row, primary.col), primary.keyboard),
        *(state.tab_stops, [row.used for row in primary.rows], state.last_printed),
    )
    if found != expected:
        raise ModelUnusable(reason="this version of the library is not known")
