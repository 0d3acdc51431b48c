"""Programs that use the whole terminal, through an attach and beside it, cell by cell.

Two screens of one tmux server: `direct` runs a program in a shell, `attached` runs the
same through `cmdop connect`. Both get the same keys. After each step both have to show
what that step is named by, and then have to be the same: every cell of the screen and
of the scrollback with its attributes, the cursor, and every mode that tmux tells of.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cmdop.winsize import Winsize
from tests_e2e.conftest import clean_environment
from tests_e2e.screen import Screen, difference
from tests_e2e.stack import Stack
from tests_e2e.terminal import CMDOP
from tests_e2e.timing import START_SECONDS, STEP_SECONDS
from tests_e2e.tmux import Pane, Tmux

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed; ./dev test installs it")

SIZE = Winsize(30, 100)
LOCAL_PROMPT = "local$"

BASHRC = r"""
PROMPT_COMMAND='n=$((n+1))'
PS1='\[\e[1;32m\][$n]\[\e[0m\] \[\e[38;5;33m\]\W\[\e[0m\] \$ '
"""
START = """
cd "$1" && exec env -i PATH="$PATH" HOME="$2" LANG="$LANG" TERM="$TERM" COLORTERM="$COLORTERM" \\
    HISTFILE= LESS=-M LESSHISTFILE=- HTOPRC="$2/htoprc" PYTHON="$3" \\
    bash --noprofile --rcfile "$1/.bashrc" -i
"""


def needs(program: str) -> pytest.MarkDecorator:
    missing = shutil.which(program) is None
    return pytest.mark.skipif(missing, reason=f"{program} is not installed; ./dev test installs it")


Happened = Callable[[Screen], bool]
Look = Callable[[Screen], Screen]


class SideBySide:
    """The same shell twice, directly and through an attach."""

    def __init__(self, tmux: Tmux, folder: Path) -> None:
        self.folder = folder
        self.direct = tmux.open(SIZE, {"ENV": str(folder / "shrc")}, "sh")
        self.attached = tmux.open(SIZE, {"ENV": str(folder / "shrc")}, "sh")
        self.panes = (self.direct, self.attached)
        self.local = self.attached.wait_text(LOCAL_PROMPT, START_SECONDS)

    def start(self) -> None:
        """As far as the first prompt, on screens that show nothing else."""
        self.direct.wait_text(LOCAL_PROMPT, START_SECONDS)
        self.attached.type("cmdop connect --new alpha")
        self.attached.keys("Enter")
        self.attached.wait("prompt", lambda screen: bool(re.search(r"SIGINT\s+[#$]$", screen.text)), START_SECONDS)
        for pane, home in zip(self.panes, ("direct", "attached"), strict=True):
            (self.folder / home).mkdir()
            words = [self.folder / "start", self.folder, self.folder / home, sys.executable]
            pane.type("exec sh " + " ".join(map(str, words)))
            pane.keys("Enter")
            pane.wait_text("[1]")
            pane.type("clear")
            pane.keys("Enter")
            pane.wait("clear screen", lambda screen: screen.text.startswith("[2]"))
            pane.forget()
        self.same("[2]")

    # -- to both ------------------------------------------------------------------------

    def type(self, text: str) -> None:
        for pane in self.panes:
            pane.type(text)

    def keys(self, *names: str) -> None:
        for pane in self.panes:
            pane.keys(*names)

    def run(self, command: str) -> None:
        for pane in self.panes:
            pane.type(command)
            pane.keys("Enter")

    def resize(self, winsize: Winsize) -> None:
        for pane in self.panes:
            pane.resize(winsize)

    # -- and then ---------------------------------------------------------------------------

    def same(self, what: str, happened: Happened | None = None, look: Look = lambda screen: screen) -> Screen:
        """Until both show `what` (or it `happened`) and then are the same; what they show.

        `look` leaves out what need not be the same.
        """
        reached = happened or (lambda screen: what in screen.text)
        expected = look(self.direct.wait(what, reached))
        self.attached.wait(what, reached)

        def alike(found: Screen) -> bool:
            nonlocal expected
            expected = look(self.direct.screen())
            return not difference(expected, look(found))

        try:
            r = look(self.attached.wait("likeness", alike))
            if os.environ.get("LOOK"): print("=" * 100 + "\n" + r.text + "\n", r.state["cursor_x"], r.state["cursor_y"])
            return r
        except AssertionError:
            raise AssertionError(difference(expected, look(self.attached.screen()))) from None


@pytest.fixture(scope="module")
def tmux(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tmux]:
    """A server for the tests of this module, whose shells can reach the stack."""
    folder = tmp_path_factory.mktemp("user")
    env = clean_environment(folder)
    path = f"{Path(CMDOP).parent}:{env['PATH']}"
    opened = Tmux({**env, "PATH": path, "CMDOP_SERVER": stack.url, "CMDOP_API_KEY": stack.operator_key})
    yield opened
    opened.close()


@pytest.fixture
def pair(tmux: Tmux, tmp_path: Path) -> Iterator[SideBySide]:
    """Two shells with a coloured prompt in the same folder of `tmp_path`."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "shrc").write_text(f"PS1='{LOCAL_PROMPT} '")
    (folder / ".bashrc").write_text(BASHRC)
    (folder / "start").write_text(START)
    side_by_side = SideBySide(tmux, folder)
    side_by_side.start()
    yield side_by_side
    for pane in side_by_side.panes:
        pane.close()


without_past = Screen.without_past


# -- vim ----------------------------------------------------------------------------------

VIMRC = r"""
set nocompatible nomodeline encoding=utf-8 background=dark laststatus=2 number ruler showcmd showmode
set ttimeout ttimeoutlen=50 hlsearch incsearch mouse=a ttymouse=sgr title titlestring=vim:%t noswapfile viminfo=
syntax on
let &t_BE = "\e[?2004h"
let &t_BD = "\e[?2004l"
let &t_PS = "\e[200~"
let &t_PE = "\e[201~"
let &t_SI = "\e[6 q"
let &t_EI = "\e[2 q"
"""
SAMPLE = "".join(
    f"def function_{number}(text: str = \"gr\u00fc\u00dfe \u4e2d\u6587 \U0001f600\") -> int:\n    # number {number}\n"
    f"    return len(text) + {number}\n\n"
    for number in range(60)
)


def in_normal_mode(screen: Screen) -> bool:
    """Whether vim waits for a command: no mode is shown, and no half of a key."""
    return not re.search(r"-- |\^\[", screen.text)


def start_vim(pair: SideBySide) -> Screen:
    """vim with a program in colours; what is shown before."""
    (pair.folder / "vimrc").write_text(VIMRC)
    (pair.folder / "sample.py").write_text(SAMPLE)
    pair.type("vim -u vimrc sample.py")
    before = pair.same("vim -u vimrc sample.py")
    pair.keys("Enter")
    shown = pair.same(" 1,1 ")
    assert shown.on("alternate_on")
    assert shown.on("mouse_any_flag")
    assert shown.state["pane_title"] == "vim:sample.py"
    assert len(shown.styles("function_0")) >= 4
    return before


@needs("vim")
def test_vim_moves_inserts_selects_splits_and_searches(pair: SideBySide) -> None:
    before = start_vim(pair)
    pair.type("14Gw")
    pair.same(" 14,7 ")
    pair.keys("Down", "Right", "End")
    pair.same(" 15,24 ")
    pair.type("oprint('h\u00e9llo \u4e2d\u6587 \U0001f44d')")
    pair.same("-- INSERT --")
    for pane in pair.panes:
        pane.paste("pasted = 'between brackets'")
    pair.same("pasted = 'between")
    pair.keys("Escape")
    pair.same("normal mode", in_normal_mode)
    pair.type("10GV3j")
    pair.same("-- VISUAL LINE --")
    pair.keys("Escape", "C-v")
    pair.same("-- VISUAL BLOCK --")
    pair.type("8l2k")
    pair.same("3x9")
    pair.keys("Escape")
    pair.type("/def .*_2[0-9]")
    pair.same("/def .*_2[0-9]")
    pair.keys("Enter")
    pair.same(" 82,1 ")
    pair.type("n")
    pair.same(" 86,1 ")
    pair.type(":split")
    pair.keys("Enter")
    pair.type(":vsplit")
    pair.keys("Enter")
    pair.same("three windows", lambda screen: screen.text.count("sample.py [+]") == 3)
    pair.keys("C-w", "w")
    pair.type("ofunction_")
    pair.same(" 87,10 ")
    pair.keys("C-n")
    pair.same("match 1 of")
    pair.keys("Escape")
    pair.same("normal mode", in_normal_mode)
    pair.type("\x1b[<0;20;5M\x1b[<0;20;5m")  # a click
    pair.same("clicked line", lambda screen: screen.state["cursor_y"] == "4")
    pair.type(":qa!")
    pair.keys("Enter")
    after = pair.same("[3]")
    assert not after.on("alternate_on")
    assert not after.on("mouse_any_flag")
    assert after.visible[0] == before.visible[0]
    assert after.text.splitlines()[1:] == ["[3] files " + ("#" if os.geteuid() == 0 else "$")]


@needs("vim")
def test_leaving_vim_puts_the_terminal_back_and_vim_goes_on(pair: SideBySide) -> None:
    start_vim(pair)
    pair.type("Gofunction_")
    pair.same("-- INSERT --")
    pair.attached.keys("C-d")
    left = pair.attached.wait("local prompt", lambda screen: screen.text.endswith(f"\n{LOCAL_PROMPT}"))
    assert left.modes == pair.local.modes
    assert "[2] files # vim -u vimrc sample.py\n" in left.text
    assert "\n[connect] detached " in left.text
    assert "function_" not in left.text
    pair.attached.paste("no brackets")
    pair.attached.wait("paste", lambda screen: screen.text.endswith(f"\n{LOCAL_PROMPT} no brackets"))
    pair.attached.keys("C-c")
    pair.attached.type("cmdop connect alpha")
    pair.attached.keys("Enter")
    pair.attached.wait("vim again", lambda screen: screen.on("alternate_on") and "-- INSERT --" in screen.text)
    pair.keys("Escape")
    pair.same("normal mode", in_normal_mode, without_past)
    pair.keys("C-l")
    pair.type("gg")
    pair.same(" 1,1 ", look=without_past)
    pair.type(":qa!")
    pair.keys("Enter")
    pair.same("[3]", look=without_past)


# -- less -----------------------------------------------------------------------------------

# No joiners: how tmux 3.3 shows those depends on where its reads split them.
WIDE = "".join(
    f"{number:04} " + "\u4e2d\u6587\u5b57 \U0001f600\U0001f44d e\u0301 \u00fc " * (1 + number % 7) + "\n"
    for number in range(1, 1001)
).replace("0500 ", "0500 needle \x1b[31mred\x1b[m ")


@needs("less")
def test_less_searches_jumps_and_follows_a_resize(pair: SideBySide) -> None:
    (pair.folder / "wide.txt").write_text(WIDE)
    pair.run("less wide.txt")
    assert pair.same("wide.txt lines 1-").on("alternate_on")
    pair.keys("Space")
    pair.same("0020 ")
    pair.keys("Down", "Down", "Up")
    pair.type("/needle")
    pair.keys("Enter")
    pair.same("0500 needle")
    pair.type("G")
    pair.same("(END)")
    pair.type("g")
    pair.same("0001 ")
    pair.resize(Winsize(17, 61))
    pair.same("lines 1-11/1000")
    pair.keys("PPage", "NPage")
    pair.resize(Winsize(40, 133))
    pair.same("lines 8-")
    pair.type("-S")
    pair.keys("Enter", "Enter")
    pair.same("lines 8-")
    pair.keys("Right")
    pair.same("lines 8-")
    pair.type("q")
    assert not pair.same("[3]").on("alternate_on")


# -- shells ----------------------------------------------------------------------------------


def test_bash_edits_completes_remembers_and_controls_jobs(pair: SideBySide) -> None:
    for name in ("alpha-one", "alpha-two"):
        (pair.folder / name).mkdir()
    (pair.folder / "wide.txt").write_text(WIDE)
    pair.run("stty -a; echo $LANG $TERM $COLORTERM")
    pair.same("[3]")
    pair.type("x" * 120)
    pair.same("x" * 50)
    pair.keys("C-a")
    pair.type("echo ")
    pair.keys("M-f", "BSpace", "BSpace", "C-e", "Left", "C-t", "C-w")
    pair.type("\u00e4\u4e2d\U0001f600b")
    pair.keys("BSpace", "Left", "BSpace", "End", "Enter")
    pair.same("[4]")
    pair.type("cat alpha-")
    pair.keys("Tab", "Tab")
    pair.same("alpha-two")
    pair.type("o")
    pair.keys("Tab")
    pair.same("alpha-one/")
    pair.keys("C-c")
    pair.same("[5]")
    pair.run("for i in 1 2; do")
    pair.same("> ", lambda screen: screen.text.endswith("\n>"))
    pair.run("printf '\\e[3%dm%s\\e[4:3;58:5:1m%s\\e[m\\n' $i one two; done")
    pair.same("[6]")
    pair.keys("C-r")
    pair.type("LANG")
    pair.same("stty -a", lambda screen: "(reverse-i-search)`LANG': stty -a" in screen.text)
    pair.keys("C-g", "Up")
    pair.same("[6] files # for i")
    pair.keys("C-c")
    pair.same("[7]")
    pair.run("seq 100; printf '\\e[38;2;1;2;3;48;5;200;1;3;4;7;9mstyles\\e[m\\e(0lqk\\e(B\\n'")
    pair.same("[8]")
    pair.run("sh -c 'echo slee''ping; exec sleep 1000'")
    pair.same("sleeping")
    pair.keys("C-c")
    pair.same("[9]")
    pair.run("less wide.txt")
    pair.same("wide.txt lines 1-")
    pair.keys("C-z")
    pair.same("[10]")
    pair.run("fg")
    pair.same("wide.txt lines 1-")
    pair.type("q")
    pair.same("[11]")
    pair.keys("C-l")
    pair.same("[11]", lambda screen: screen.text.startswith("[11]"))


@needs("fish")
def test_fish_colours_suggests_and_completes(pair: SideBySide) -> None:
    for name in ("alpha-one", "alpha-two"):
        (pair.folder / name).mkdir()
    pair.run("fish --private -C 'set -g fish_greeting; function fish_prompt; set_color -o cyan; echo -n \"fish> \"; set_color normal; end'")
    pair.same("fish>", lambda screen: screen.text.endswith("\nfish>"))
    pair.type("echo 'one two' $HOME")
    pair.same("echo 'one two' $HOME")
    pair.keys("C-u")
    pair.same("empty line", lambda screen: screen.text.endswith("\nfish>"))
    pair.type("echo 'one two'")
    pair.keys("Enter")
    pair.same("one two", lambda screen: screen.text.endswith("\none two\nfish>"))
    pair.type("ec")
    pair.same("ec", lambda screen: screen.text.endswith("ho 'one two'"))
    pair.keys("Right", "Enter")
    pair.same("again", lambda screen: screen.text.endswith("\none two\nfish> echo 'one two'\none two\nfish>"))
    pair.type("cd alpha-")
    pair.keys("Tab")
    pair.same("alpha-two")
    pair.keys("Tab", "Tab")
    pair.same("cd alpha-two/")
    pair.keys("Escape", "C-u")
    pair.type("begin")
    pair.keys("Enter")
    pair.same("begin")
    pair.type("echo x; end")
    pair.keys("Enter")
    pair.same("x", lambda screen: screen.text.endswith("\nx\nfish>"))
    pair.keys("C-l")
    pair.same("clear", lambda screen: screen.text == "fish>")


# -- htop ---------------------------------------------------------------------------------

HTOPRC = """
htop_version=3.2.2
config_reader_min_version=3
fields=0 48 17 18 38 39 40 2 46 47 49 1
show_program_path=1
highlight_base_name=1
header_layout=two_50_50
column_meters_0=Hostname
column_meter_modes_0=2
column_meters_1=Uptime
column_meter_modes_1=2
"""


@needs("htop")
def test_htop_sorts_sets_up_and_leaves(pair: SideBySide) -> None:
    for home in ("direct", "attached"):
        (pair.folder / home / "htoprc").write_text(HTOPRC)
    with subprocess.Popen(["sleep", "1000"]) as shown:
        try:
            pair.run(f"htop -d 100 -p {shown.pid}")
            pair.same("F10")
            for key in ("F6", "F2", "F1", "F5"):
                pair.keys(key)
                pair.same("F10")
                pair.keys("Escape")
            pair.type("q")
            pair.same("[3]")
        finally:
            shown.kill()


# -- sizes -----------------------------------------------------------------------------------

WINCH = """
import os, signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])
print("watching", flush=True)
while signal.sigwait([signal.SIGWINCH]):
    print("{1} {0}".format(*os.get_terminal_size()), flush=True)
"""


def test_after_thirty_resizes_the_last_one_holds(pair: SideBySide) -> None:
    (pair.folder / "winch.py").write_text(WINCH)
    pair.run('"$PYTHON" -I winch.py')
    pair.same("watching")
    for step in range(30):
        pair.resize(Winsize(50 - step, 61 + step))
    for pane in pair.panes:
        pane.wait("last size", lambda screen: screen.text.endswith("\n21 90"))
    pair.keys("C-c")
    for pane in pair.panes:
        pane.wait_text("[3]")
    pair.run("clear; stty size")
    pair.same("21 90", lambda screen: "\n21 90\n" in screen.text, without_past)
