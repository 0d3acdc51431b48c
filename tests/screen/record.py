"""Record what real programs print, for the corpus: record.py [NAME...]

Each program runs in a PTY of 24 rows and 80 columns; the terminal model answers its
questions, so that it goes as far as in a real terminal. A recording is the output alone.
Programs that are not installed are passed over.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path
from typing import NamedTuple

from cmdop.screen.ghostty import GhosttyScreen, open_library
from cmdop.screen.library import library_path
from cmdop.winsize import Winsize

CORPUS = Path(__file__).parent / "corpus"
SIZE = Winsize(24, 80)
LARGEST_BYTES = 48 * 1024
QUIET_SECONDS = 0.4

RC = r"""
PS1='\[\e]133;A\a\]\[\e[1;32m\]user@host\[\e[m\]:\[\e[34m\]~\[\e[m\]\$ \[\e]133;B\a\]'
PS0='\e]133;C\a'
PROMPT_COMMAND='printf "\e]2;%s\a" here'
"""
TMUX_CONF = "set -g status-right ''\nset -g default-command 'sh'\nset -g automatic-rename off\n"


class Program(NamedTuple):
    """A command line of the shell, and what is typed into it, each when it has gone quiet."""

    command: str
    keys: tuple[bytes, ...] = ()


PROGRAMS = {
    "vim": Program(
        "vim -u NONE -N +'syntax on' +'set nu hls' sample.py", (b"/def\r", b"Goend\x1b", b":vsp\r", b"\x06")
    ),
    "less": Program("less -R log.txt", (b" ", b"/line 7\r", b"b", b"G")),
    "htop": Program("htop -d 50 -u nobody", (b"t", b"\x1bOB")),
    "tmux": Program("tmux -L one -f tmux.conf new", (b"ls -C /usr\r", b"\x02%", b"echo hi\r", b"\x02[", b"q")),
    "tmux_left": Program("tmux -L two -f tmux.conf new", (b"ls /usr\r", b"exit\r")),
    "fzf": Program("seq 1 500 | fzf --color=16", (b"7", b"\x1b[A", b"1")),
    "dialog": Program(
        "dialog --colors --title T --menu 'Choose \\Z1one\\Zn' 15 50 4 a first b second c third", (b"\x1b[B",)
    ),
    "git_log": Program("git -C repository --no-pager log --graph --stat --color=always"),
    "shell": Program("bash --noprofile --rcfile rc -i", (b"echo one\r", b"ls /usr\r", b"seq 30\r", b"fals")),
    "fish": Program(
        "env HOME=$PWD fish --no-config -C 'function fish_prompt; echo -n \"> \"; end'",
        (b"echo one | cat\r", b"lsat\t", b"\x03"),
    ),
    "zsh": Program("zsh -f", (b"echo one\r", b"for i in 1 2; do\r", b"echo $i; done\r")),
    "wide": Program("cat wide.txt"),
    "wrapped": Program("cat wrapped.txt"),
    "regions": Program("cat regions.txt"),
    "modes": Program("cat modes.txt"),
    "colours": Program("cat colours.txt"),
    "links": Program("cat links.txt"),
    "protected": Program("cat protected.txt"),
    "lines": Program("cat lines.txt"),
}


def main(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        for name in names or PROGRAMS:
            recorded = record(PROGRAMS[name], folder)
            (CORPUS / f"{name}.bin").write_bytes(recorded[:LARGEST_BYTES])
            sys.stdout.write(f"{name}: {len(recorded)} bytes\n")


def prepare(folder: Path) -> None:
    """The files that the programs show."""
    (folder / "rc").write_text(RC)
    (folder / "tmux.conf").write_text(TMUX_CONF)
    (folder / "sample.py").write_text(Path(__file__).read_text()[:3000])
    (folder / "log.txt").write_text(
        "".join(f"\x1b[3{n % 8}mline {n}\x1b[m of the log, \x1b[1mbold\x1b[m\n" for n in range(200))
    )
    for name, text in texts().items():
        (folder / f"{name}.txt").write_bytes(text)
    repository = folder / "repository"
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-C", str(repository)]
    subprocess.run(["git", "init", "-q", str(repository)], check=True)
    for number in range(6):
        (repository / f"file{number}").write_text("text\n" * number)
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-q", "-m", f"Commit {number}", "--date", "2024-01-01T00:00:00Z"], check=True)


def texts() -> dict[str, bytes]:
    """What no program at hand prints as compactly. `^` stands for ESC."""
    people = "e\u0301a\u0308 👍 👩\u200d💻 👨\u200d👩\u200d👧 🏳\ufe0f\u200d🌈 🇩🇪 ❤\ufe0f 1\ufe0f\u20e3 x\r\n"
    palette = "".join(f"^[48;5;{n}m{n:4}^[m" + ("\r\n" if n % 16 == 15 else "") for n in range(256))
    truecolour = "".join(f"^[38;2;{n};{255 - n};128mX" for n in range(0, 255, 3))
    attributes = " ".join(f"^[{n}mA{n}^[m" for n in (1, 2, 3, 4, 5, 7, 8, 9, "4:2", "4:3", "4:4", "4:5", 53))
    long = "".join(chr(33 + n % 60) for n in range(900))
    texts = {
        "wide": "漢字かな交じり文 한국어 日本語\r\n" * 3
        + people
        + f"שלום עולם مرحبا\r\n{'漢' * 45}\r\nx{'漢' * 45}\r\n^[44m{'宽' * 41}^[m end "
        + "^[3;5H漢^[3;6Hx^[20;80H漢y",
        "wrapped": f"{long}\r\n^[41m{'y' * 170}^[m\r\n" * 8 + "z" * 80,
        "regions": "^[2J^[5;15r^[15;1H"
        + "scrolled line\r\n" * 20
        + "^[1;1Htop^[24;1Hbottom^[6;1H^[2L^M^[?6h^[2;3Hin^7^[3g^[5G^H"
        + "^[?69h^[10;40s^[3;3Hmargins^[2M",
        "modes": "^[?1h^=^[?2004h^[?1000;1002;1003;1006h^[?1004h^[?12l^[5 q^[>1u^[>5u^[>4;2m^[4h^[?7lins^[20h"
        "^]2;the title^\\^]7;file:///tmp^\\^[?25l^[?1049h^[>3uin the other^[?2026h^[5;5H^[1;4:3;58:2::1:2:3m",
        "colours": f"{palette}{truecolour}^[m\r\n{attributes}\r\n^[45mto the end^[K^[m\r\n"
        "^]4;1;#102030^\\^]11;#010203^\\^[7mreverse^[10X",
        "links": "^]8;;http://example.org/a^\\a link^]8;;^\\ and ^]8;id=7;http://example.org/b^\\"
        f"{'wrapped ' * 20}^]8;;^\\\r\n^]8;;http://example.org/open^\\still open",
        "protected": 'a^[1"qkept^[0"qlost^[?2K\r\n^Viso^Wnot^[1"qon',
        "lines": "^(0lqqqk^[10bx^(B\r\nabc^[5b\r\n^)0\x0eqqq\x0f\r\n^*0^Nqq^(0q^7^(Bz\r\n\ttab^[Zback^[3;3Hx^[5C",
    }
    return {name: text.replace("^", "\x1b").encode() for name, text in texts.items()}


def record(program: Program, folder: str) -> bytes:
    """What a program prints, until it has ended or has been quiet after the last key."""
    if program.command.split()[0] not in ("seq", "env") and shutil.which(program.command.split()[0]) is None:
        return b""
    pid, master = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.environ.update(TERM="xterm-256color", COLORTERM="truecolor", LANG="C.UTF-8", LC_ALL="C.UTF-8", PS1="$ ")
        os.environ.pop("TMUX", None)
        os.execv("/bin/sh", ["sh", "-c", "sleep 0.1; " + program.command])
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE.rows, SIZE.cols, 0, 0))
    screen = GhosttyScreen(SIZE, open_library(library_path()))
    screen.answer(True)
    recorded, keys, since = b"", list(program.keys), time.monotonic()
    while True:
        readable, _, _ = select.select([master], [], [], QUIET_SECONDS)
        if readable and time.monotonic() - since < 5:
            try:
                data = os.read(master, 65536)
            except OSError:
                break
            recorded += data
            screen.feed(data)
            answers = screen.answers()
            if answers:
                os.write(master, answers)
        elif keys:
            os.write(master, keys.pop(0))
            since = time.monotonic()
        elif recorded:
            break
    os.kill(pid, signal.SIGHUP)
    os.close(master)
    os.waitpid(pid, 0)
    return recorded


if __name__ == "__main__":
    main(sys.argv[1:])
