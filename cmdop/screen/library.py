"""libghostty-vt, the library in the wheel of pyghostty, as far as the model needs it.

It is loaded by itself: that takes 10 ms, while pyghostty's own binding declares all of
the library at import, which takes a third of a second of CPU, for every session.
Names, numbers and types are those of its C interface, ghostty/vt/terminal.h.
"""

from __future__ import annotations

import ctypes
import enum
import importlib.util
from collections.abc import Callable
from pathlib import Path

from cmdop.errors import ModelUnusable

_FILES = ("libghostty-vt.so", "libghostty-vt.dylib")


class Option(enum.IntEnum):
    """GhosttyTerminalOption: what `Library.set` sets."""

    WRITE_PTY = 1
    SIZE = 6
    COLOR_SCHEME = 7
    COLOR_FOREGROUND = 11
    COLOR_BACKGROUND = 12
    COLOR_CURSOR = 13
    KITTY_IMAGE_STORAGE_LIMIT = 15
    KITTY_IMAGE_MEDIUM_FILE = 16
    KITTY_IMAGE_MEDIUM_TEMP_FILE = 17
    KITTY_IMAGE_MEDIUM_SHARED_MEM = 18
    APC_MAX_BYTES = 19
    GLYPH_PROTOCOL = 24
    SCROLLBACK_MAX_BYTES = 27
    SCROLLBACK_MAX_LINES = 28
    CONTINUATION_MAX_BYTES = 31
    MODE_DEFAULT = 33
    MODE = 34


class Data(enum.IntEnum):
    """GhosttyTerminalData: what `Library.get` gets."""

    COLS = 1
    CURSOR_X = 3
    CURSOR_Y = 4
    ACTIVE_SCREEN = 6
    MODE = 37
    VT_GROUND = 38


class ModeConfig(ctypes.Structure):
    """GhosttyTerminalModeConfig."""

    _fields_ = (("mode", ctypes.c_uint16), ("value", ctypes.c_bool))


class Rgb(ctypes.Structure):
    """GhosttyColorRgb."""

    _fields_ = (("red", ctypes.c_uint8), ("green", ctypes.c_uint8), ("blue", ctypes.c_uint8))


class SizeReport(ctypes.Structure):
    """GhosttySizeReportSize. The cell is in pixels."""

    _fields_ = (
        ("rows", ctypes.c_uint16),
        ("cols", ctypes.c_uint16),
        ("cell_width", ctypes.c_uint32),
        ("cell_height", ctypes.c_uint32),
    )


WritePty = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_ubyte), ctypes.c_size_t)
Size = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(SizeReport))
ColorScheme = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int))
DARK = 1


def library_path() -> str:
    """Where the library is. Raises ModelUnusable where no wheel of pyghostty is installed."""
    found = importlib.util.find_spec("pyghostty")
    for folder in (found.submodule_search_locations if found else None) or []:
        for name in _FILES:
            path = Path(folder, "_lib", name)
            if path.is_file():
                return str(path)
    raise ModelUnusable(reason="pyghostty is not installed")


class Library:
    """The functions of the library. While one runs, so do the other threads."""

    def __init__(self, path: str) -> None:
        """Raises ModelUnusable when there is no such library."""
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
            self._release = library.ghostty_free
        except (OSError, AttributeError) as error:
            raise ModelUnusable(reason=str(error)) from error
        self.new.argtypes = (pointer, out, ctypes.c_uint16, ctypes.c_uint16)
        self.free.argtypes, self.free.restype = (pointer,), None
        self.resize.argtypes = (pointer, ctypes.c_uint16, ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint32)
        self.set.argtypes = self.get.argtypes = (pointer, ctypes.c_int, pointer)
        self.write.argtypes, self.write.restype = (pointer, ctypes.c_char_p, size), None
        self.continuation.argtypes = self.encode.argtypes = (pointer, pointer, out, ctypes.POINTER(size))
        self._release.argtypes, self._release.restype = (pointer, pointer, size), None

    def allocated(self, call: Callable[..., int], terminal: ctypes.c_void_p) -> bytes:
        """What `continuation` or `encode` allocates for a terminal; nothing when it fails."""
        place, length = ctypes.c_void_p(), ctypes.c_size_t()
        if call(terminal, None, ctypes.byref(place), ctypes.byref(length)) or not place:
            return b""
        try:
            return ctypes.string_at(place, length.value)
        finally:
            self._release(None, place, length)
