"""Whose size the PTY has, when several clients watch it.

It belongs to the client that last typed, attached to type, or resized its own window;
never to an observer. When its owner leaves it goes to the one before.
"""

from __future__ import annotations

from cmdop.winsize import Winsize


class SizeOwner:
    """Keeps each operator's size and the order in which they claimed it."""

    def __init__(self) -> None:
        self._sizes: dict[str, Winsize] = {}
        """By client id; the last one owns the size (dicts keep their order)."""

    @property
    def owner(self) -> str | None:
        return next(reversed(self._sizes), None)

    @property
    def size(self) -> Winsize | None:
        """The size that the PTY should have; None while nobody may say."""
        return self._sizes[self.owner] if self.owner is not None else None

    def claim(self, client_id: str, size: Winsize | None = None) -> Winsize | None:
        """A client typed (no size), attached or resized; the PTY's new size if it changes."""
        before = self.size
        known = self._sizes.pop(client_id, None)
        claimed = size or known
        if claimed is not None:
            self._sizes[client_id] = claimed
        return self.size if self.size != before else None

    def leave(self, client_id: str) -> Winsize | None:
        """A client is gone; the PTY's new size if it changes."""
        before = self.size
        self._sizes.pop(client_id, None)
        return self.size if self.size not in (None, before) else None
