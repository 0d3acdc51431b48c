"""What one screen shows at one moment, and where two of them differ; no I/O.

The lines are those of tmux's `capture-pane -e -N`: the text of each cell in its order,
and before a cell whose attributes differ from the one before it, the SGR sequence that
tells (or SO and SI, for the line drawing set).
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import cached_property

_STYLE = re.compile(r"(\x1b\[[0-9;:]*m|[\x0e\x0f])")

MODES = (
    "cursor_flag",
    "alternate_on",
    "insert_flag",
    "keypad_flag",
    "keypad_cursor_flag",
    "mouse_all_flag",
    "mouse_any_flag",
    "mouse_button_flag",
    "mouse_sgr_flag",
    "mouse_standard_flag",
    "mouse_utf8_flag",
    "origin_flag",
    "wrap_flag",
    "scroll_region_upper",
    "scroll_region_lower",
    "pane_tabs",
    "pane_title",
)
"""What a program may leave behind in a terminal, as tmux(1) names it under FORMATS."""
PLACES = ("cursor_x", "cursor_y", "pane_width", "pane_height")
PAST = ("history_size", "alternate_saved_x", "alternate_saved_y")
STATE = (*PLACES, *MODES, *PAST)

Cell = tuple[str, str]
"""A character, and the sequences before it on its line since the last reset."""


@dataclass(frozen=True)
class Screen:
    """The scrollback and the screen, line by line, and the value of each of STATE."""

    lines: tuple[str, ...]
    state: dict[str, str]

    @cached_property
    def visible(self) -> tuple[str, ...]:
        """The lines on the screen."""
        return self.lines[int(self.state["history_size"]) :]

    @cached_property
    def text(self) -> str:
        """What can be read on the screen: without attributes, and without blanks at the ends."""
        return "\n".join(_STYLE.sub("", line).rstrip() for line in self.visible).rstrip()

    @property
    def modes(self) -> dict[str, str]:
        return {name: self.state[name] for name in MODES}

    def on(self, name: str) -> bool:
        """Whether a flag of STATE is set."""
        return self.state[name] == "1"

    def without_past(self) -> Screen:
        """The same, without what is out of sight."""
        return Screen(self.visible, {**self.state, **dict.fromkeys(PAST, "0")})

    def line_of(self, text: str) -> str:
        """The first line that shows `text`, with its attributes."""
        return next(line for line in self.visible if text in _STYLE.sub("", line))


def cells(line: str) -> list[Cell]:
    """The cells of a line. A wide character is one cell."""
    found: list[Cell] = []
    style = ""
    for piece in _STYLE.split(line):
        if not _STYLE.fullmatch(piece):
            found += [(character, style) for character in piece]
        elif piece in ("\x1b[0m", "\x1b[m"):
            style = ""
        else:
            style += piece
    return found


def difference(expected: Screen, found: Screen) -> str:
    """Where two screens differ, for a reader; empty when they are the same in every cell."""
    said = [
        f"{name} is {found.state[name]}, not {expected.state[name]}"
        for name in STATE
        if found.state[name] != expected.state[name]
    ]
    pairs = itertools.zip_longest(expected.lines, found.lines, fillvalue="")
    for number, (wanted, shown) in enumerate(pairs):
        if wanted != shown:
            at, first = _first_difference(cells(wanted), cells(shown))
            said.append(f"line {number}, cell {at}: {first}\n    expected {wanted!r}\n    found    {shown!r}")
    return "\n".join(said)


def _first_difference(expected: list[Cell], found: list[Cell]) -> tuple[int, str]:
    for at, (wanted, shown) in enumerate(itertools.zip_longest(expected, found)):
        if wanted != shown:
            return at, f"{shown!r}, not {wanted!r}"
    return len(expected), "only how it is written differs"
