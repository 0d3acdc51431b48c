"""Which PTY this platform has."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from cmdop.errors import ShellLost
from cmdop.ptyhost.interface import Pty, ShellCommand
from cmdop.winsize import Winsize


def open_pty(command: ShellCommand, env: Mapping[str, str], cwd: str, winsize: Winsize) -> Pty:
    """The command, running in a new PTY of that size, with that environment and no other.

    It leads a session of its own and the PTY is its controlling terminal. Raises
    ShellUnusable when it cannot be started.
    """
    if sys.platform == "win32":
        from cmdop.ptyhost.windows import open_console

        return open_console(command, env, cwd, winsize)
    else:  # noqa: RET505 - mypy leaves out a branch for another platform, not what comes after a return
        from cmdop.ptyhost.posix import open_posix_pty

        if sys.platform == "linux":
            from cmdop.ptyhost.linux import start_child
        else:
            from cmdop.ptyhost.launcher import start_child
        return open_posix_pty(start_child, command, env, cwd, winsize)


def take_over(kept: dict[str, Any]) -> Pty:
    """Go on with a PTY that `Pty.hand_over` described before this process became this program.

    To be called once, before any program is started. Raises ShellLost when it cannot
    be kept, out of descriptors; the shell is killed then.
    """
    if sys.platform == "win32":
        raise ShellLost(reason="a console cannot be kept")
    else:  # noqa: RET506 - as above
        from cmdop.ptyhost.posix import take_over_posix_pty

        if sys.platform == "linux":
            from cmdop.ptyhost.linux import adopt_child
        else:
            from cmdop.ptyhost.child import WaitedChild as adopt_child  # noqa: N813 - it is used as the function it is
        return take_over_posix_pty(adopt_child, kept)
