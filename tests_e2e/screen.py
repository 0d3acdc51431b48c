"""What one screen shows at one moment, and where two of them differ; no I/O.

The lines are those of tmux's `capture-pane -e -N`: the text of each cell in its order,
and before a cell whose attributes differ from those of the one before it, on its line or
an earlier one, the SGR sequences (ECMA-48 8.3.117) that set them, or SO and SI for the
line drawing set.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
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

Style = frozenset[tuple[str, str]]
"""What is not the default: colours by `fg`, `bg` and `underline`, attributes by `on`."""
Cell = tuple[str, Style]
_BLANK: Cell = (" ", frozenset())

_COLOURS = {38: "fg", 48: "bg", 58: "underline"}
_TENS = {3: "fg", 4: "bg", 9: "fg", 10: "bg"}


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

    @cached_property
    def cells(self) -> list[list[Cell]]:
        """The cells of each line. Letters are one cell each, wide or not.

        Blanks at the end of a line are left out: nobody sees whether they were written.
        """
        rows = []
        style: Style = frozenset()
        for line in self.lines:
            row: list[Cell] = []
            for piece in _STYLE.split(line):
                if _STYLE.fullmatch(piece):
                    style = _styled(style, piece)
                else:
                    row += [(letter, style) for letter in piece]
            while row and row[-1] == _BLANK:
                row.pop()
            rows.append(row)
        return rows

    @property
    def modes(self) -> dict[str, str]:
        return {name: self.state[name] for name in MODES}

    def on(self, name: str) -> bool:
        """Whether a flag of STATE is set."""
        return self.state[name] == "1"

    def without_past(self) -> Screen:
        """The same, without what is out of sight."""
        return Screen(self.visible, {**self.state, **dict.fromkeys(PAST, "0")})

    def styles(self, text: str) -> set[Style]:
        """The styles on the first line that shows `text`."""
        number = next(number for number, line in enumerate(self.lines) if text in _STYLE.sub("", line))
        return {style for _, style in self.cells[number]}


def _styled(style: Style, sequence: str) -> Style:
    """The style after a sequence."""
    if sequence in "\x0e\x0f":
        drawing = ("on", "line drawing")
        return style | {drawing} if sequence == "\x0e" else style - {drawing}
    parts = set(style)
    words = iter(sequence[2:-1].split(";"))
    for word in words:
        if word in ("", "0"):
            parts.clear()
            continue
        kind, value = _parameter(word, words)
        if kind != "on":
            parts = {part for part in parts if part[0] != kind}
        if value:
            parts.add((kind, value))
    return frozenset(parts)


def _parameter(word: str, rest: Iterator[str]) -> tuple[str, str]:
    """What a parameter of an SGR sequence is about, and its value; none for a default colour."""
    number = int(word) if word.isdecimal() else 0  # 4:3 and the like
    if number in _COLOURS:
        kind = next(rest)
        return _COLOURS[number], ";".join([kind, *itertools.islice(rest, 3 if kind == "2" else 1)])
    if number - 1 in _COLOURS:
        return _COLOURS[number - 1], ""
    if number // 10 in _TENS:
        return _TENS[number // 10], word
    return "on", word


def difference(expected: Screen, found: Screen) -> str:
    """Where two screens differ, for a reader; empty when they are the same in every cell."""
    said = [
        f"{name} is {found.state[name]}, not {expected.state[name]}"
        for name in STATE
        if found.state[name] != expected.state[name]
    ]
    if expected.lines != found.lines:
        nothing: list[Cell] = []
        rows = itertools.zip_longest(expected.cells, found.cells, fillvalue=nothing)
        said += [
            f"line {number}: {_first_difference(wanted, shown)}\n"
            f"    expected {_text(wanted)!r}\n    found    {_text(shown)!r}"
            for number, (wanted, shown) in enumerate(rows)
            if wanted != shown
        ]
    return "\n".join(said)


def _first_difference(expected: list[Cell], found: list[Cell]) -> str:
    pairs = enumerate(itertools.zip_longest(expected, found, fillvalue=_BLANK))
    at, wanted, shown = next((at, wanted, shown) for at, (wanted, shown) in pairs if wanted != shown)
    return f"cell {at} is {shown[0]!r} {sorted(shown[1])}, not {wanted[0]!r} {sorted(wanted[1])}"


def _text(row: list[Cell]) -> str:
    return "".join(letter for letter, _ in row)
