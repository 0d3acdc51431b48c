"""Colours that a remote program gave the terminal itself, and their reset.

xterm's ctlseqs, "Operating System Commands": OSC 4 and 5 set numbered colours, 10 to 19
the text's, the background's, the cursor's and others; 104, 105 and 110 to 119 reset
them. Only those that were set are reset: the others may be the user's own.
"""

from __future__ import annotations

_PALETTES = (4, 5)
_PALETTE_SIZE = 512
_DYNAMIC = range(10, 20)
_RESET = 100
"""The number that resets is the one that sets and this."""


class Colours:
    """Which colours are not the terminal's own."""

    def __init__(self) -> None:
        self._dynamic: set[int] = set()
        self._palettes: dict[int, set[int]] = {number: set() for number in _PALETTES}
        self._too_many: set[int] = set()
        """Palettes of which not every entry that was set is known."""

    def string(self, number: int, rest: bytes, whole: bool) -> None:
        """OSC number ; rest, cut if not `whole`."""
        specs = rest.split(b";")
        if number in _PALETTES:
            self._set_palette(number, specs, whole)
        elif number in _DYNAMIC:
            set_numbers = [number + index for index, spec in enumerate(specs) if spec not in (b"", b"?")]
            self._dynamic.update(each for each in set_numbers if each in _DYNAMIC)
        elif number - _RESET in _PALETTES:
            self._reset_palette(number - _RESET, specs)
        elif number - _RESET in _DYNAMIC:
            self._dynamic.discard(number - _RESET)

    def undo(self) -> bytes:
        resets = []
        for number in _PALETTES:
            entries = sorted(self._palettes[number])
            if number in self._too_many:
                resets.append(b"%d" % (number + _RESET))
            elif entries:
                resets.append(b";".join(b"%d" % each for each in (number + _RESET, *entries)))
        resets += [b"%d" % (number + _RESET) for number in sorted(self._dynamic)]
        return b"".join(b"\x1b]" + reset + b"\x1b\\" for reset in resets)

    def _set_palette(self, number: int, specs: list[bytes], whole: bool) -> None:
        for index, spec in zip(specs[::2], specs[1::2], strict=False):
            if spec != b"?" and _is_index(index):
                self._palettes[number].add(int(index))
        if not whole:
            self._too_many.add(number)

    def _reset_palette(self, number: int, specs: list[bytes]) -> None:
        if specs == [b""]:
            self._palettes[number].clear()
            self._too_many.discard(number)
        self._palettes[number].difference_update(int(index) for index in specs if _is_index(index))


def _is_index(text: bytes) -> bool:
    return text.isdigit() and len(text) <= 3 and int(text) < _PALETTE_SIZE
