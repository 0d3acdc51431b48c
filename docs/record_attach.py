# ruff: noqa: INP001, T201 - a script, which says what it did
"""Record docs/attach.svg: a real relay, a real agent, and somebody who attaches, leaves and comes back.

    .venv/bin/python docs/record_attach.py

Needs cmdop installed beside this Python, bash, and pexpect and pyte (both in the `dev`
extra of setup.cfg). pexpect types into a real PTY; pyte, a terminal emulator, says what
stood on the screen when; `Film` draws that as SVG, animated with CSS alone, so that it
plays inside an <img>. Where nothing is animated (a printout, a reader who wants less
motion) the last picture stands still.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import NamedTuple

import pexpect
import pyte
from pyte.screens import Char

ROWS, COLS = 24, 80
MACHINE = "prod-api-1"
PROMPT = f"{MACHINE} $"
SHELL = f"env HISTFILE= 'PS1=\\[\\e[32m\\]{PROMPT}\\[\\e[0m\\] ' bash --norc --noprofile"
BIN = Path(sys.executable).parent
PICTURE = Path(__file__).with_name("attach.svg")

KEY_SECONDS = 0.055
READ_SECONDS = 1.1
"""For who watches: after a line that is new, before the next key."""
STEP_TIMEOUT_SECONDS = 20
FRAME_SECONDS = 0.04
"""What changes within this is one picture."""
LAST_SECONDS = 4.0
BADGE_SECONDS = 1.6

# -- what happens -------------------------------------------------------------------------


class Moment(NamedTuple):
    """What the terminal got, and when, in seconds from the start."""

    at: float
    output: str


class Take:
    """A user at a PTY: `moments` is what they saw, `keys` which keys without an echo they pressed."""

    def __init__(self, env: dict[str, str]) -> None:
        self.moments: list[Moment] = []
        self.keys: list[tuple[float, str]] = []
        self._bash = pexpect.spawn(
            "bash", ["--norc", "--noprofile"], env=env, dimensions=(ROWS, COLS), encoding="utf-8", echo=True
        )
        self._began = time.monotonic()
        self._unread = ""

    @property
    def now(self) -> float:
        return time.monotonic() - self._began

    def type(self, line: str) -> None:
        """A command line, key by key."""
        for key in line:
            self._bash.send(key)
            self.watch(KEY_SECONDS)
        self.watch(0.3)
        self._bash.send("\r")

    def press(self, key: str, label: str) -> None:
        self.keys.append((self.now, label))
        self._bash.send(key)

    def watch(self, seconds: float) -> None:
        """Take down what comes in this time."""
        until = self.now + seconds
        while (left := until - self.now) > 0:
            self._read(left)

    def expect(self, text: str) -> None:
        """Take down what comes until this text was there."""
        deadline = self.now + STEP_TIMEOUT_SECONDS
        while text not in self._unread:
            if self.now > deadline:
                raise SystemExit(f"{text!r} did not come, but {self._unread!r}")
            self._read(1.0)
        self._unread = self._unread.partition(text)[2]

    def close(self) -> None:
        self._bash.close(force=True)

    def _read(self, seconds: float) -> None:
        try:
            output = self._bash.read_nonblocking(65536, seconds)
        except pexpect.TIMEOUT:
            return
        self._unread += output
        self.moments.append(Moment(self.now, output))


def play(take: Take) -> None:
    """The story."""
    take.expect("$ ")
    take.watch(0.6)
    take.type(f"cmdop connect {MACHINE}")
    take.expect("SIGINT")
    take.expect(PROMPT)
    take.watch(READ_SECONDS)
    take.type("sleep 1000")
    take.watch(READ_SECONDS)
    take.press("\x03", "Ctrl-C")
    take.expect(PROMPT)
    take.watch(READ_SECONDS)
    take.type('for n in 1 2 3 4 5 6; do echo "part $n of 6"; sleep 1; done')
    take.expect("part 3 of 6\r\n")
    take.watch(0.4)
    take.press("\x04", "Ctrl-D")
    take.expect("detached")
    take.watch(READ_SECONDS)
    take.type(f"cmdop connect {MACHINE}")
    take.expect("part 6 of 6\r\n")
    take.expect(PROMPT)
    take.watch(READ_SECONDS)
    take.type("exit")
    take.expect("session ended")
    take.watch(READ_SECONDS)


@contextmanager
def stack(folder: Path) -> Iterator[dict[str, str]]:
    """A relay and an agent; the environment of a user who has a key for them."""
    env = {
        "PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder),
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "PS1": "$ ",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
    }

    def cmdop(*words: str, stdin: str = "") -> str:
        ran = subprocess.run(["cmdop", *words], env=env, input=stdin, capture_output=True, text=True, check=True)
        return ran.stdout

    key = cmdop("relay", "workspace", "create", "home")
    serve = ["cmdop", "relay", "serve", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(serve, env=env, stderr=subprocess.PIPE, text=True) as relay:
        assert relay.stderr is not None
        server = relay.stderr.readline().split()[-1]
        try:
            cmdop("connect", "key", "set", "-", "--server", server, stdin=key)
            cmdop("agent", "start", "--name", MACHINE, "--server", server, "--api-key", key.strip(), "--shell", SHELL)
            try:
                yield env
            finally:
                cmdop("agent", "stop")
        finally:
            relay.terminate()
            relay.stderr.read()


# -- how it looks -------------------------------------------------------------------------

CELL_WIDTH, CELL_HEIGHT, BASELINE = 8.4, 18, 13.5
PADDING, TITLE_BAR = 14, 30
COLOURS = {
    "default": "#d6deeb",
    "black": "#5c6773",
    "red": "#ef7b85",
    "green": "#8ddb8c",
    "brown": "#e6c37a",
    "blue": "#82aaff",
    "magenta": "#c792ea",
    "cyan": "#7fdbca",
    "white": "#ffffff",
}
FONTS = "ui-monospace,'SF Mono','Cascadia Mono',Menlo,Consolas,'DejaVu Sans Mono',monospace"
GROUND, EDGE, MUTED, BADGE = "#10151e", "#4a5568", "#8b98a9", "#f2cc60"


class Shown(NamedTuple):
    """A piece of SVG, and the time in which it is to be seen."""

    svg: str
    begins: float
    ends: float


class Film:
    """Turns moments into pieces that come and go: a row is drawn anew only when it changed."""

    def __init__(self) -> None:
        self.pieces: list[Shown] = []
        self._screen = pyte.Screen(COLS, ROWS)
        self._stream = pyte.Stream(self._screen)
        self._standing: dict[int, tuple[str, float]] = {}

    def show(self, take: Take) -> float:
        """Everything that was seen; how long it takes, in seconds."""
        moments = take.moments
        for moment, after in zip(moments, [*moments[1:], None], strict=True):
            self._stream.feed(moment.output)
            if after is None or after.at - moment.at > FRAME_SECONDS:
                self._picture(moment.at)
        length = moments[-1].at + LAST_SECONDS
        for svg, since in self._standing.values():
            self.pieces.append(Shown(svg, since, length))
        for at, label in take.keys:
            self.pieces.append(Shown(_badge(label), at, at + BADGE_SECONDS))
        return length

    def _picture(self, at: float) -> None:
        drawn = {row: _row(row, self._screen.buffer[row]) for row in range(ROWS)}
        drawn[ROWS] = "" if self._screen.cursor.hidden else _cursor(self._screen.cursor.y, self._screen.cursor.x)
        for row, svg in drawn.items():
            before, since = self._standing.pop(row, ("", at))
            if svg != before:
                if before:
                    self.pieces.append(Shown(before, since, at))
                since = at
            if svg:
                self._standing[row] = (svg, since)


def _row(row: int, cells: dict[int, Char]) -> str:
    """The texts of a row, one for each run of one colour."""
    runs: list[tuple[int, str, str]] = []
    for column in range(COLS):
        cell = cells[column]
        if runs and runs[-1][2] == cell.fg:
            runs[-1] = (runs[-1][0], runs[-1][1] + cell.data, cell.fg)
        else:
            runs.append((column, cell.data, cell.fg))
    return "".join(_text(row, column, text.rstrip(), colour) for column, text, colour in runs if text.strip())


def _text(row: int, column: int, text: str, colour: str) -> str:
    """`textLength` keeps the columns in line, whatever font there is."""
    column, text = column + len(text) - len(text.lstrip()), text.lstrip()
    fill = "" if colour == "default" else f' fill="{COLOURS.get(colour, COLOURS["default"])}"'
    x, y = column * CELL_WIDTH, row * CELL_HEIGHT + BASELINE
    return f'<text x="{x:g}" y="{y:g}" textLength="{len(text) * CELL_WIDTH:g}"{fill}>{escape(text, quote=False)}</text>'


def _cursor(row: int, column: int) -> str:
    return (
        f'<rect x="{column * CELL_WIDTH:g}" y="{row * CELL_HEIGHT}" width="{CELL_WIDTH}" height="{CELL_HEIGHT - 1}" '
        f'fill="{MUTED}" fill-opacity=".7"/>'
    )


def _badge(label: str) -> str:
    """A key that leaves no trace on the screen, in the corner."""
    width, x, y = 96, COLS * CELL_WIDTH - 96, ROWS * CELL_HEIGHT - 34
    return (
        f'<rect x="{x:g}" y="{y}" width="{width}" height="32" rx="6" fill="{GROUND}" stroke="{BADGE}" '
        f'stroke-width="1.5"/><text x="{x + width / 2:g}" y="{y + 21}" text-anchor="middle" font-weight="bold" '
        f'fill="{BADGE}">{label}</text>'
    )


def svg_of(pieces: list[Shown], length: float) -> str:
    """The whole picture. A piece has the `keyframes` of its time, shared by all of the same time."""
    width = COLS * CELL_WIDTH + 2 * PADDING
    height = ROWS * CELL_HEIGHT + 2 * PADDING + TITLE_BAR
    times = sorted({(piece.begins, piece.ends) for piece in pieces})
    groups, rules = [], []
    for number, (begins, ends) in enumerate(times):
        inside = "".join(piece.svg for piece in pieces if (piece.begins, piece.ends) == (begins, ends))
        last = ends >= length
        hidden = "" if last else ' opacity="0"'
        groups.append(f'<g class="s t{number}"{hidden}>{inside}</g>')
        gone = "" if last else f"{100 * ends / length:.3f}%{{opacity:0}}"
        rules.append(f"@keyframes t{number}{{0%{{opacity:0}}{100 * begins / length:.3f}%{{opacity:1}}{gone}}}")
        rules.append(f".t{number}{{animation-name:t{number}}}")
    style = (
        f"text{{white-space:pre;font:14px {FONTS}}}"
        f".s{{animation:{length:.2f}s step-end infinite}}"
        "@media(prefers-reduced-motion:reduce){.s{animation:none!important}}"
    )
    dots = "".join(f'<circle cx="{20 + 18 * n}" cy="16" r="5" fill="{EDGE}"/>' for n in range(3))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height}" width="{width:g}" height="{height}" '
        f'role="img" aria-label="cmdop connect {MACHINE}: attach, leave with Ctrl-D, and come back">'
        f"<style>{style}{''.join(rules)}</style>"
        f'<rect x=".75" y=".75" width="{width - 1.5:g}" height="{height - 1.5:g}" rx="9" fill="{GROUND}" '
        f'stroke="{EDGE}" stroke-width="1.5"/>{dots}'
        f'<g transform="translate({PADDING} {PADDING + TITLE_BAR - 8})" fill="{COLOURS["default"]}" '
        f'font-size="14">{"".join(groups)}</g></svg>\n'
    )


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="cmdop-film-") as folder, stack(Path(folder)) as env:
        take = Take(env)
        try:
            play(take)
        finally:
            take.close()
    film = Film()
    length = film.show(take)
    PICTURE.write_text(svg_of(film.pieces, length), encoding="utf-8")
    print(f"{PICTURE.name}: {length:.0f} s, {PICTURE.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
