"""The one place that knows which platform's terminal this is."""

from __future__ import annotations

import sys

from cmdop.terminal.interface import Terminal


def open_terminal(stdin_fd: int = 0, stdout_fd: int = 1) -> Terminal:
    """The terminal behind these two descriptors, or whatever is there instead of one."""
    if sys.platform == "win32":
        import ctypes
        import msvcrt

        from cmdop.terminal.windows import WindowsTerminal
        from cmdop.terminal.windows_console import declare

        kernel32 = ctypes.WinDLL("kernel32")
        declare(kernel32)
        return WindowsTerminal(kernel32, msvcrt.get_osfhandle(stdin_fd), msvcrt.get_osfhandle(stdout_fd))
    else:  # mypy follows an else of sys.platform, and not what comes after a return  # noqa: RET505
        from cmdop.terminal.posix import PosixTerminal

        return PosixTerminal(stdin_fd, stdout_fd)
