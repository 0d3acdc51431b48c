"""Starting a session leader through a small Python program, for any POSIX system.

The program (launcher_program.py) makes itself a session leader, takes the terminal with
TIOCSCTTY and becomes the shell. It costs a Python start, some 14 ms, and needs nothing
of the system but posix_spawn: no code of this threaded process runs after a fork.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping

from cmdop.ptyhost import launcher_program
from cmdop.ptyhost.child import Child, WaitedChild
from cmdop.ptyhost.interface import ShellCommand

assert sys.platform != "win32"


def start_child(command: ShellCommand, env: Mapping[str, str], cwd: str, slave: int) -> Child:
    """Start the command as the leader of a session whose terminal `slave` is.

    Signals are default and unblocked in it, and it has no descriptors but 0, 1 and 2.
    Raises OSError for whatever stands against it, the failed exec included. Blocks until
    the launcher has become the command.
    """
    return start_piped_child(command, env, cwd, (slave, slave, slave))


def start_piped_child(command: ShellCommand, env: Mapping[str, str], cwd: str, streams: tuple[int, int, int]) -> Child:
    """The same with any three descriptors for its own 0, 1 and 2; a terminal it takes for its own."""
    reading, writing = os.pipe()
    try:
        words = [sys.executable, "-I", "-S", launcher_program.__file__, env.get("LC_CTYPE", ""), cwd, command.path]
        pid = os.posix_spawn(
            sys.executable,
            [*words, *command.argv],
            env,
            file_actions=[
                *((os.POSIX_SPAWN_DUP2, stream, fd) for fd, stream in enumerate(streams)),
                (os.POSIX_SPAWN_DUP2, writing, launcher_program.STATUS_FD),
            ],
            setsigmask=[],
            setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
        )
        os.close(writing)
        writing = -1
        failure = os.read(reading, 16)  # nothing, and its end, once exec has closed it
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)
    if failure:
        os.waitpid(pid, 0)
        raise OSError(int(failure), os.strerror(int(failure)))
    return WaitedChild(pid)
