"""How this platform runs a program without a session."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from cmdop.errors import CommandUnusable, ShellUnusable
from cmdop.exechost.interface import Program, ShellCommand
from cmdop.winsize import Winsize


def open_program(
    command: ShellCommand, env: Mapping[str, str], cwd: str, with_input: bool, as_written: bool = False
) -> Program:
    """The command, running with three pipes, as the leader of a process group of its own.

    Its input is empty unless it is to be `with_input`. `as_written` says that its argv is
    a shell's own command line, which matters where a command line is one text. Raises
    CommandUnusable.
    """
    if sys.platform == "win32":
        from cmdop.exechost.threaded import open_threaded_program

        return open_threaded_program(command, env, cwd, with_input, as_written)
    else:  # noqa: RET505 - mypy leaves out a branch for another platform, not what comes after a return
        from cmdop.exechost.posix import open_posix_program

        if sys.platform == "linux":
            from cmdop.ptyhost.linux import start_piped_child
        else:
            from cmdop.ptyhost.launcher import start_piped_child
        return open_posix_program(start_piped_child, command, env, cwd, with_input)


def open_in_terminal(command: ShellCommand, env: Mapping[str, str], cwd: str, winsize: Winsize) -> Program:
    """The command, running in a terminal of its own. Raises CommandUnusable."""
    from cmdop.exechost.terminal import TerminalProgram
    from cmdop.ptyhost.factory import open_pty

    try:
        return TerminalProgram(open_pty(command, env, cwd, winsize))
    except ShellUnusable as error:
        reason, cause = error.details["reason"], error.__cause__
        number = cause.errno if isinstance(cause, OSError) else None
        raise CommandUnusable(command=command.argv[0], reason=reason, errno=number) from error
