"""The terminal model by libghostty-vt.

What programs print can crash the library: some of its checks end the process, and others
were left out of it for speed. So this runs in a process apart, see isolated.py.
"""

from __future__ import annotations

import ctypes
import threading

from cmdop.errors import ModelUnusable
from cmdop.limits import (
    ANSWERS_MAX_BYTES,
    MODEL_CELLS_MAX,
    PTY_READ_BYTES,
    SCROLLBACK_MAX_BYTES,
    SEQUENCE_MAX_BYTES,
)
from cmdop.screen.decoding import decode, region
from cmdop.screen.drawing import draw
from cmdop.screen.interface import Capture, Snapshot, TerminalModel
from cmdop.screen.library import DARK, ColorScheme, Data, Library, ModeConfig, Option, Rgb, Size, SizeReport, WritePty
from cmdop.screen.skipping import Skipping
from cmdop.screen.state import Region, Terminal
from cmdop.winsize import Winsize

_CAN = b"\x18"
_DEL = b"\x7f"
"""Terminals pass over it (ECMA-35 6.2.4), while the library would show it."""
_CELL_PIXELS = (8, 16)
_CELL_BYTES = 8
"""Of the library's memory; a row takes some more."""
_ORIGIN, _AUTOWRAP, _AUTO_REPEAT = 6, 7, 8
"""The last, DECARM, is on in a terminal that nobody switched, but not in the library."""


def open_library(path: str) -> Library:
    """The library, if it is one whose snapshots are understood. Raises ModelUnusable.

    Their format is not fixed, so a small one is read and looked at.
    """
    library = Library(path)
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
    return library


class GhosttyScreen(TerminalModel):
    """A terminal of the library. One thread at a time is in it, whoever calls.

    Drawing a capture raises ValueError when the library did not encode its state.
    """

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
        self._callbacks = WritePty(self._answered), Size(self._told_size), ColorScheme(_told_scheme)
        handle = ctypes.c_void_p()
        if library.new(None, ctypes.byref(handle), self._size.cols, self._size.rows):
            raise ModelUnusable(reason="no terminal of that size")
        self._handle: ctypes.c_void_p | None = handle
        self._configure()

    def _configure(self) -> None:
        sizes = {
            Option.SCROLLBACK_MAX_BYTES: SCROLLBACK_MAX_BYTES,
            Option.CONTINUATION_MAX_BYTES: SEQUENCE_MAX_BYTES + PTY_READ_BYTES,
            Option.APC_MAX_BYTES: SEQUENCE_MAX_BYTES,
            Option.KITTY_IMAGE_STORAGE_LIMIT: 0,  # pictures are not kept
        }
        for option, count in sizes.items():
            self._set(option, ctypes.c_uint64(count))
        self._library.set(self._handle, Option.SCROLLBACK_MAX_LINES, None)  # counting them costs most of the speed
        for option in (
            *(Option.KITTY_IMAGE_MEDIUM_FILE, Option.KITTY_IMAGE_MEDIUM_TEMP_FILE),
            *(Option.KITTY_IMAGE_MEDIUM_SHARED_MEM, Option.GLYPH_PROTOCOL),
        ):
            self._set(option, ctypes.c_bool(False))
        colours = {Option.COLOR_FOREGROUND: 0xCC, Option.COLOR_BACKGROUND: 0, Option.COLOR_CURSOR: 0xCC}
        for option, level in colours.items():
            self._set(option, Rgb(level, level, level))
        for option in (Option.MODE_DEFAULT, Option.MODE):
            self._set(option, ModeConfig(_AUTO_REPEAT, True))

    def _set(
        self, option: Option, value: ctypes._SimpleCData[int] | ctypes._SimpleCData[bool] | ctypes.Structure
    ) -> None:
        self._library.set(self._handle, option, ctypes.byref(value))

    def _get(self, data: Data, value: ctypes._SimpleCData[int] | ctypes._SimpleCData[bool]) -> int:
        self._library.get(self._handle, data, ctypes.byref(value))
        return value.value

    def _is_on(self, mode: int) -> bool:
        config = ModeConfig(mode)
        self._library.get(self._handle, Data.MODE, ctypes.byref(config))
        return bool(config.value)

    def _write(self, data: bytes) -> None:
        self._library.write(self._handle, data, len(data))

    # -- output -------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        with self._lock:
            for at in range(0, len(data), PTY_READ_BYTES):
                piece = data[at : at + PTY_READ_BYTES].replace(_DEL, b"")
                self._take(self._skipping.rest(piece))

    def _take(self, piece: bytes) -> None:
        if self._handle is None or not piece:
            return
        self._write(piece)
        finished = self._get(Data.VT_GROUND, ctypes.c_bool())
        self._unfinished_bytes = 0 if finished else self._unfinished_bytes + len(piece)
        if self._unfinished_bytes > SEQUENCE_MAX_BYTES:
            self._skipping.begin(self._continuation())
            self._write(_CAN)
            self._unfinished_bytes = 0
        if self._get(Data.COLS, ctypes.c_uint16()) != self._size.cols:  # DECCOLM: the PTY has not changed
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
        self._set(Option.MODE, ModeConfig(_AUTOWRAP, True))
        self._library.resize(self._handle, self._size.cols, self._size.rows, *_CELL_PIXELS)
        self._set(Option.MODE, ModeConfig(_AUTOWRAP, autowrap))

    # -- the state ------------------------------------------------------------------------

    def capture(self, history: bool = True, redraw: bool = False, fits: bool = True) -> Capture:
        with self._lock:
            encoded = self._encoded()
            return _Captured(encoded, self._skipping.pending or self._continuation(), history, redraw, fits)

    def state(self) -> Terminal:
        """Everything. Raises ValueError when it cannot be read."""
        with self._lock:
            encoded = self._encoded()
        return decode(encoded)

    @property
    def is_within_sequence(self) -> bool:
        """Whether the output ends in an unfinished sequence or character."""
        with self._lock:
            return self._is_within_sequence

    @property
    def _is_within_sequence(self) -> bool:
        return self._skipping.is_on or not self._get(Data.VT_GROUND, ctypes.c_bool())

    @property
    def scrolls_whole(self) -> bool:
        """Whether lines of text to come scroll away everything that is shown now.

        They do if no margins are set (DECSTBM, DECSLRM) and no sequence swallows them.
        """
        with self._lock:
            if self._handle is None or self._is_within_sequence:
                return False
            rows, cols = self._size
            return region(self._encoded()) == Region(0, rows - 1, 0, cols - 1)

    @property
    def lines_max(self) -> int:
        """No more lines than these are shown or in the scrollback."""
        rows, cols = self._size
        return rows + SCROLLBACK_MAX_BYTES // (_CELL_BYTES * cols)

    def _continuation(self) -> bytes:
        """The sequence or character that is not finished."""
        return self._library.allocated(self._library.continuation, self._handle) if self._handle else b""

    def _encoded(self) -> bytes:
        """The snapshot of the library; empty if nothing helps to get one."""
        for repair in (None, self._erase_halves, self._cancel):
            if self._handle is None:
                break
            if repair is not None:
                repair()
            if encoded := self._library.allocated(self._library.encode, self._handle):
                return encoded
        return b""

    def _cancel(self) -> None:
        """Some sequences that no terminal knows are not encoded as long as they are unfinished."""
        self._write(_CAN)

    def _erase_halves(self) -> None:
        """Making a window narrower cuts wide characters of the alternate screen in half, and
        a screen with half a character is not encoded: erase its last column, or all of it
        when it is not shown."""
        rows, cols = self._size
        if self._get(Data.ACTIVE_SCREEN, ctypes.c_int()):
            origin = b"\x1b[?6h" if self._is_on(_ORIGIN) else b""
            place = self._get(Data.CURSOR_Y, ctypes.c_uint16()) + 1, self._get(Data.CURSOR_X, ctypes.c_uint16()) + 1
            erasing = b"".join(b"\x1b[%d;%dH\x1b[X" % (row, cols) for row in range(1, rows + 1))
            repair = b"\x1b[?6l" + erasing + origin + b"\x1b[%d;%dH" % place
        else:
            repair = b"\x1b[?47h\x1b[2J\x1b[?47l"
        unfinished = self._continuation()
        self._write((_CAN if unfinished else b"") + repair + unfinished)

    # -- questions ----------------------------------------------------------------------------

    def answer(self, answering: bool) -> None:
        options = (Option.WRITE_PTY, Option.SIZE, Option.COLOR_SCHEME)
        with self._lock:
            if self._handle is not None:
                for option, callback in zip(options, self._callbacks, strict=True):
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

    def _told_size(self, _terminal: int, _user: int, out: ctypes._Pointer[SizeReport]) -> bool:
        out[0] = SizeReport(self._size.rows, self._size.cols, *_CELL_PIXELS)
        return True

    def close(self) -> None:
        with self._lock:
            handle, self._handle = self._handle, None
            if handle is not None:
                self._library.free(handle)


class _Captured(Capture):
    def __init__(self, encoded: bytes, pending: bytes, history: bool, redraw: bool, fits: bool) -> None:
        self._encoded, self._pending = encoded, pending
        self._history, self._redraw, self._fits = history, redraw, fits

    def draw(self) -> Snapshot:
        data, reports = draw(decode(self._encoded), self._history, self._redraw, self._fits)
        return Snapshot(data, reports, self._pending)


def _told_scheme(_terminal: int, _user: int, out: ctypes._Pointer[ctypes.c_int]) -> bool:
    out[0] = DARK
    return True


def _clamped(winsize: Winsize) -> Winsize:
    """A size whose screens fit into memory."""
    rows, cols = winsize.clamped()
    cols = min(cols, MODEL_CELLS_MAX)
    return Winsize(min(rows, MODEL_CELLS_MAX // cols), cols)
