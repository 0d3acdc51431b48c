"""Sessions that go on in the program that this process becomes (agent/handover.py)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from cmdop.agent.called import Opened
from cmdop.agent.shell import Shell
from cmdop.errors import ShellLost
from cmdop.ptyhost.factory import take_over
from cmdop.screen.factory import take_over_screen
from cmdop.session.kept import core_from, kept_core
from cmdop.winsize import Winsize


def keep_shell(shell: Shell) -> tuple[dict[str, Any], list[bytes]] | None:
    """What goes on of a frozen session that nobody is attached to; None where its PTY cannot."""
    opened, pty, screen, core = shell.parts()
    kept_pty = pty.hand_over()
    if kept_pty is None:
        return None
    kept_screen, screen_blobs = screen.hand_over()
    state, blobs = kept_core(core, time.monotonic())
    kept = {
        "opened": opened._asdict(),
        "pty": kept_pty,
        "screen": kept_screen,
        "screen_blobs": len(screen_blobs),
        "core": state,
    }
    return kept, [*screen_blobs, *blobs]


def shell_from(
    kept: dict[str, Any], blobs: list[bytes], ended: Callable[[Shell], None], stalls: Callable[[], None]
) -> Shell:
    """The session of `keep_shell`, running. Raises ShellLost when its PTY was not kept."""
    opened = Opened(**{**kept["opened"], "winsize": Winsize(*kept["opened"]["winsize"])})
    count = kept["screen_blobs"]
    screen = take_over_screen(kept["screen"], blobs[:count])
    try:
        pty = take_over(kept["pty"])
    except ShellLost:
        screen.close()
        raise
    core = core_from(kept["core"], blobs[count:], time.monotonic())
    return Shell(opened, pty, screen, ended, stalls, core)
