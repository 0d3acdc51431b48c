"""Programs that use the whole terminal, through an attach and beside it, cell by cell.

Both get the same keys. After each step both have to show what that step is named by, and
then have to be the same: every cell of the screen and of the scrollback with its
attributes, the cursor, the title, and every mode that tmux tells of.

What has not been shown yet is waited for before the next keys: programs leave out steps
on the screen when they see that more keys have come.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cmdop.winsize import Winsize
from tests_e2e.conftest import clean_environment
from tests_e2e.screen import Screen
from tests_e2e.side_by_side import LOCAL_PROMPT, SideBySide
from tests_e2e.stack import Stack
from tests_e2e.terminal import CMDOP
from tests_e2e.tmux import Tmux


def needs(program: str) -> pytest.MarkDecorator:
    missing = shutil.which(program) is None
    return pytest.mark.skipif(missing, reason=f"{program} is not installed; ./dev test installs it")


pytestmark = [needs("tmux"), needs("bash")]
without_past = Screen.without_past


@pytest.fixture(scope="module")
def tmux(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tmux]:
    """A server whose shells can reach the stack."""
    env = clean_environment(tmp_path_factory.mktemp("user"))
    path = f"{Path(CMDOP).parent}:{env['PATH']}"
    opened = Tmux({**env, "PATH": path, "CMDOP_SERVER": stack.url, "CMDOP_API_KEY": stack.operator_key})
    yield opened
    opened.close()


@pytest.fixture
def pair(tmux: Tmux, tmp_path: Path) -> Iterator[SideBySide]:
    """Two shells at their prompts, on screens of 30 by 100."""
    folder = tmp_path / "files"
    folder.mkdir()
    opened = SideBySide(tmux, folder)
    opened.start("alpha")
    yield opened
    opened.close()


def assert_left(after: Screen, before: Screen) -> None:
    """The program that was typed behind `before` has left nothing but the next prompt."""
    assert after.cells[0] == before.cells[0]
    assert re.fullmatch(r"\[3\] files [#$]", "\n".join(after.text.splitlines()[1:]))
    assert after.modes == before.modes


# -- vim --------------------------------------------------------------------------------------

VIMRC = r"""
set nocompatible nomodeline encoding=utf-8 background=dark laststatus=2 number ruler showcmd showmode
set hlsearch incsearch mouse=a ttymouse=sgr title titlestring=vim:%t noswapfile viminfo=
set ttimeout ttimeoutlen=50
syntax on
let &t_BE = "\e[?2004h"
let &t_BD = "\e[?2004l"
let &t_PS = "\e[200~"
let &t_PE = "\e[201~"
let &t_SI = "\e[6 q"
let &t_EI = "\e[2 q"
let &t_ST = "\e[22;2t"
let &t_RT = "\e[23;2t"
"""
TITLE = "vim:sample.py"
SAMPLE = "".join(
    f'def function_{number}(text: str = "gr\u00fc\u00dfe \u4e2d\u6587 \U0001f600") -> int:\n'
    f"    # number {number}\n    return len(text) + {number}\n\n"
    for number in range(60)
)


def in_normal_mode(screen: Screen) -> bool:
    """Whether vim waits for a command: no mode is shown, and no half of a key."""
    return not re.search(r"-- |\^\[", screen.text)


def start_vim(pair: SideBySide) -> Screen:
    """vim with a program in colours; what was shown before."""
    pair.write("vimrc", VIMRC)
    pair.write("sample.py", SAMPLE)
    pair.type("vim -u vimrc sample.py")
    before = pair.same("vim -u vimrc sample.py")
    pair.keys("Enter")
    shown = pair.same("the file under its title", lambda s: " 1,1 " in s.text and s.state["pane_title"] == TITLE)
    assert shown.on("alternate_on")
    assert shown.on("mouse_any_flag")
    assert shown.on("keypad_cursor_flag")
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
    pair.same("\U0001f44d')")
    pair.paste("; pasted = 'between brackets'")
    pair.same("'between brackets'")
    pair.keys("Escape")
    pair.same("normal mode", in_normal_mode)
    pair.type("10GV3j")
    pair.same("-- VISUAL LINE --")
    pair.keys("C-v")
    pair.same("-- VISUAL BLOCK --")
    pair.type("8l2k")
    pair.same("2x9")
    pair.keys("Escape")
    pair.same("normal mode", in_normal_mode)
    pair.type("/def .*_2[0-9]")
    pair.same("/def .*_2[0-9]")
    pair.keys("Enter")
    pair.same(" 82,1 ")
    pair.type("n")
    pair.same(" 86,1 ")
    pair.run(":split")
    pair.same("two windows", lambda screen: screen.text.count("sample.py [+]") == 2)
    pair.run(":vsplit")
    pair.same("three windows", lambda screen: screen.text.count("sample.py [+]") == 3)
    pair.keys("C-w", "w")
    pair.type("ofunction_")
    pair.same(" 87,10 ")
    pair.keys("C-n")
    pair.same("match 1 of")
    pair.keys("Escape")
    pair.same("normal mode", in_normal_mode)
    pair.click(4, 19)
    pair.same("the clicked line", lambda screen: screen.state["cursor_y"] == "4")
    pair.run(":qa!")
    assert_left(pair.same("[3]"), before)


@needs("vim")
def test_leaving_vim_puts_the_terminal_back_and_vim_goes_on(pair: SideBySide) -> None:
    start_vim(pair)
    pair.type("Gofunction_")
    pair.same("function_", lambda screen: screen.text.count("-- INSERT --") == 1 and " 241,10" in screen.text)
    pair.attached.keys("C-d")
    left = pair.attached.wait("local prompt", lambda screen: screen.text.endswith(f"\n{LOCAL_PROMPT}"))
    assert left.modes == pair.before.modes
    assert re.match(r"\[2\] files [#$] vim -u vimrc sample.py\n+\[connect\] detached ", left.text)
    assert "function_" not in left.text
    pair.attached.paste("no brackets")
    pair.attached.wait("what was pasted", lambda screen: screen.text.endswith(f"\n{LOCAL_PROMPT} no brackets"))
    pair.attached.keys("C-u")
    pair.attached.type("cmdop connect alpha")
    pair.attached.keys("Enter")
    pair.attached.wait_text("-- INSERT --")
    pair.keys("Escape")
    pair.same("normal mode", in_normal_mode, without_past)
    pair.keys("C-l")
    pair.type("gg")
    assert pair.same(" 1,1 ", look=without_past).state["pane_title"] == "vim:sample.py"
    pair.run(":qa!")
    pair.same("[3]", look=without_past)


# -- less -------------------------------------------------------------------------------------

# Nothing that is joined into one letter: how tmux shows that depends on where its reads split it.
WIDE = "".join(
    f"{number:04} " + "\u4e2d\u6587\u5b57 \U0001f600\U0001f44d e\u0301 \u00fc " * (1 + number % 7) + "\n"
    for number in range(1, 1001)
).replace("0500 ", "0500 needle \x1b[31mred\x1b[m ")


@needs("less")
def test_less_searches_jumps_and_follows_a_resize(pair: SideBySide) -> None:
    pair.write("wide.txt", WIDE)
    pair.type("less wide.txt")
    before = pair.same("less wide.txt")
    pair.keys("Enter")
    assert pair.same("wide.txt lines 1-23").on("alternate_on")
    pair.keys("Space")
    pair.same("lines 24-46")
    pair.type("/needle")
    pair.same("/needle")
    pair.keys("Enter")
    pair.same("lines 500-")
    pair.type("G")
    pair.same("(END)")
    pair.type("g")
    pair.same("lines 1-23")
    pair.resize(Winsize(17, 61))
    pair.same("lines 1-11")
    pair.keys("NPage")
    pair.same("lines 11-")
    pair.resize(Winsize(40, 133))
    pair.same("lines 11-49")
    pair.type("-S")
    pair.same("press RETURN")
    pair.keys("Enter")
    pair.same("0047 ")
    pair.keys("Right")
    pair.same("the right half", lambda screen: "0047 " not in screen.text)
    pair.type("q")
    assert pair.same("[3]").text.splitlines()[0] == before.text


# -- shells -----------------------------------------------------------------------------------


def test_bash_edits_completes_remembers_and_controls_jobs(pair: SideBySide) -> None:
    for name in ("alpha-one", "alpha-two"):
        (pair.folder / name).mkdir()
    pair.run("stty -a; echo $LANG $TERM $COLORTERM.")
    assert "\nC.UTF-8 tmux-256color .\n" in pair.same("[3]").text
    pair.type("x" * 120)
    pair.same("x" * 50)
    pair.keys("C-a")
    pair.type("echo ")
    pair.same("echo x")
    pair.keys("M-f", "BSpace", "BSpace", "C-e", "Left", "C-t", "C-w")
    pair.same("echo", lambda screen: "xxx" not in screen.text)
    pair.type("\u00e4\u4e2d\U0001f600b")
    pair.keys("BSpace", "Left", "BSpace", "End", "Enter")
    assert "\n\u00e4\U0001f600\n" in pair.same("[4]").text
    pair.type("cat alpha-")
    pair.keys("Tab", "Tab")
    pair.same("alpha-two")
    pair.type("o")
    pair.keys("Tab")
    pair.same("cat alpha-one/")
    pair.keys("C-c")
    pair.same("[5]")
    pair.run("for i in 1 2; do")
    pair.same("second line", lambda screen: screen.text.endswith("\n>"))
    pair.run("printf '\\e[3%dm%s\\e[4:3;58:5:1m%s\\e[m\\n' $i one two; done")
    assert len(pair.same("[6]").styles("onetwo")) == 2
    pair.keys("C-r")
    pair.type("LANG")
    pair.same("(reverse-i-search)`LANG': stty -a")
    pair.keys("C-g", "Up")
    pair.same("files # for i", lambda screen: bool(re.search(r"\[6\] files [#$] for i.* done$", screen.text)))
    pair.keys("C-c")
    pair.same("[7]")
    pair.run("seq 200; printf '\\e[38;2;1;2;3;48;5;200;1;3;4;7;9mstyles\\e[m\\e(0lqk\\e(B\\n'")
    assert int(pair.same("[8]").state["history_size"]) > 100


def test_bash_interrupts_stops_and_continues_programs(pair: SideBySide) -> None:
    pair.write("wide.txt", WIDE)
    pair.run("sh -c 'echo slee''ping; exec sleep 1000'")
    pair.same("sleeping")
    pair.keys("C-c")
    assert "\n^C\n" in pair.same("[3]").text
    pair.run("less wide.txt")
    pair.same("lines 1-23")
    pair.keys("C-z")
    stopped = pair.same("[4]")
    assert "Stopped" in stopped.text
    assert not stopped.on("alternate_on")
    pair.run("fg")
    pair.same("lines 1-23")
    pair.type("q")
    pair.same("[5]")
    pair.keys("C-l")
    pair.same("clear screen", lambda screen: screen.text.startswith("[5]"))


@needs("fish")
def test_fish_colours_suggests_and_completes(pair: SideBySide) -> None:
    for name in ("alpha-one", "alpha-two"):
        (pair.folder / name).mkdir()
    prompt = 'function fish_prompt; set_color -o cyan; echo -n "fish> "; set_color normal; end'
    pair.run(f"fish --private -C 'set -g fish_greeting; {prompt}'")
    pair.same("fish>", lambda screen: screen.text.endswith("\nfish>"))
    pair.type("echo 'one two'")
    pair.same("echo 'one two'")
    pair.keys("Enter")
    pair.same("one two", lambda screen: screen.text.endswith("\none two\nfish>"))
    pair.type("ec")
    pair.same("suggestion", lambda screen: screen.text.endswith("\nfish> echo 'one two'"))
    pair.keys("Right", "Enter")
    pair.same("again", lambda screen: screen.text.endswith("\none two\nfish> echo 'one two'\none two\nfish>"))
    pair.type("cd alpha-")
    pair.same("cd alpha-")
    pair.keys("Tab")
    pair.same("alpha-two/")
    pair.keys("Tab", "Tab")
    pair.same("cd alpha-two/")
    pair.keys("Escape", "C-u")
    pair.same("empty line", lambda screen: screen.text.endswith("\nfish>"))
    pair.keys("C-l")
    pair.same("clear screen", lambda screen: screen.text == "fish>")


# -- htop -------------------------------------------------------------------------------------

# Nothing that moves: what the machine is, and only one process, which sleeps.
HTOPRC = """
htop_version=3.2.2
config_reader_min_version=3
fields=0 48 17 18 38 39 40 2 46 47 49 1
highlight_base_name=1
header_layout=two_50_50
column_meters_0=Hostname
column_meter_modes_0=2
column_meters_1=System
column_meter_modes_1=2
"""


@pytest.fixture
def sleeper() -> Iterator[int]:
    """The pid of a process that does nothing."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process.pid
        process.kill()


@needs("htop")
def test_htop_sorts_sets_up_and_leaves(pair: SideBySide, sleeper: int) -> None:
    for home in ("direct", "attached"):
        pair.write(f"home-{home}/htoprc", HTOPRC)
    pair.type(f"HTOPRC=~/htoprc htop -d 100 -p {sleeper}")
    before = pair.same(f"-p {sleeper}")
    pair.keys("Enter")
    shown = pair.same("F10Quit")
    assert shown.on("mouse_any_flag")
    assert len(shown.styles("F10Quit")) == 2
    pair.keys("F6")
    pair.same("M_RESIDENT")
    pair.keys("Down", "Enter")
    pair.same("MEM%\u25bd")
    pair.keys("F2")
    pair.same("Display options")
    for page in ("Header layout", "Meters", "Screens", "Colors"):
        pair.keys("Down")
        pair.same(page)
    pair.keys("F10")
    pair.same("F10Quit")
    pair.click(29, 2)  # on F1
    pair.same("Released under")
    pair.keys("Space")
    pair.same("F10Quit")
    pair.keys("F5")
    pair.same("F5List")
    pair.keys("F10")
    assert_left(pair.same("[3]"), before)


# -- sizes ------------------------------------------------------------------------------------

WATCH = """
import os, signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])
print("watching", flush=True)
while signal.sigwait([signal.SIGWINCH]):
    print("{1} {0}".format(*os.get_terminal_size()), flush=True)
"""


def storm(pair: SideBySide) -> None:
    """Thirty sizes in a row, the last of which is 21 by 90."""
    for step in range(30):
        pair.resize(Winsize(50 - step, 61 + step))


def test_after_thirty_resizes_the_last_size_holds(pair: SideBySide) -> None:
    pair.write("watch.py", WATCH)
    pair.run('"$PYTHON" -I watch.py')
    pair.same("watching")
    storm(pair)
    for pane in pair.panes:
        pane.wait("last size", lambda screen: screen.text.endswith("\n21 90"))
    pair.keys("C-c")
    for pane in pair.panes:
        pane.wait_text("[3]")
    pair.run("clear; stty size")
    pair.same("21 90", lambda screen: screen.text.startswith("21 90\n[4]"), without_past)


@needs("vim")
def test_after_thirty_resizes_vim_fills_the_screen(pair: SideBySide) -> None:
    start_vim(pair)
    storm(pair)
    pair.same("the status line at the end", lambda screen: " 1,1 " in screen.text.rpartition("\n")[2], without_past)
    for pane in pair.panes:
        pane.type("G")
        # A vim that is at its last resize throws away what was typed meanwhile, without cmdop as well.
        with contextlib.suppress(AssertionError):
            pane.wait_text(" 240,0-1 ")
    pair.type("G")
    last = pair.same(" 240,0-1 ", look=without_past)
    assert last.state["cursor_y"] == "18"
