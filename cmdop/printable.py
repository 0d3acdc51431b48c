"""Texts from elsewhere, as a terminal may have them."""

from __future__ import annotations


def printable(text: str) -> str:
    """One line without what a terminal would act on; `?` in its place. Names come from peers."""
    return "".join(character if character.isprintable() else "?" for character in text)
