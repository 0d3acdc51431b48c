"""Parts of a terminal's state that there are two of, one for each screen."""

from __future__ import annotations

_DEPTH_MAX = 99


class Keyboard:
    """The kitty keyboard flags of one screen: what the remote pushed, and what it set below that."""

    def __init__(self) -> None:
        self.depth = 0
        self.base_flags = 0

    def push(self) -> None:
        self.depth = min(self.depth + 1, _DEPTH_MAX)

    def pop(self, count: int) -> None:
        if count > self.depth:  # this empties the terminal's stack
            self.base_flags = 0
        self.depth = max(self.depth - count, 0)

    def set(self, flags: int, how: int) -> None:
        """`how`: 1 sets these flags, 2 adds them, 3 removes them. A pushed entry goes with its pop."""
        if not self.depth:
            changed = {2: self.base_flags | flags, 3: self.base_flags & ~flags}
            self.base_flags = changed.get(how, flags)

    def undo(self) -> bytes:
        pops = b"\x1b[<%du" % self.depth if self.depth else b""
        return pops + (b"\x1b[=0u" if self.base_flags else b"")


class Drawing:
    """How text is drawn: what DECSC saves and DECRC restores."""

    def __init__(self) -> None:
        self.styled = False
        self.shifted_out = False
        self.origin = False
        self.charsets: frozenset[int] = frozenset()
        """G0 to G3, where they are not ASCII."""
