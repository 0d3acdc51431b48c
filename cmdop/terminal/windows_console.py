"""The parts of the Windows console API that a terminal needs: numbers, records, prototypes.

Sources: learn.microsoft.com/windows/console (SetConsoleMode, ReadConsoleInput,
KEY_EVENT_RECORD) and the headers consoleapi.h and wincon.h.
"""

from __future__ import annotations

import ctypes
from ctypes import wintypes
from typing import Any, Final

# SetConsoleMode, input.
ENABLE_PROCESSED_INPUT: Final = 0x0001
ENABLE_LINE_INPUT: Final = 0x0002
ENABLE_ECHO_INPUT: Final = 0x0004
ENABLE_WINDOW_INPUT: Final = 0x0008
ENABLE_VIRTUAL_TERMINAL_INPUT: Final = 0x0200

# SetConsoleMode, output.
ENABLE_PROCESSED_OUTPUT: Final = 0x0001
ENABLE_VIRTUAL_TERMINAL_PROCESSING: Final = 0x0004
DISABLE_NEWLINE_AUTO_RETURN: Final = 0x0008

CODE_PAGE_UTF8: Final = 65001

# INPUT_RECORD.EventType, and what is looked at in a key's.
KEY_EVENT: Final = 0x0001
WINDOW_BUFFER_SIZE_EVENT: Final = 0x0004
VK_MENU: Final = 0x12
VK_SPACE: Final = 0x20
VK_2: Final = 0x32
CTRL_PRESSED: Final = 0x0004 | 0x0008

# WaitForMultipleObjects.
WAIT_OBJECT_0: Final = 0x0000
WAIT_TIMEOUT: Final = 0x0102
INFINITE: Final = 0xFFFFFFFF


# With types of a fixed size: on other platforms those of wintypes have others.


class Coord(ctypes.Structure):
    _fields_ = (("X", ctypes.c_int16), ("Y", ctypes.c_int16))


class SmallRect(ctypes.Structure):
    _fields_ = (
        ("Left", ctypes.c_int16),
        ("Top", ctypes.c_int16),
        ("Right", ctypes.c_int16),
        ("Bottom", ctypes.c_int16),
    )


class ScreenBufferInfo(ctypes.Structure):
    """CONSOLE_SCREEN_BUFFER_INFO."""

    _fields_ = (
        ("dwSize", Coord),
        ("dwCursorPosition", Coord),
        ("wAttributes", ctypes.c_uint16),
        ("srWindow", SmallRect),
        ("dwMaximumWindowSize", Coord),
    )


class KeyEvent(ctypes.Structure):
    """KEY_EVENT_RECORD; the character is a UTF-16 unit, which may be half of a pair."""

    _fields_ = (
        ("bKeyDown", ctypes.c_int32),
        ("wRepeatCount", ctypes.c_uint16),
        ("wVirtualKeyCode", ctypes.c_uint16),
        ("wVirtualScanCode", ctypes.c_uint16),
        ("UnicodeChar", ctypes.c_uint16),
        ("dwControlKeyState", ctypes.c_uint32),
    )


class _Event(ctypes.Union):
    _fields_ = (("KeyEvent", KeyEvent), ("WindowBufferSizeEvent", Coord), ("_room", ctypes.c_uint32 * 4))


class InputRecord(ctypes.Structure):
    """INPUT_RECORD, 20 bytes."""

    _fields_ = (("EventType", ctypes.c_uint16), ("Event", _Event))


_DWORD_OUT = ctypes.POINTER(wintypes.DWORD)

_PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "GetConsoleMode": (wintypes.BOOL, (wintypes.HANDLE, _DWORD_OUT)),
    "SetConsoleMode": (wintypes.BOOL, (wintypes.HANDLE, wintypes.DWORD)),
    "GetConsoleCP": (wintypes.UINT, ()),
    "SetConsoleCP": (wintypes.BOOL, (wintypes.UINT,)),
    "GetConsoleOutputCP": (wintypes.UINT, ()),
    "SetConsoleOutputCP": (wintypes.BOOL, (wintypes.UINT,)),
    "GetConsoleScreenBufferInfo": (wintypes.BOOL, (wintypes.HANDLE, ctypes.POINTER(ScreenBufferInfo))),
    "ReadConsoleInputW": (
        wintypes.BOOL,
        (wintypes.HANDLE, ctypes.POINTER(InputRecord), wintypes.DWORD, _DWORD_OUT),
    ),
    "FlushConsoleInputBuffer": (wintypes.BOOL, (wintypes.HANDLE,)),
    "WriteConsoleW": (wintypes.BOOL, (wintypes.HANDLE, ctypes.c_char_p, wintypes.DWORD, _DWORD_OUT, ctypes.c_void_p)),
    "ReadFile": (wintypes.BOOL, (wintypes.HANDLE, ctypes.c_char_p, wintypes.DWORD, _DWORD_OUT, ctypes.c_void_p)),
    "WriteFile": (wintypes.BOOL, (wintypes.HANDLE, ctypes.c_char_p, wintypes.DWORD, _DWORD_OUT, ctypes.c_void_p)),
    "CreateEventW": (wintypes.HANDLE, (ctypes.c_void_p, wintypes.BOOL, wintypes.BOOL, ctypes.c_void_p)),
    "SetEvent": (wintypes.BOOL, (wintypes.HANDLE,)),
    "CloseHandle": (wintypes.BOOL, (wintypes.HANDLE,)),
    "WaitForMultipleObjects": (
        wintypes.DWORD,
        (wintypes.DWORD, ctypes.POINTER(wintypes.HANDLE), wintypes.BOOL, wintypes.DWORD),
    ),
}


def declare(kernel32: Any) -> None:
    """Tell ctypes what these functions take and return, so that handles keep their 64 bits."""
    for name, (result, arguments) in _PROTOTYPES.items():
        function = getattr(kernel32, name)
        function.restype, function.argtypes = result, arguments
