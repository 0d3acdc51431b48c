"""A process that becomes itself again by exec, with a PTY kept: run by test_handover.py.

    renewed.py START SCRIPT BEFORE

First it opens a PTY with SCRIPT in it, does BEFORE (a line of Python, where `pty` is the
PTY and `screen` what it said so far), and becomes `renewed.py FD SEEN`, with what the
PTY handed over in a file that it inherits. Then it reads on to the end, and writes what
there is to know as JSON to stdout.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import tempfile
from typing import Any

from cmdop.ptyhost import launcher
from cmdop.ptyhost.factory import take_over
from cmdop.ptyhost.posix import open_posix_pty
from cmdop.winsize import DEFAULT_WINSIZE
from tests.ptyhost.driver import ENV, Screen, sh

STARTS: dict[str, Any] = {"launcher": launcher.start_child}
if sys.platform == "linux":
    from cmdop.ptyhost import linux

    STARTS["linux"] = linux.start_child


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def become(start: str, script: str, before: str) -> None:
    ours = descriptors()
    pty = open_posix_pty(STARTS[start], sh(script), ENV, "/", DEFAULT_WINSIZE)
    screen = Screen(pty)
    exec(before, {"pty": pty, "screen": screen, "os": os})
    seen = {"pid": pty.pid, "output": base64.b64encode(screen.output).decode(), "descriptors": ours}
    with tempfile.TemporaryFile() as file:
        file.write(json.dumps([pty.hand_over(), seen]).encode())
        file.seek(0)
        os.set_inheritable(file.fileno(), True)
        os.execv(sys.executable, [sys.executable, "-m", "tests.ptyhost.renewed", str(file.fileno())])


def go_on(fd: int) -> None:
    with open(fd, "rb") as file:
        kept, seen = json.load(file)
    pty = take_over(kept)
    inherited = [fd for fd in map(int, os.listdir("/proc/self/fd")) if fd > 2 and _inheritable(fd)]
    screen = Screen(pty)
    screen.output += base64.b64decode(seen["output"])
    output, exited = screen.to_the_end()
    told = {
        "same pid": pty.pid == seen["pid"],
        "output": base64.b64encode(output).decode(),
        "exited": exited,
        "flushes": screen.flushes,
        "inherited": inherited,
    }
    pty.close()
    json.dump({**told, "leaked": descriptors() - seen["descriptors"], "zombies": _has_child()}, sys.stdout)


def _inheritable(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:  # the folder that was listed
        return False


def _has_child() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


if __name__ == "__main__":
    if len(sys.argv) == 2:
        go_on(int(sys.argv[1]))
    else:
        become(*sys.argv[1:])
