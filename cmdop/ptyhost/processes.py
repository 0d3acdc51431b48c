"""Other processes, as the system tells of them: /proc where there is one, else ps(1)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from cmdop.limits import NAME_MAX_CHARS
from cmdop.printable import printable

assert sys.platform != "win32"

_PROC = Path("/proc")
_HAS_PROC = (_PROC / "self" / "stat").exists()
_PS_TIMEOUT_SECONDS = 2.0


def session_members(session_id: int) -> set[int]:
    """The pids of a session's processes; zombies may be among them."""
    found = set()
    for pid in _all_pids():
        with contextlib.suppress(OSError):
            if os.getsid(pid) == session_id:
                found.add(pid)
    return found


def kill_session(session_id: int) -> None:
    """SIGKILL every process of a session, also those that are being born meanwhile.

    Who has been sent SIGKILL has no more children, so it ends when nobody is new. Those
    who may not be signalled (another user's, after su) are left.
    """
    killed: set[int] = set()
    while new := session_members(session_id) - killed:
        for pid in new:
            send(pid, signal.SIGKILL)
        killed |= new


def send(pid: int, number: int) -> bool:
    """Signal a process; whether it was there and may be signalled."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def send_to_group(group: int, number: int) -> bool:
    """Signal a process group; whether anybody was there who may be signalled."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def command_of(pid: int) -> str:
    """A process's command line for people to read, "" when there is no such process.

    One line without control characters; a login shell's dash is taken off.
    """
    words = _proc_words(pid) if _HAS_PROC else _ps("-o", "args=", "-p", str(pid)).split()
    return printable(" ".join(words).removeprefix("-"))[:NAME_MAX_CHARS]


def _all_pids() -> list[int]:
    names = os.listdir(_PROC) if _HAS_PROC else _ps("-A", "-o", "pid=").split()
    return [int(name) for name in names if name.isdecimal()]


def _proc_words(pid: int) -> list[str]:
    try:
        words = (_PROC / str(pid) / "cmdline").read_bytes()
        if not words:  # a process that is ending has only its name left (proc(5))
            return [(_PROC / str(pid) / "comm").read_text(errors="replace").strip()]
    except OSError:
        return []
    return words.decode(errors="replace").rstrip("\0").split("\0")


def _ps(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["ps", *arguments], capture_output=True, timeout=_PS_TIMEOUT_SECONDS, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace")
