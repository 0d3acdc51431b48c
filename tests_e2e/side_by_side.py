"""The same shell twice on screens of one tmux server: run directly, and through an attach."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from cmdop.winsize import Winsize
from tests_e2e.screen import Screen, difference
from tests_e2e.timing import START_SECONDS
from tests_e2e.tmux import Pane, Tmux

SIZE = Winsize(30, 100)
LOCAL_PROMPT = "local$"

# Every prompt has a number of its own, so that each can be waited for.
_BASHRC = r"""
PROMPT_COMMAND='n=$((n+1))'
PS1='\[\e[1;32m\][$n]\[\e[0m\] \[\e[38;5;33m\]\W\[\e[0m\] \$ '
bind 'set bell-style none'
"""
# Of the environment only what an attach takes along is left as it is.
_START = """
cd "$1" && exec env -i PATH="$PATH" HOME="$2" PYTHON="$3" LANG="$LANG" TERM="$TERM" COLORTERM="$COLORTERM" \\
    HISTFILE= LESS=-M LESSHISTFILE=- bash --noprofile --rcfile "$1/.bashrc" -i
"""

Happened = Callable[[Screen], bool]
Look = Callable[[Screen], Screen]


class SideBySide:
    """Two shells, `direct` and `attached`, in the same folder with the same coloured prompt."""

    def __init__(self, tmux: Tmux, folder: Path) -> None:
        self.folder = folder
        (folder / ".bashrc").write_text(_BASHRC)
        (folder / "start").write_text(_START)
        (folder / "local").write_text(f"PS1='{LOCAL_PROMPT} '")
        env = {"ENV": str(folder / "local")}
        self.panes = self.direct, self.attached = tmux.open(SIZE, env, "sh"), tmux.open(SIZE, env, "sh")
        self.before: Screen = self.attached.wait_text(LOCAL_PROMPT, START_SECONDS)
        """What the user's terminal was like before the attach."""

    def start(self, host: str) -> None:
        """As far as the prompt [2], on screens that show nothing else."""
        self.direct.wait_text(LOCAL_PROMPT, START_SECONDS)
        self.attached.type(f"cmdop connect --new {host}")
        self.attached.keys("Enter")
        self.attached.wait("prompt", lambda screen: bool(re.search(r"SIGINT\s+[#$]$", screen.text)), START_SECONDS)
        for pane, home in zip(self.panes, ("home-direct", "home-attached"), strict=True):
            self._start_bash(pane, self.folder / home)
        self.same("[2]")

    def _start_bash(self, pane: Pane, home: Path) -> None:
        """Each has its own home, so that programs do not meet in their settings."""
        home.mkdir()
        pane.type(" ".join(map(str, ("exec sh", self.folder / "start", self.folder, home, sys.executable))))
        pane.keys("Enter")
        pane.wait_text("[1]", START_SECONDS)
        pane.type("clear")
        pane.keys("Enter")
        pane.wait("clear screen", lambda screen: screen.text.startswith("[2]"))
        pane.forget()

    # -- to both ----------------------------------------------------------------------------

    def write(self, name: str, text: str) -> None:
        """A file in the folder of both."""
        (self.folder / name).write_text(text)

    def type(self, text: str) -> None:
        for pane in self.panes:
            pane.type(text)

    def keys(self, *names: str) -> None:
        for pane in self.panes:
            pane.keys(*names)

    def run(self, command: str) -> None:
        self.type(command)
        self.keys("Enter")

    def paste(self, text: str) -> None:
        for pane in self.panes:
            pane.paste(text)

    def click(self, row: int, col: int) -> None:
        for pane in self.panes:
            pane.click(row, col)

    def resize(self, winsize: Winsize) -> None:
        for pane in self.panes:
            pane.resize(winsize)

    def close(self) -> None:
        for pane in self.panes:
            pane.close()

    # -- and then -----------------------------------------------------------------------------

    def same(self, what: str, happened: Happened | None = None, look: Look = lambda screen: screen) -> Screen:
        """Until both show `what` (or it `happened`) and then are the same; what they show.

        `look` leaves out what need not be the same.
        """
        reached = happened or (lambda screen: what in screen.text)
        self.direct.wait(what, reached)
        self.attached.wait(what, reached)

        def likeness(found: Screen) -> bool:
            return not difference(look(self.direct.screen()), look(found))

        try:
            return look(self.attached.wait("likeness", likeness))
        except AssertionError:
            found = difference(look(self.direct.screen()), look(self.attached.screen()))
            raise AssertionError(f"at {what!r} the attached screen differs:\n{found}") from None
